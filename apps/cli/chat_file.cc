#include "chat_file.h"

#include <fmt/format.h>

#include <limits>

#include "input.h"

namespace phial_cli {
namespace {

constexpr char kFormat[] = "phial-chat";
constexpr int64_t kVersion = 1;

// FNV-1a of 64 bits.
class Hash {
 public:
  void add(std::string_view text) {
    for (const char c : text) mix(static_cast<unsigned char>(c));
    mix(0);  // so that "ab","c" is not "a","bc"
  }
  std::string text() const { return fmt::format("fnv1a64:{:016x}", value_); }

 private:
  void mix(unsigned char byte) { value_ = (value_ ^ byte) * 0x100000001B3u; }
  uint64_t value_ = 0xCBF29CE484222325u;
};

class Reader {
 public:
  explicit Reader(std::string where) : where_(std::move(where)) {}

  [[noreturn]] void fail(const std::string& message) const {
    throw phial::Error("invalid_input", where_, message, "expected a file that /save has written");
  }
  const Json& member(const Json& object, const char* name, Json::value_t type) const {
    const auto found = object.find(name);
    if (found == object.end()) fail(fmt::format("'{}' is missing", name));
    if (found->type() != type) fail(fmt::format("'{}' is a JSON {}", name, found->type_name()));
    return *found;
  }
  std::string text(const Json& object, const char* name) const {
    return member(object, name, Json::value_t::string).get<std::string>();
  }

 private:
  std::string where_;
};

}  // namespace

std::string model_fingerprint(const phial::Model& model) {
  Hash hash;
  const Json info = Json::parse(model.info_json(/*with_tensors=*/true));
  for (const Json& tensor : info["tensors"]) {
    hash.add(tensor["name"].get<std::string>());
    hash.add(tensor["dtype"].get<std::string>());
    hash.add(tensor["shape"].dump());
  }
  const Json& size = info["vocabulary_size"];
  const int64_t ids = size.is_number() ? size.get<int64_t>() : 0;
  for (int64_t id = 0; id < ids && id <= std::numeric_limits<int32_t>::max(); ++id) {
    try {
      hash.add(model.piece(static_cast<int32_t>(id)));
    } catch (const phial::Error&) {
      break;  // the padding behind the vocabulary
    }
  }
  return hash.text();
}

std::string talk_json(const SavedTalk& talk) {
  Json segments = Json::array();
  for (const Segment& segment : talk.segments) {
    segments.push_back({{"answer", segment.answer}, {"text", segment.text}, {"ids", segment.ids}});
  }
  Json options = Json::object();
  for (const auto& [name, values] : talk.options) options[name] = values;
  Json file = {{"format", kFormat},
               {"version", kVersion},
               {"model", {{"fingerprint", talk.fingerprint}}},
               {"options", std::move(options)},
               {"messages", talk.messages},
               {"tokens", std::move(segments)}};
  if (!talk.cache.empty()) file["cache"] = talk.cache;
  // A line for each member: short enough to look into, and arrays of ids do not fill a page each.
  std::string text = "{";
  for (const auto& [name, value] : file.items()) {
    text += fmt::format("{}\n\"{}\": {}", text.size() > 1 ? "," : "", name,
                        value.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return text + "\n}\n";
}

SavedTalk parse_talk(const std::string& json, const std::string& where) {
  const Reader reader(where);
  const Json file = parse_json(json, where, "expected a file that /save has written");
  if (!file.is_object()) reader.fail(fmt::format("a JSON {}", file.type_name()));
  if (reader.text(file, "format") != kFormat) reader.fail("'format' names another format");
  const Json& version = reader.member(file, "version", Json::value_t::number_unsigned);
  if (version.get<int64_t>() != kVersion) {
    throw phial::Error("unsupported", where,
                       fmt::format("version {}; this phial reads {}", version.dump(), kVersion));
  }
  SavedTalk talk;
  talk.fingerprint =
      reader.text(reader.member(file, "model", Json::value_t::object), "fingerprint");
  for (const auto& [name, values] : reader.member(file, "options", Json::value_t::object).items()) {
    if (!values.is_array() || values.empty()) reader.fail("an option is no list of texts");
    for (const Json& value : values) {
      if (!value.is_string()) reader.fail("an option is no list of texts");
      talk.options[name].push_back(value.get<std::string>());
    }
  }
  talk.messages = reader.member(file, "messages", Json::value_t::array);
  for (const Json& message : talk.messages) {
    if (!message.is_object()) reader.fail("a message is no object");
    reader.text(message, "role");
    reader.text(message, "content");
  }
  for (const Json& entry : reader.member(file, "tokens", Json::value_t::array)) {
    if (!entry.is_object()) reader.fail("an element of 'tokens' is no object");
    Segment segment;
    segment.answer = reader.member(entry, "answer", Json::value_t::boolean).get<bool>();
    segment.text = reader.text(entry, "text");
    segment.ids = parse_ids(reader.member(entry, "ids", Json::value_t::array).dump(), where);
    if (segment.ids.empty() || segment.text.empty()) reader.fail("an empty element in 'tokens'");
    talk.segments.push_back(std::move(segment));
  }
  if (file.contains("cache")) {
    talk.cache = reader.text(file, "cache");
    // It lies beside the file, nowhere else.
    if (talk.cache.empty() ||
        talk.cache.find_first_of(std::string_view("/\0", 2)) != talk.cache.npos) {
      reader.fail("'cache' is no name of a file");
    }
  }
  return talk;
}

}  // namespace phial_cli

#include "base/json.h"

#include <simdjson.h>

#include <algorithm>
#include <unordered_set>

#include "base/utf8.h"

namespace phial {
namespace {

using simdjson::dom::element_type;

constexpr std::string_view kNoMemory = "no memory to parse JSON";

// simdjson keeps the number of children in 24 bits: there, more have to be counted.
template <class Container>
size_t count_of(const Container& container) {
  constexpr size_t kSaturated = 0xFFFFFF;
  if (container.size() < kSaturated) return container.size();
  size_t count = 0;
  for (auto at = container.begin(); at != container.end(); ++at) ++count;
  return count;
}

class TreeBuilder {
 public:
  TreeBuilder(std::string_view name, ParseBudget& budget) : name_(name), budget_(budget) {}

  // Recursion is bounded by the depth that the simdjson parser was given.
  Result<Json> build(simdjson::dom::element element) {
    switch (element.type()) {
      case element_type::OBJECT:
        return build_object(simdjson::dom::object(element));
      case element_type::ARRAY:
        return build_array(simdjson::dom::array(element));
      case element_type::STRING: {
        const std::string_view text = element;
        PHIAL_TRY(budget_.charge(text.size(), name_));
        return Json(text);
      }
      case element_type::INT64:
        return Json(int64_t(element));
      case element_type::UINT64:
        return Json(uint64_t(element));
      case element_type::DOUBLE:
        return Json(double(element));
      case element_type::BOOL:
        return Json(bool(element));
      case element_type::NULL_VALUE:
        return Json();
    }
    return internal_error(name_, "unknown JSON element type");
  }

 private:
  Result<Json> build_array(simdjson::dom::array array) {
    const size_t count = count_of(array);
    PHIAL_TRY(budget_.charge(count * sizeof(Json), name_));
    Json::Array out;
    out.reserve(count);
    for (const simdjson::dom::element item : array) {
      PHIAL_ASSIGN(Json child, build(item));
      out.push_back(std::move(child));
    }
    return Json(std::move(out));
  }

  Result<Json> build_object(simdjson::dom::object object) {
    const size_t count = count_of(object);
    PHIAL_TRY(budget_.charge(count * sizeof(Json::Member), name_));
    Json::Object out;
    out.reserve(count);
    for (const auto& [key, item] : object) {
      PHIAL_TRY(budget_.charge(key.size(), name_));
      PHIAL_ASSIGN(Json child, build(item));
      out.emplace_back(std::string(key), std::move(child));
    }
    PHIAL_TRY(check_unique(out));
    return Json(std::move(out));
  }

  // A key that occurs twice means two things to two readers: refused.
  Status check_unique(const Json::Object& object) const {
    constexpr size_t kSmall = 16;
    if (object.size() <= kSmall) {
      for (size_t i = 1; i < object.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
          if (object[i].first == object[j].first) return duplicate(object[i].first);
        }
      }
      return {};
    }
    std::unordered_set<std::string_view> seen;
    seen.reserve(object.size());
    for (const auto& [key, value] : object) {
      if (!seen.insert(key).second) return duplicate(key);
    }
    return {};
  }

  Error duplicate(std::string_view key) const {
    return damaged(name_, "the key \"" + std::string(key) + "\" occurs twice in one JSON object");
  }

  std::string name_;
  ParseBudget& budget_;
};

// simdjson refuses integers beyond 64 bits, which tokenizer_config.json likes to hold
// (model_max_length of 10^30). Writing ".0" behind a long run of digits makes them reals.
std::string widen_long_integers(std::string_view text) {
  constexpr size_t kMaxSafeDigits = 18;
  std::string out;
  out.reserve(text.size() + 64);
  bool in_string = false;
  size_t at = 0;
  while (at < text.size()) {
    const char c = text[at];
    const bool starts_number = !in_string && (c == '-' || (c >= '0' && c <= '9'));
    if (!starts_number) {
      if (c == '"') in_string = !in_string;
      if (in_string && c == '\\' && at + 1 < text.size()) out += text[at++];
      out += text[at++];
      continue;
    }
    const size_t end = std::min(text.find_first_not_of("-+.eE0123456789", at), text.size());
    const std::string_view number = text.substr(at, end - at);
    out += number;
    if (number.size() > kMaxSafeDigits && number.find_first_of(".eE") == std::string_view::npos) {
      out += ".0";
    }
    at = end;
  }
  return out;
}

// What a parser of `text_bytes` takes, for each byte of text: 8 of tape, 4 of positions, 5/3 of
// strings, 1 of a padded copy.
uint64_t parser_bytes(uint64_t text_bytes) { return text_bytes / 3 * 44 + (uint64_t{1} << 16); }

// Memory for nested containers is taken up front, so the depth is given here.
Status allocate(simdjson::dom::parser& parser, size_t text_bytes, size_t max_depth,
                std::string_view name) {
  if (parser.allocate(std::max<size_t>(text_bytes, 64), max_depth)) {
    return out_of_memory(name, kNoMemory);
  }
  return {};
}

}  // namespace

Json::Json(uint64_t value) {
  if (value <= static_cast<uint64_t>(INT64_MAX)) {
    value_ = static_cast<int64_t>(value);
  } else {
    value_ = static_cast<double>(value);
  }
}

const char* Json::kind_name() const {
  static constexpr const char* kNames[] = {"null",   "boolean", "integer", "number",
                                           "string", "array",   "object"};
  return kNames[value_.index()];
}

std::optional<double> Json::number() const {
  if (const int64_t* i = if_integer()) return static_cast<double>(*i);
  if (const double* d = if_real()) return *d;
  return std::nullopt;
}

const Json* Json::find(std::string_view key) const {
  if (const Object* object = if_object()) {
    for (const auto& [name, value] : *object) {
      if (name == key) return &value;
    }
  }
  return nullptr;
}

void Json::set(std::string key, Json value) {
  if (kind() != Kind::object) value_ = Object();
  std::get<Object>(value_).emplace_back(std::move(key), std::move(value));
}

void Json::push(Json value) {
  if (kind() != Kind::array) value_ = Array();
  std::get<Array>(value_).push_back(std::move(value));
}

Result<Json> parse_json(std::string_view text, std::string_view name, ParseBudget& budget,
                        const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return over_limit(name, "JSON text of " + std::to_string(text.size()) + " bytes; at most " +
                                std::to_string(limits.max_bytes) + " are read");
  }
  if (text.empty()) return damaged(name, "not valid JSON: there is no text");
  if (const auto at = utf8::find_invalid(text)) {
    return damaged(name, "not valid UTF-8 at byte " + std::to_string(*at));
  }
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  PHIAL_TRY(budget.charge(parser_bytes(text.size()), name));
  PHIAL_TRY(allocate(parser, text.size(), limits.max_depth, name));
  simdjson::error_code code = parser.parse(text.data(), text.size()).get(root);
  if (code == simdjson::NUMBER_ERROR) {
    const std::string widened = widen_long_integers(text);
    // The first parser's memory is given back before the second one takes its own.
    parser = simdjson::dom::parser();
    PHIAL_TRY(budget.charge(widened.size() + parser_bytes(widened.size() - text.size()), name));
    PHIAL_TRY(allocate(parser, widened.size(), limits.max_depth, name));
    code = parser.parse(widened.data(), widened.size()).get(root);
  }
  if (code == simdjson::DEPTH_ERROR) {
    return over_limit(name, "JSON is nested deeper than " + std::to_string(limits.max_depth));
  }
  if (code == simdjson::MEMALLOC) return out_of_memory(name, kNoMemory);
  if (code) {
    return damaged(name, std::string("not valid JSON: ") + simdjson::error_message(code));
  }
  return TreeBuilder(name, budget).build(root);
}

Result<Json> parse_json(std::string_view text, std::string_view name) {
  ParseBudget budget = ParseBudget::for_input(text.size());
  return parse_json(text, name, budget);
}

}  // namespace phial

#include "text/chat_template.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja_eval.h"
#include "text/jinja_parser.h"
#include "text/jinja_unicode.h"

namespace phial {
namespace {

using jinja::Value;

// Far above any chat template (the largest known have 20 KB), and small enough that the syntax tree
// of the worst one stays below 300 MB.
constexpr size_t kMaxSourceBytes = 512 << 10;

std::shared_ptr<jinja::StringData> make_string(std::string_view text) {
  auto data = std::make_shared<jinja::StringData>();
  data->text = utf8::find_invalid(text) ? utf8::lossy(text) : std::string(text);
  data->length = jinja::count_characters(data->text);
  return data;
}

// The values of the caller; they are not charged to the template.
class Converter {
 public:
  explicit Converter(int max_depth) : max_depth_(max_depth) {}

  Result<Value> convert(const Json& json, int depth = 1) const {
    if (depth > max_depth_) {
      return over_limit("template variables", "nested deeper than " + std::to_string(max_depth_));
    }
    switch (json.kind()) {
      case Json::Kind::null:
        return Value::none();
      case Json::Kind::boolean:
        return Value(*json.if_bool());
      case Json::Kind::integer:
        return Value(*json.if_integer());
      case Json::Kind::real:
        return Value(*json.if_real());
      case Json::Kind::string:
        return Value(std::shared_ptr<const jinja::StringData>(make_string(*json.if_string())));
      case Json::Kind::array:
        return convert_array(*json.if_array(), depth);
      case Json::Kind::object:
        return convert_object(*json.if_object(), depth);
    }
    return Value::none();
  }

 private:
  Result<Value> convert_array(const Json::Array& array, int depth) const {
    auto data = std::make_shared<jinja::ListData>();
    data->items.reserve(array.size());
    for (const Json& item : array) {
      PHIAL_ASSIGN(Value value, convert(item, depth + 1));
      data->depth = std::max(data->depth, value.depth() + 1);
      data->items.push_back(std::move(value));
    }
    return Value(std::shared_ptr<const jinja::ListData>(std::move(data)));
  }

  Result<Value> convert_object(const Json::Object& object, int depth) const {
    auto data = std::make_shared<jinja::DictData>();
    data->members.reserve(object.size());
    for (const auto& [key, item] : object) {
      PHIAL_ASSIGN(Value value, convert(item, depth + 1));
      data->depth = std::max(data->depth, value.depth() + 1);
      data->members.emplace_back(Value(std::shared_ptr<const jinja::StringData>(make_string(key))),
                                 std::move(value));
    }
    data->build_index();
    return Value(std::shared_ptr<const jinja::DictData>(std::move(data)));
  }

  int max_depth_;
};

}  // namespace

struct ChatTemplate::Impl {
  std::unique_ptr<const jinja::Template> tree;
  TemplateLimits limits;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::parse(std::string_view source,
                                                                std::string_view name,
                                                                const TemplateLimits& limits) {
  if (source.size() > kMaxSourceBytes) {
    return over_limit(name, "a template of " + std::to_string(source.size()) + " bytes; at most " +
                                std::to_string(kMaxSourceBytes) + " are read");
  }
  if (const auto at = utf8::find_invalid(source)) {
    return damaged(name, "not valid UTF-8 at byte " + std::to_string(*at));
  }
  auto impl = std::make_unique<Impl>();
  PHIAL_ASSIGN(impl->tree, jinja::parse_template(source, name, limits));
  impl->limits = limits;
  return std::shared_ptr<const ChatTemplate>(new ChatTemplate(std::move(impl)));
}

Result<std::string> ChatTemplate::render(const Json& variables, int64_t now_unix_seconds) const {
  const Json::Object* members = variables.if_object();
  if (members == nullptr) {
    return invalid_input("template variables",
                         std::string("expected an object, got ") + variables.kind_name());
  }
  const Converter converter(impl_->limits.max_depth);
  jinja::Variables values;
  for (const auto& [name, json] : *members) {
    PHIAL_ASSIGN(values[name], converter.convert(json));
  }
  return jinja::Evaluator(*impl_->tree, impl_->limits, now_unix_seconds, std::move(values)).run();
}

}  // namespace phial

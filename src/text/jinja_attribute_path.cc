#include "text/jinja_attribute_path.h"

#include <algorithm>
#include <string>

#include "text/jinja_number.h"
#include "text/jinja_ops.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {

Status AttributePath::parse(Runtime& rt, const Value& attribute) {
  if (attribute.missing() || attribute.is_none()) return {};
  if (!attribute.is_string()) {
    parts_.push_back(attribute);
    return {};
  }
  return parse_text(rt, attribute.text());
}

Status AttributePath::parse_text(Runtime& rt, std::string_view text) {
  PHIAL_TRY(rt.step_for_characters(text.size()));
  while (true) {
    const size_t dot = std::min(text.find('.'), text.size());
    const std::string_view part = text.substr(0, dot);
    const ParsedInt number = parse_python_int(part, 10);
    const bool digits = !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    if (digits && number.state == ParsedInt::State::ok) {
      parts_.emplace_back(number.value);
    } else {
      PHIAL_ASSIGN(Value name, rt.string(std::string(part)));
      parts_.push_back(std::move(name));
    }
    if (dot == text.size()) return {};
    text = text.substr(dot + 1);
  }
}

Result<Value> AttributePath::get(Runtime& rt, Value item, const Value& fallback) const {
  for (const Value& part : parts_) {
    PHIAL_ASSIGN(item, get_item(rt, item, part));
    const bool replace = !fallback.missing() && !fallback.is_none();
    if (replace && item.is_undefined()) item = fallback;
  }
  return item;
}

Result<Value> fold(Runtime& rt, Value value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  PHIAL_TRY(rt.step_for_characters(value.text().size()));
  return rt.string(to_lower(value.text()));
}

}  // namespace phial::jinja

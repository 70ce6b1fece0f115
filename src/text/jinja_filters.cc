// Filters that make texts, numbers and single values; those over sequences are in
// jinja_sequences.cc.
#include "text/jinja_filters.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/utf8.h"
#include "text/jinja_format.h"
#include "text/jinja_number.h"
#include "text/jinja_ops.h"
#include "text/jinja_sequences.h"
#include "text/jinja_strings.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

using Args = CallArgs;

template <std::string (*kMap)(std::string_view)>
Result<Value> map_text(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "filter", args, {}));
  PHIAL_ASSIGN(const Value text, to_string_value(rt, self));
  PHIAL_TRY(rt.step_for_characters(text.text().size()));
  return rt.string(kMap(text.text()), text.is_markup());
}

// The filter's title: words begin after blanks, brackets and dashes, not after apostrophes.
std::string title_words(std::string_view text) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const auto separates = [&text](size_t i) {
      const char c = text[i];
      return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' ||
             is_space(utf8::decode(text.substr(i)).code_point);
    };
    size_t end = at;
    while (end < text.size() && separates(end)) end += utf8::decode(text.substr(end)).length;
    out += text.substr(at, end - at);
    at = end;
    while (end < text.size() && !separates(end)) end += utf8::decode(text.substr(end)).length;
    if (end == at) continue;
    const size_t first = utf8::decode(text.substr(at)).length;
    out += to_upper(text.substr(at, first));
    out += to_lower(text.substr(at + first, end - at - first));
    at = end;
  }
  return out;
}

Result<Value> filter_default(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(std::vector<Value> bound,
               bind_arguments(rt, "default", args, {"default_value", "boolean"}));
  const bool replaced = self.is_undefined() || (truth(bound[1]) && !truth(self));
  if (!replaced) return self;
  if (bound[0].missing()) return rt.string({});
  return std::move(bound[0]);
}

Result<Value> filter_length(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "length", args, {}));
  PHIAL_ASSIGN(const std::optional<int64_t> length, length_of(rt, self));
  if (length) return Value(*length);
  return rt.raise("object of type '" + std::string(self.type_name()) + "' has no len()");
}

Result<Value> filter_string(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "string", args, {}));
  return to_string_value(rt, self);
}

Result<Value> filter_safe(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "safe", args, {}));
  PHIAL_ASSIGN(std::string text, to_str(rt, self));
  return rt.string(std::move(text), true);
}

Result<Value> filter_escape(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "escape", args, {}));
  return escape_value(rt, self);
}

Result<Value> filter_force_escape(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "forceescape", args, {}));
  PHIAL_ASSIGN(const std::string text, to_str(rt, self));
  PHIAL_ASSIGN(std::string escaped, escape_html(rt, text));
  return rt.string(std::move(escaped), true);
}

Result<Value> filter_trim(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "trim", args, {"chars"}));
  PHIAL_ASSIGN(const Value text, to_string_value(rt, self));
  std::optional<std::string_view> chars;
  if (!bound[0].missing() && !bound[0].is_none()) {
    PHIAL_ASSIGN(chars, expect_string(rt, bound[0], "strip arg"));
    PHIAL_TRY(rt.step_for_characters(chars->size()));
  }
  const std::string_view kept = strip_text(text.text(), chars, Side::both);
  PHIAL_TRY(rt.step_for_characters(text.text().size() - kept.size()));
  return rt.string(std::string(kept), text.is_markup());
}

Result<Value> filter_replace(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "replace", args, {"old", "new", "count"}, 2));
  PHIAL_ASSIGN(const std::string text, to_str(rt, self));
  PHIAL_ASSIGN(const std::string from, to_str(rt, bound[0]));
  PHIAL_ASSIGN(const std::string to, to_str(rt, bound[1]));
  int64_t count = -1;
  if (!bound[2].missing() && !bound[2].is_none()) {
    PHIAL_ASSIGN(count, to_integer(rt, bound[2], "count"));
  }
  PHIAL_ASSIGN(std::string out, replace_text(rt, text, from, to, count));
  return rt.string(std::move(out));
}

Result<Value> filter_center(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "center", args, {"width"}));
  PHIAL_ASSIGN(const Value text, to_string_value(rt, self));
  int64_t width = 80;
  if (!bound[0].missing()) {
    PHIAL_ASSIGN(width, to_integer(rt, bound[0], "width"));
  }
  return pad_text(rt, text, width, " ", Side::both);
}

Result<Value> filter_indent(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "indent", args, {"width", "first", "blank"}));
  PHIAL_ASSIGN(const std::string_view text, expect_string(rt, self, "indent"));
  std::string indent(4, ' ');
  if (bound[0].is_string()) {
    indent = bound[0].text();
  } else if (!bound[0].missing()) {
    PHIAL_ASSIGN(const int64_t width, to_integer(rt, bound[0], "width"));
    PHIAL_TRY(rt.check_string_size(static_cast<uint64_t>(std::max<int64_t>(width, 0))));
    indent.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  PHIAL_TRY(rt.step_for_characters(text.size()));
  // One more newline keeps the last line break; splitting takes it away again.
  const std::string terminated = std::string(text) + "\n";
  const bool blank = truth(bound[2]);
  Builder out(rt);
  if (truth(bound[1])) PHIAL_TRY(out.add(indent));
  bool first = true;
  for (const std::string_view line : split_lines(terminated, false)) {
    if (!first) PHIAL_TRY(out.add("\n"));
    if (!first && (blank || !line.empty())) PHIAL_TRY(out.add(indent));
    PHIAL_TRY(out.add(line));
    first = false;
  }
  return rt.string(out.take(), self.is_markup());
}

Result<Value> filter_truncate(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound,
               bind_arguments(rt, "truncate", args, {"length", "killwords", "end", "leeway"}));
  int64_t length = 255;
  int64_t leeway = 5;
  std::string end = "...";
  if (!bound[0].missing()) {
    PHIAL_ASSIGN(length, to_integer(rt, bound[0], "length"));
  }
  if (!bound[2].missing()) {
    PHIAL_ASSIGN(end, expect_string(rt, bound[2], "end"));
  }
  if (!bound[3].missing() && !bound[3].is_none()) {
    PHIAL_ASSIGN(leeway, to_integer(rt, bound[3], "leeway"));
  }
  const int64_t end_length = static_cast<int64_t>(count_characters(end));
  if (length < end_length) return rt.raise("expected length >= " + std::to_string(end_length));
  if (leeway < 0) return rt.raise("expected leeway >= 0");
  PHIAL_ASSIGN(const std::optional<int64_t> size, length_of(rt, self));
  if (size && (*size <= length || *size - length <= leeway)) return self;
  const StringData* string = self.if_string();
  if (string == nullptr) return rt.raise("truncate needs a str");
  PHIAL_TRY(rt.step_for_scan(string->text.size()));
  std::string_view kept =
      std::string_view(string->text)
          .substr(0, byte_offset(*string, static_cast<size_t>(length - end_length)));
  if (!truth(bound[1])) kept = kept.substr(0, std::min(kept.rfind(' '), kept.size()));
  return rt.string(std::string(kept) + end, self.is_markup());
}

Result<Value> filter_word_count(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "wordcount", args, {}));
  PHIAL_ASSIGN(const std::string text, to_str(rt, self));
  PHIAL_TRY(rt.step_for_characters(text.size()));
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const utf8::Decoded c = utf8::decode(std::string_view(text).substr(at));
    const bool word = is_word(c.code_point);
    if (word && !inside) ++words;
    inside = word;
    at += c.length;
  }
  return Value(words);
}

Result<Value> filter_format(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const Value text, to_string_value(rt, self));
  if (!args.positional.empty() && !args.named.empty()) {
    return rt.raise("can't handle positional and keyword arguments at the same time");
  }
  if (args.named.empty()) {
    PHIAL_ASSIGN(const Value values, rt.tuple(std::move(args.positional)));
    return format_percent(rt, text, values);
  }
  std::vector<DictData::Member> members;
  for (auto& [name, value] : args.named) {
    PHIAL_ASSIGN(Value key, rt.string(name));
    members.emplace_back(std::move(key), std::move(value));
  }
  PHIAL_ASSIGN(const Value values, rt.dict(std::move(members)));
  return format_percent(rt, text, values);
}

Result<Value> filter_tojson(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(
      const auto bound,
      bind_arguments(rt, "tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = truth(bound[0]);
  style.sort_keys = truth(bound[3]);
  const Value& indent = bound[1];
  if (indent.is_string()) {
    style.indent = indent.text();
  } else if (!indent.missing() && !indent.is_none()) {
    PHIAL_ASSIGN(const int64_t width, to_integer(rt, indent, "indent"));
    PHIAL_TRY(rt.check_string_size(static_cast<uint64_t>(std::max<int64_t>(width, 0))));
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  if (style.indent) style.item_separator = ",";
  if (!bound[2].missing() && !bound[2].is_none()) {
    PHIAL_ASSIGN(const std::vector<Value> separators, to_vector(rt, bound[2]));
    if (separators.size() != 2) return rt.raise("separators must be a pair");
    PHIAL_ASSIGN(style.item_separator, expect_string(rt, separators[0], "separator"));
    PHIAL_ASSIGN(style.key_separator, expect_string(rt, separators[1], "separator"));
  }
  Builder out(rt);
  PHIAL_TRY(write_json(rt, out, self, style));
  return rt.string(out.take());
}

// The whole part of a float as an int; raises for what is no number.
Result<Value> truncate_real(Runtime& rt, double real) {
  if (!std::isfinite(real)) return rt.raise("cannot convert float to integer");
  if (real >= 9223372036854775808.0 || real < -9223372036854775808.0) {
    return rt.over("an integer does not fit 64 bits");
  }
  return Value(static_cast<int64_t>(real));
}

Result<Value> filter_int(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "int", args, {"default", "base"}));
  const Value fallback = bound[0].missing() ? Value(int64_t{0}) : bound[0];
  // What is no base makes int() fail, which leaves the way over float().
  const int64_t base = bound[1].missing() ? 10 : bound[1].integral().value_or(-1);
  if (self.is_undefined()) return rt.raise(self.undefined_message());
  if (const auto i = self.integral()) return Value(*i);
  if (const double* real = self.if_real()) {
    if (std::isnan(*real)) return fallback;
    return truncate_real(rt, *real);
  }
  if (!self.is_string()) return fallback;
  PHIAL_TRY(rt.step_for_characters(self.text().size()));
  const ParsedInt parsed = parse_python_int(self.text(), base);
  if (parsed.state == ParsedInt::State::ok) return Value(parsed.value);
  if (parsed.state == ParsedInt::State::too_large) {
    return rt.over("an integer does not fit 64 bits");
  }
  const std::optional<double> real = parse_python_float(self.text());
  if (!real || !std::isfinite(*real)) return fallback;
  return truncate_real(rt, *real);
}

Result<Value> filter_float(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "float", args, {"default"}));
  if (self.is_undefined()) return rt.raise(self.undefined_message());
  if (const auto number = self.number()) return Value(*number);
  if (self.is_string()) {
    PHIAL_TRY(rt.step_for_characters(self.text().size()));
    if (const auto parsed = parse_python_float(self.text())) return Value(*parsed);
  }
  return bound[0].missing() ? Value(0.0) : bound[0];
}

Result<Value> filter_abs(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "abs", args, {}));
  if (const double* real = self.if_real()) return Value(std::fabs(*real));
  if (const auto i = self.integral()) return *i < 0 ? negate(rt, self) : Value(*i);
  return rt.raise("bad operand type for abs(): '" + std::string(self.type_name()) + "'");
}

// round(int, digits) for negative digits: half to even.
Result<Value> round_integer(Runtime& rt, int64_t value, int64_t digits) {
  if (digits >= 0) return Value(value);
  if (digits < -18) return Value(int64_t{0});
  int64_t unit = 1;
  for (int64_t i = digits; i < 0; ++i) unit *= 10;
  int64_t rest = value % unit;
  int64_t base = value - rest;
  if (rest < 0) {
    rest += unit;
    if (__builtin_sub_overflow(base, unit, &base))
      return rt.over("an integer does not fit 64 bits");
  }
  const bool odd = (base / unit) % 2 != 0;
  if (rest > unit - rest || (rest == unit - rest && odd)) {
    if (__builtin_add_overflow(base, unit, &base))
      return rt.over("an integer does not fit 64 bits");
  }
  return Value(base);
}

Result<Value> filter_round(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "round", args, {"precision", "method"}));
  int64_t digits = 0;
  if (!bound[0].missing()) {
    PHIAL_ASSIGN(digits, to_integer(rt, bound[0], "precision"));
  }
  std::string_view method = "common";
  if (!bound[1].missing()) {
    PHIAL_ASSIGN(method, expect_string(rt, bound[1], "method"));
  }
  if (method != "common" && method != "ceil" && method != "floor") {
    return rt.raise("method must be common, ceil or floor");
  }
  if (!self.is_number()) {
    return rt.raise("type " + std::string(self.type_name()) + " doesn't define __round__ method");
  }
  if (method == "common") {
    if (const auto i = self.integral()) return round_integer(rt, *i, digits);
    return Value(python_round(*self.if_real(), digits));
  }
  // func(value * 10**precision) / 10**precision, with Python's ints and floats.
  PHIAL_ASSIGN(const Value scale, binary(rt, BinaryOp::pow, Value(int64_t{10}), Value(digits)));
  PHIAL_ASSIGN(const Value scaled, binary(rt, BinaryOp::mul, self, scale));
  Value whole = scaled;
  if (const double* real = scaled.if_real()) {
    PHIAL_ASSIGN(whole, truncate_real(rt, method == "ceil" ? std::ceil(*real) : std::floor(*real)));
  }
  return binary(rt, BinaryOp::div, whole, scale);
}

Result<Value> filter_attr(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "attr", args, {"name"}, 1));
  PHIAL_ASSIGN(const std::string_view name, expect_string(rt, bound[0], "name"));
  if (self.is_undefined()) return rt.raise(self.undefined_message());
  // Only attributes, no items.
  if (self.if_dict() != nullptr && self.if_dict()->find(name) != nullptr) {
    PHIAL_ASSIGN(const Value empty, rt.dict({}));
    return get_attribute(rt, empty, name);
  }
  return get_attribute(rt, self, name);
}

constexpr FilterEntry kFilters[] = {
    {"abs", filter_abs},
    {"attr", filter_attr},
    {"capitalize", map_text<to_capitalized>},
    {"center", filter_center},
    {"count", filter_length},
    {"d", filter_default},
    {"default", filter_default},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"float", filter_float},
    {"forceescape", filter_force_escape},
    {"format", filter_format},
    {"indent", filter_indent},
    {"int", filter_int},
    {"length", filter_length},
    {"lower", map_text<to_lower>},
    {"replace", filter_replace},
    {"round", filter_round},
    {"safe", filter_safe},
    {"string", filter_string},
    {"title", map_text<title_words>},
    {"tojson", filter_tojson},
    {"trim", filter_trim},
    {"truncate", filter_truncate},
    {"upper", map_text<to_upper>},
    {"wordcount", filter_word_count},
};

}  // namespace

const FilterEntry* find_filter(std::string_view name) {
  for (const FilterEntry& entry : kFilters) {
    if (entry.name == name) return &entry;
  }
  return find_sequence_filter(name);
}

}  // namespace phial::jinja

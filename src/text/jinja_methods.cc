#include "text/jinja_methods.h"

#include <algorithm>
#include <limits>

#include "base/utf8.h"
#include "text/jinja_format.h"
#include "text/jinja_ops.h"
#include "text/jinja_strings.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

using Args = CallArgs;

// Text made from `self` is markup when `self` is.
Result<Value> like(Runtime& rt, const Value& self, std::string text) {
  return rt.string(std::move(text), self.is_markup());
}
Result<Value> like(Runtime& rt, const Value& self, std::string_view text) {
  return rt.string(std::string(text), self.is_markup());
}

Result<int64_t> integer_or(Runtime& rt, const Value& value, int64_t fallback) {
  if (value.missing()) return fallback;
  return to_integer(rt, value, "argument");
}

// The same for a place in a text, where none is allowed too.
Result<int64_t> place_or(Runtime& rt, const Value& value, int64_t fallback) {
  return value.is_none() ? Result<int64_t>(fallback) : integer_or(rt, value, fallback);
}

template <std::string (*kMap)(std::string_view)>
Result<Value> map_text(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "str method", args, {}));
  PHIAL_TRY(rt.step_for_characters(self.text().size()));
  return like(rt, self, kMap(self.text()));
}

template <Side kSide>
Result<Value> strip(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "strip", args, {""}));
  std::optional<std::string_view> chars;
  if (!bound[0].missing() && !bound[0].is_none()) {
    PHIAL_ASSIGN(chars, expect_string(rt, bound[0], "strip arg"));
    PHIAL_TRY(rt.step_for_characters(chars->size()));
  }
  const std::string_view kept = strip_text(self.text(), chars, kSide);
  PHIAL_TRY(rt.step_for_characters(self.text().size() - kept.size()));
  return like(rt, self, kept);
}

// Splitting from the left, or with all steps mirrored from the right.
class Splitter {
 public:
  Splitter(Runtime& rt, const Value& self, bool from_right)
      : rt_(rt), self_(self), rest_(self.text()), from_right_(from_right) {}

  Result<Value> by_space(int64_t most) {
    while (true) {
      rest_ = strip_text(rest_, std::nullopt, from_right_ ? Side::right : Side::left);
      if (rest_.empty()) break;
      if (most-- == 0) {
        PHIAL_TRY(add(rest_));
        break;
      }
      PHIAL_TRY(from_right_ ? take_last_word() : take_first_word());
    }
    return finish();
  }

  Result<Value> by_text(std::string_view separator, int64_t most) {
    for (; most != 0; --most) {
      const size_t at = from_right_ ? rest_.rfind(separator) : find_text(rest_, separator);
      if (at == std::string_view::npos) break;
      const std::string_view behind = rest_.substr(at + separator.size());
      PHIAL_TRY(add(from_right_ ? behind : rest_.substr(0, at)));
      rest_ = from_right_ ? rest_.substr(0, at) : behind;
    }
    PHIAL_TRY(add(rest_));
    return finish();
  }

 private:
  Status take_first_word() {
    size_t end = 0;
    while (end < rest_.size()) {
      const utf8::Decoded c = utf8::decode(rest_.substr(end));
      if (is_space(c.code_point)) break;
      end += c.length;
    }
    PHIAL_TRY(add(rest_.substr(0, end)));
    rest_ = rest_.substr(end);
    return {};
  }

  Status take_last_word() {
    size_t start = rest_.size();
    while (start > 0) {
      const size_t before = utf8::floor_boundary(rest_, start - 1);
      if (is_space(utf8::decode(rest_.substr(before)).code_point)) break;
      start = before;
    }
    PHIAL_TRY(add(rest_.substr(start)));
    rest_ = rest_.substr(0, start);
    return {};
  }

  Status add(std::string_view part) {
    PHIAL_TRY(rt_.step());
    PHIAL_ASSIGN(Value value, like(rt_, self_, part));
    parts_.push_back(std::move(value));
    return {};
  }

  Result<Value> finish() {
    if (from_right_) std::reverse(parts_.begin(), parts_.end());
    return rt_.list(std::move(parts_));
  }

  Runtime& rt_;
  const Value& self_;
  std::string_view rest_;
  bool from_right_;
  std::vector<Value> parts_;
};

template <bool kFromRight>
Result<Value> split(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "split", args, {"sep", "maxsplit"}));
  PHIAL_ASSIGN(const int64_t most, integer_or(rt, bound[1], -1));
  PHIAL_TRY(rt.step_for_characters(self.text().size()));
  Splitter splitter(rt, self, kFromRight);
  if (bound[0].missing() || bound[0].is_none()) return splitter.by_space(most);
  PHIAL_ASSIGN(const std::string_view separator, expect_string(rt, bound[0], "separator"));
  if (separator.empty()) return rt.raise("empty separator");
  // rfind() looks at every character of the separator at every place.
  if (kFromRight) {
    const size_t size = self.text().size();
    PHIAL_TRY(rt.step_for_characters(size * std::min(separator.size(), size)));
  }
  return splitter.by_text(separator, most);
}

Result<Value> splitlines(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "splitlines", args, {"keepends"}));
  PHIAL_TRY(rt.step_for_characters(self.text().size()));
  std::vector<Value> parts;
  for (const std::string_view line : split_lines(self.text(), truth(bound[0]))) {
    PHIAL_ASSIGN(Value value, like(rt, self, line));
    parts.push_back(std::move(value));
  }
  return rt.list(std::move(parts));
}

// self[start:end] of methods that take such bounds, and its offset in bytes. `valid` is false when
// start lies behind the end of the text, where not even "" is found.
struct Window {
  std::string_view text;
  size_t offset = 0;
  bool valid = true;
};

Result<Window> window(Runtime& rt, const Value& self, const Value& start, const Value& end) {
  const StringData& string = *self.if_string();
  const int64_t length = static_cast<int64_t>(string.length);
  PHIAL_ASSIGN(int64_t from, place_or(rt, start, 0));
  PHIAL_ASSIGN(int64_t to, place_or(rt, end, length));
  if (from < 0) from = std::max<int64_t>(from + length, 0);
  if (to < 0) to = std::max<int64_t>(to + length, 0);
  to = std::min(to, length);
  if (from > to) return Window{{}, 0, false};
  if (!string.ascii()) PHIAL_TRY(rt.step_for_scan(string.text.size()));
  const size_t first = byte_offset(string, static_cast<size_t>(from));
  const size_t last = byte_offset(string, static_cast<size_t>(to));
  return Window{std::string_view(string.text).substr(first, last - first), first, true};
}

template <bool kAtEnd>
Result<Value> has_affix(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "startswith", args, {"", "", ""}, 1));
  PHIAL_ASSIGN(const Window in, window(rt, self, bound[1], bound[2]));
  std::vector<Value> affixes = {bound[0]};
  if (bound[0].is_tuple()) affixes = bound[0].if_list()->items;
  for (const Value& affix : affixes) {
    PHIAL_TRY(rt.step());
    PHIAL_ASSIGN(const std::string_view text, expect_string(rt, affix, "affix"));
    PHIAL_TRY(rt.step_for_bytes(text.size()));
    if (in.valid && (kAtEnd ? in.text.ends_with(text) : in.text.starts_with(text))) {
      return Value(true);
    }
  }
  return Value(false);
}

// find, rfind, index, rindex.
template <bool kFromRight, bool kRaises>
Result<Value> find(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "find", args, {"", "", ""}, 1));
  PHIAL_ASSIGN(const std::string_view needle, expect_string(rt, bound[0], "substring"));
  PHIAL_ASSIGN(const Window in, window(rt, self, bound[1], bound[2]));
  const uint64_t effort = kFromRight ? std::min(needle.size(), in.text.size()) : 1;
  PHIAL_TRY(rt.step_for_scan(in.text.size() * (effort + 1) + needle.size()));
  size_t at = std::string_view::npos;
  if (in.valid) at = kFromRight ? in.text.rfind(needle) : find_text(in.text, needle);
  if (at != std::string_view::npos) {
    const std::string_view before = std::string_view(self.text()).substr(0, in.offset + at);
    return Value(static_cast<int64_t>(count_characters(before)));
  }
  if (kRaises) return rt.raise("substring not found");
  return Value(int64_t{-1});
}

Result<Value> count_text(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "count", args, {"", "", ""}, 1));
  PHIAL_ASSIGN(const std::string_view needle, expect_string(rt, bound[0], "substring"));
  PHIAL_ASSIGN(const Window in, window(rt, self, bound[1], bound[2]));
  if (!in.valid) return Value(int64_t{0});
  PHIAL_TRY(rt.step_for_characters(in.text.size() + needle.size()));
  if (needle.empty()) return Value(static_cast<int64_t>(count_characters(in.text)) + 1);
  int64_t count = 0;
  for (size_t at = 0; (at = find_text(in.text, needle, at)) != std::string_view::npos; ++count) {
    at += needle.size();
  }
  return Value(count);
}

Result<Value> replace(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "replace", args, {"", "", ""}, 2));
  PHIAL_ASSIGN(const std::string_view from, expect_string(rt, bound[0], "replace() argument 1"));
  Value replacement = bound[1];
  // Markup escapes what it takes in, which makes a text of any value.
  if (self.is_markup()) {
    PHIAL_ASSIGN(replacement, escape_value(rt, bound[1]));
  }
  PHIAL_ASSIGN(const std::string_view to, expect_string(rt, replacement, "replace() argument 2"));
  PHIAL_ASSIGN(const int64_t count, integer_or(rt, bound[2], -1));
  PHIAL_ASSIGN(std::string text, replace_text(rt, self.text(), from, to, count));
  return like(rt, self, std::move(text));
}

Result<Value> join(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "join", args, {""}, 1));
  return join_values(rt, self, bound[0], false);
}

template <Side kTextSide>
Result<Value> justify(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "justify", args, {"", ""}, 1));
  PHIAL_ASSIGN(const int64_t width, to_integer(rt, bound[0], "width"));
  if (bound[1].missing()) return pad_text(rt, self, width, " ", kTextSide);
  PHIAL_ASSIGN(const std::string_view fill, expect_string(rt, bound[1], "fill character"));
  if (bound[1].if_string()->length != 1) {
    return rt.raise("The fill character must be exactly one character long");
  }
  return pad_text(rt, self, width, fill, kTextSide);
}

Result<Value> zfill(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "zfill", args, {""}, 1));
  PHIAL_ASSIGN(const int64_t width, to_integer(rt, bound[0], "width"));
  const std::string& text = self.text();
  const bool sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  if (!sign) return pad_text(rt, self, width, "0", Side::right);
  PHIAL_ASSIGN(const Value digits, like(rt, self, std::string_view(text).substr(1)));
  PHIAL_ASSIGN(const Value padded,
               pad_text(rt, digits, std::max<int64_t>(width, 1) - 1, "0", Side::right));
  return like(rt, self, text.substr(0, 1) + padded.text());
}

template <bool kFromRight>
Result<Value> partition(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "partition", args, {""}, 1));
  PHIAL_ASSIGN(const std::string_view separator, expect_string(rt, bound[0], "separator"));
  if (separator.empty()) return rt.raise("empty separator");
  const std::string_view text = self.text();
  const uint64_t effort = kFromRight ? std::min(separator.size(), text.size()) : 1;
  PHIAL_TRY(rt.step_for_scan(text.size() * (effort + 1)));
  const size_t at = kFromRight ? text.rfind(separator) : find_text(text, separator);
  std::string_view parts[3] = {text, "", ""};
  if (at != std::string_view::npos) {
    parts[0] = text.substr(0, at);
    parts[1] = separator;
    parts[2] = text.substr(at + separator.size());
  } else if (kFromRight) {
    std::swap(parts[0], parts[2]);
  }
  std::vector<Value> values;
  for (const std::string_view part : parts) {
    PHIAL_ASSIGN(Value value, like(rt, self, part));
    values.push_back(std::move(value));
  }
  return rt.tuple(std::move(values));
}

template <bool kSuffix>
Result<Value> remove_affix(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "removeprefix", args, {""}, 1));
  PHIAL_ASSIGN(const std::string_view affix, expect_string(rt, bound[0], "affix"));
  std::string_view text = self.text();
  if (kSuffix && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!kSuffix && text.starts_with(affix)) text.remove_prefix(affix.size());
  return like(rt, self, text);
}

Result<Value> expandtabs(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "expandtabs", args, {"tabsize"}));
  PHIAL_ASSIGN(const int64_t size, integer_or(rt, bound[0], 8));
  PHIAL_TRY(rt.step_for_characters(self.text().size()));
  Builder out(rt);
  int64_t column = 0;
  for (const char c : self.text()) {
    if (c == '\t') {
      if (size > 0) {
        const int64_t pad = size - column % size;
        PHIAL_TRY(out.add(static_cast<size_t>(pad), ' '));
        column += pad;
      }
      continue;
    }
    PHIAL_TRY(out.add(1, c));
    if (c == '\n' || c == '\r')
      column = 0;
    else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80)
      ++column;
  }
  return like(rt, self, out.take());
}

Result<Value> format(Runtime& rt, const Value& self, Args& args) {
  return format_braces(rt, self, args);
}

Result<Value> format_map(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "format_map", args, {""}, 1));
  CallArgs named;
  if (bound[0].if_dict() == nullptr) return rt.raise("format_map() needs a mapping");
  for (const auto& [key, value] : bound[0].if_dict()->members) {
    if (key.is_string()) named.named.emplace_back(key.text(), value);
  }
  return format_braces(rt, self, named);
}

// All characters of a text that is not empty belong to a class.
template <bool (*kInClass)(char32_t), bool kOfEmpty>
Result<Value> all_are(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "str method", args, {}));
  std::string_view rest = self.text();
  PHIAL_TRY(rt.step_for_characters(rest.size()));
  if (rest.empty()) return Value(kOfEmpty);
  while (!rest.empty()) {
    const utf8::Decoded c = utf8::decode(rest);
    if (!kInClass(c.code_point)) return Value(false);
    rest.remove_prefix(c.length);
  }
  return Value(true);
}

bool is_alphanumeric(char32_t c) { return is_alpha(c) || is_digit(c) || is_numeric(c); }
bool is_ascii(char32_t c) { return c < 0x80; }

template <bool (*kHolds)(std::string_view)>
Result<Value> text_is(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "str method", args, {}));
  PHIAL_TRY(rt.step_for_characters(self.text().size()));
  return Value(kHolds(self.text()));
}

Result<Value> istitle(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "istitle", args, {}));
  std::string_view rest = self.text();
  PHIAL_TRY(rt.step_for_characters(rest.size()));
  bool found = false;
  bool previous_cased = false;
  while (!rest.empty()) {
    const utf8::Decoded c = utf8::decode(rest);
    const bool cased = is_cased(c.code_point);
    if (cased && is_lower(c.code_point) != previous_cased) return Value(false);
    found = found || cased;
    previous_cased = cased;
    rest.remove_prefix(c.length);
  }
  return Value(found);
}

constexpr NamedNative kStringMethods[] = {
    {"capitalize", map_text<to_capitalized>},
    {"casefold", map_text<fold_case>},
    {"center", justify<Side::both>},
    {"count", count_text},
    {"endswith", has_affix<true>},
    {"expandtabs", expandtabs},
    {"find", find<false, false>},
    {"format", format},
    {"format_map", format_map},
    {"index", find<false, true>},
    {"isalnum", all_are<is_alphanumeric, false>},
    {"isalpha", all_are<is_alpha, false>},
    {"isascii", all_are<is_ascii, true>},
    {"isdecimal", all_are<is_decimal, false>},
    {"isdigit", all_are<is_digit, false>},
    {"isidentifier", text_is<is_identifier>},
    {"islower", text_is<is_lower_text>},
    {"isnumeric", all_are<is_numeric, false>},
    {"isprintable", all_are<is_printable, true>},
    {"isspace", all_are<is_space, false>},
    {"istitle", istitle},
    {"isupper", text_is<is_upper_text>},
    {"join", join},
    {"ljust", justify<Side::left>},
    {"lower", map_text<to_lower>},
    {"lstrip", strip<Side::left>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", justify<Side::right>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip<Side::right>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", has_affix<false>},
    {"strip", strip<Side::both>},
    {"swapcase", map_text<swap_case>},
    {"title", map_text<to_title>},
    {"upper", map_text<to_upper>},
    {"zfill", zfill},
};

Result<Value> dict_get(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "get", args, {"", ""}, 1));
  PHIAL_ASSIGN(const uint64_t hash, hash_of_key(rt, bound[0]));
  PHIAL_ASSIGN(const Value* found, self.if_dict()->find(rt, bound[0], hash));
  if (found != nullptr) return *found;
  return bound[1].missing() ? Value::none() : bound[1];
}

template <ViewKind kKind>
Result<Value> dict_view(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "dict method", args, {}));
  return make_view(rt, self, kKind);
}

// Nothing can change a container, so that a copy is the container itself.
Result<Value> copy(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "copy", args, {}));
  return self;
}

constexpr NamedNative kDictMethods[] = {
    {"copy", copy},
    {"get", dict_get},
    {"items", dict_view<ViewKind::items>},
    {"keys", dict_view<ViewKind::keys>},
    {"values", dict_view<ViewKind::values>},
};

Result<Value> list_index(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "index", args, {"", "", ""}, 1));
  const std::vector<Value>& items = self.if_list()->items;
  const int64_t size = static_cast<int64_t>(items.size());
  PHIAL_ASSIGN(int64_t from, integer_or(rt, bound[1], 0));
  PHIAL_ASSIGN(int64_t to, integer_or(rt, bound[2], size));
  if (from < 0) from = std::max<int64_t>(from + size, 0);
  if (to < 0) to += size;
  for (int64_t i = from; i < std::min(to, size); ++i) {
    PHIAL_ASSIGN(const bool same, equals(rt, items[static_cast<size_t>(i)], bound[0]));
    if (same) return Value(i);
  }
  return rt.raise("value is not in list");
}

Result<Value> list_count(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "count", args, {""}, 1));
  int64_t count = 0;
  for (const Value& item : self.if_list()->items) {
    PHIAL_ASSIGN(const bool same, equals(rt, item, bound[0]));
    count += same ? 1 : 0;
  }
  return Value(count);
}

constexpr NamedNative kListMethods[] = {
    {"count", list_count}, {"index", list_index}, {"copy", copy}};

constexpr std::string_view kListMutators[] = {"append", "clear", "pop",    "reverse",
                                              "insert", "sort",  "extend", "remove"};
constexpr std::string_view kDictMutators[] = {"clear", "pop", "popitem", "setdefault", "update"};

template <size_t N>
const NamedNative* find_in(const NamedNative (&methods)[N], std::string_view name) {
  for (const NamedNative& method : methods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

}  // namespace

const NamedNative* find_method(const Value& self, std::string_view name) {
  if (self.is_string()) return find_in(kStringMethods, name);
  if (self.if_dict() != nullptr) return find_in(kDictMethods, name);
  if (self.is_tuple() && name == "copy") return nullptr;
  return self.if_list() != nullptr ? find_in(kListMethods, name) : nullptr;
}

bool is_mutator(const Value& self, std::string_view name) {
  const auto has = [name](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (self.if_dict() != nullptr) return has(kDictMutators);
  return self.is_list() && has(kListMutators);
}

}  // namespace phial::jinja

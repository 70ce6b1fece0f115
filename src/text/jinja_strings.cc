#include "text/jinja_strings.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja_ops.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

class CharacterSet {
 public:
  explicit CharacterSet(std::optional<std::string_view> chars) : spaces_(!chars) {
    std::string_view rest = chars.value_or("");
    while (!rest.empty()) {
      const utf8::Decoded c = utf8::decode(rest);
      members_.push_back(c.code_point);
      rest.remove_prefix(c.length);
    }
    std::sort(members_.begin(), members_.end());
  }
  bool has(char32_t c) const {
    return spaces_ ? is_space(c) : std::binary_search(members_.begin(), members_.end(), c);
  }

 private:
  bool spaces_;
  std::vector<char32_t> members_;
};

}  // namespace

std::string_view strip_text(std::string_view text, std::optional<std::string_view> chars,
                            Side side) {
  const CharacterSet set(chars);
  while (side != Side::right && !text.empty()) {
    const utf8::Decoded c = utf8::decode(text);
    if (!set.has(c.code_point)) break;
    text.remove_prefix(c.length);
  }
  while (side != Side::left && !text.empty()) {
    const size_t last = utf8::floor_boundary(text, text.size() - 1);
    if (!set.has(utf8::decode(text.substr(last)).code_point)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const utf8::Decoded c = utf8::decode(text.substr(at));
    const size_t end = at;
    at += c.length;
    if (!is_line_end(c.code_point)) continue;
    if (c.code_point == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(start, (keep_ends ? at : end) - start));
    start = at;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

Result<std::string> replace_text(Runtime& rt, std::string_view text, std::string_view from,
                                 std::string_view to, int64_t count) {
  PHIAL_TRY(rt.step_for_characters(text.size() + from.size()));
  Builder out(rt);
  size_t at = 0;
  if (from.empty()) {
    // Between all characters, and at both ends.
    for (; count != 0; --count) {
      PHIAL_TRY(out.add(to));
      if (at == text.size()) return out.take();
      const size_t length = utf8::decode(text.substr(at)).length;
      PHIAL_TRY(out.add(text.substr(at, length)));
      at += length;
    }
  }
  for (; count != 0; --count) {
    // A long pattern is prepared anew for each hit; hits of a long pattern are few.
    const size_t found = find_text(text, from, at);
    if (found == std::string_view::npos) break;
    PHIAL_TRY(out.add(text.substr(at, found - at)));
    PHIAL_TRY(out.add(to));
    at = found + from.size();
  }
  PHIAL_TRY(out.add(text.substr(at)));
  return out.take();
}

Result<Value> join_values(Runtime& rt, const Value& separator, const Value& items, bool convert) {
  PHIAL_ASSIGN(std::unique_ptr<Iterator> iterator, iterate(rt, items));
  const bool escape = separator.is_markup() && !convert;
  Builder out(rt);
  Value item;
  for (size_t i = 0;; ++i) {
    PHIAL_ASSIGN(const bool more, iterator->next(rt, item));
    if (!more) break;
    if (i > 0) PHIAL_TRY(out.add(separator.text()));
    if (!convert && !escape && !item.is_string()) {
      return rt.raise("sequence item " + std::to_string(i) + ": expected str instance, " +
                      std::string(item.type_name()) + " found");
    }
    if (escape) {
      PHIAL_ASSIGN(item, escape_value(rt, item));
    }
    PHIAL_TRY(write_str(rt, out, item));
  }
  return rt.string(out.take(), escape);
}

Result<Value> pad_text(Runtime& rt, const Value& text, int64_t width, std::string_view fill,
                       Side text_side) {
  const size_t length = text.if_string()->length;
  if (width <= static_cast<int64_t>(length)) return text;
  const size_t pad = static_cast<size_t>(width) - length;
  PHIAL_TRY(rt.check_string_size(pad));
  PHIAL_TRY(rt.step_for_characters(pad));
  // As CPython's center: the odd space goes left when the width is odd, too.
  size_t before = pad;
  if (text_side == Side::left) before = 0;
  if (text_side == Side::both) before = pad / 2 + (pad & static_cast<size_t>(width) & 1);
  Builder out(rt);
  for (size_t i = 0; i < before; ++i) PHIAL_TRY(out.add(fill));
  PHIAL_TRY(out.add(text.text()));
  for (size_t i = before; i < pad; ++i) PHIAL_TRY(out.add(fill));
  return rt.string(out.take(), text.is_markup());
}

}  // namespace phial::jinja

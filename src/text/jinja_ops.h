// The operations of Python on template values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_runtime.h"
#include "text/jinja_value.h"

namespace phial::jinja {

enum class BinaryOp : uint8_t { add, sub, mul, div, floordiv, mod, pow };
enum class CompareOp : uint8_t { eq, ne, lt, le, gt, ge, in, not_in };

// bool(value)
bool truth(const Value& value);
Result<bool> equals(Runtime& rt, const Value& a, const Value& b);
// a < b; raises for types without order.
Result<bool> less(Runtime& rt, const Value& a, const Value& b);
Result<bool> compare(Runtime& rt, CompareOp op, const Value& a, const Value& b);
// item in container
Result<bool> contains(Runtime& rt, const Value& container, const Value& item);
Result<Value> binary(Runtime& rt, BinaryOp op, const Value& a, const Value& b);
Result<Value> negate(Runtime& rt, const Value& value);
Result<Value> positive(Runtime& rt, const Value& value);
// hash(value); raises for what cannot be the key of a dict.
Result<uint64_t> hash_of_key(Runtime& rt, const Value& value);
// list.sort() by a "less than" that may raise; stable.
template <class Less>
Status stable_sort(Runtime& rt, std::vector<Value>& items, Less less_than);

// `object.name`: the attribute, else the item; undefined when there is neither.
Result<Value> get_attribute(Runtime& rt, const Value& object, std::string_view name);
// `object[key]`: the item, else the attribute of that name.
Result<Value> get_item(Runtime& rt, const Value& object, const Value& key);
// `object[start:stop:step]`; none and "missing" are omitted bounds.
Result<Value> get_slice(Runtime& rt, const Value& object, const Value& start, const Value& stop,
                        const Value& step);
// Raises when `value` is not iterable.
Result<std::unique_ptr<Iterator>> iterate(Runtime& rt, const Value& value);
bool is_iterable(const Value& value);
// list(value)
Result<std::vector<Value>> to_vector(Runtime& rt, const Value& value);
// len(value), or nothing when the type has none.
Result<std::optional<int64_t>> length_of(Runtime& rt, const Value& value);
Result<Value> call(Runtime& rt, const Value& function, CallArgs& args);

// An int (or bool); raises with the role of the argument in words.
Result<int64_t> to_integer(Runtime& rt, const Value& value, std::string_view role);
// The text of a str; raises for anything else.
Result<std::string_view> expect_string(Runtime& rt, const Value& value, std::string_view role);

// str(value), repr(value). `depth` counts the containers around.
Status write_str(Runtime& rt, Builder& out, const Value& value);
Status write_repr(Runtime& rt, Builder& out, const Value& value, int depth = 0);
// ascii(value)
Status write_ascii(Runtime& rt, Builder& out, const Value& value);
Result<std::string> to_str(Runtime& rt, const Value& value);
// str(value) as a value; strings (Markup too) stay what they are.
Result<Value> to_string_value(Runtime& rt, const Value& value);
// The text with &, <, >, ' and " as HTML entities.
Result<std::string> escape_html(Runtime& rt, std::string_view text);
// escape(value): Markup stays, all else is escaped.
Result<Value> escape_value(Runtime& rt, const Value& value);

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // of one level; none: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
// json.dumps(); raises for values that JSON lacks.
Status write_json(Runtime& rt, Builder& out, const Value& value, const JsonStyle& style);

// Byte offset of the character number `index` of `string`. REQUIRES: index <= string.length
size_t byte_offset(const StringData& string, size_t index);
// First occurrence of `needle` at or after `from`, in linear time; npos when there is none.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);

// range(start, stop, step). REQUIRES: step != 0
Result<Value> make_range(Runtime& rt, int64_t start, int64_t stop, int64_t step);
// dict.keys(), values(), items().
enum class ViewKind : uint8_t { keys, values, items };
Result<Value> make_view(Runtime& rt, const Value& dict, ViewKind kind);
// A generator object over `iterator`; `source` is what it pulls from.
Result<Value> make_generator(Runtime& rt, std::unique_ptr<Iterator> iterator, const Value& source,
                             std::string_view type_name = "generator");

template <class Less>
Status stable_sort(Runtime& rt, std::vector<Value>& items, Less less_than) {
  std::vector<Value> scratch(items.size());
  for (size_t width = 1; width < items.size(); width *= 2) {
    for (size_t low = 0; low < items.size(); low += 2 * width) {
      const size_t middle = std::min(low + width, items.size());
      const size_t high = std::min(low + 2 * width, items.size());
      size_t a = low;
      size_t b = middle;
      for (size_t to = low; to < high; ++to) {
        bool from_right = a == middle;
        if (a < middle && b < high) {
          PHIAL_TRY(rt.step());
          PHIAL_ASSIGN(from_right, less_than(items[b], items[a]));
        }
        scratch[to] = std::move(items[from_right ? b++ : a++]);
      }
    }
    items.swap(scratch);
  }
  return {};
}

}  // namespace phial::jinja

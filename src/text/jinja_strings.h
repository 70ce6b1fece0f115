// Python's str methods on plain text, shared by the methods and the filters of templates.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_runtime.h"

namespace phial::jinja {

enum class Side : uint8_t { left, right, both };

// text.strip(chars); without `chars`, white space.
std::string_view strip_text(std::string_view text, std::optional<std::string_view> chars,
                            Side side);

// The lines of `text` without their ends (str.splitlines).
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// text.replace(from, to, count); a negative count replaces all.
Result<std::string> replace_text(Runtime& rt, std::string_view text, std::string_view from,
                                 std::string_view to, int64_t count);

// separator.join(items): with `convert`, str() of each item, else items must be strings.
Result<Value> join_values(Runtime& rt, const Value& separator, const Value& items, bool convert);

// text.center(width) and the like: `left` of the padding goes before.
Result<Value> pad_text(Runtime& rt, const Value& text, int64_t width, std::string_view fill,
                       Side text_side);

}  // namespace phial::jinja

// UTF-8 as defined by RFC 3629: no surrogates, no overlong forms, at most U+10FFFF.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace phial::utf8 {

inline constexpr char32_t kReplacement = 0xFFFD;

struct Decoded {
  char32_t code_point;  // kReplacement when not valid
  size_t length;        // bytes taken: of the character, or of the maximal invalid prefix (>= 1)
  bool valid;
};

// The first character of `text`. An invalid sequence takes its maximal valid prefix, as Unicode's
// "substitution of maximal subparts" (and Python's and Rust's lossy decoding) asks.
// REQUIRES: !text.empty()
Decoded decode(std::string_view text);

void append(std::string& out, char32_t code_point);

// Byte offset of the first invalid sequence, or nothing when all of `text` is UTF-8.
std::optional<size_t> find_invalid(std::string_view text);

// `text` with each maximal invalid subpart replaced by U+FFFD.
std::string lossy(std::string_view text);

// The largest offset <= `at` that does not lie inside a character (or a maximal invalid subpart) of
// `text`; its size when `at` is beyond the end.
size_t floor_boundary(std::string_view text, size_t at);

// Number of bytes at the end of `text` that begin a character which is not complete yet (0..3).
size_t incomplete_suffix(std::string_view text);

}  // namespace phial::utf8

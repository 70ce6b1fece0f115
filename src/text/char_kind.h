// Kinds of characters as bits, so that a class of a regular expression is a mask. They are those of
// the engine in Hugging Face `tokenizers` 0.23 (Oniguruma 6.9.10, Unicode 16) for every code point.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/utf8.h"

namespace phial::char_kind {

using Mask = uint16_t;

inline constexpr Mask kUpper = 1 << 0;        // \p{Lu} and \p{Lt}
inline constexpr Mask kLower = 1 << 1;        // \p{Ll}
inline constexpr Mask kOtherLetter = 1 << 2;  // \p{Lm} and \p{Lo}
inline constexpr Mask kMark = 1 << 3;         // \p{M}
inline constexpr Mask kNumber = 1 << 4;       // \p{N}
inline constexpr Mask kPunctuation = 1 << 5;  // \p{P}
inline constexpr Mask kSymbol = 1 << 6;       // \p{S}
inline constexpr Mask kSpace = 1 << 7;        // \s, without line breaks
inline constexpr Mask kLineBreak = 1 << 8;    // \r and \n
inline constexpr Mask kRest = 1 << 9;         // everything else: every character has one bit

inline constexpr Mask kLetter = kUpper | kLower | kOtherLetter;  // \p{L}
inline constexpr Mask kWhite = kSpace | kLineBreak;              // \s
inline constexpr Mask kAll = 0x3FF;

inline constexpr std::array<Mask, 128> kAscii = [] {
  std::array<Mask, 128> table{};
  table.fill(kRest);
  for (size_t c = 0x21; c < 0x7F; ++c) table[c] = kPunctuation;
  for (const char c : std::string_view("$+<=>^`|~")) table[static_cast<size_t>(c)] = kSymbol;
  for (size_t c = '0'; c <= '9'; ++c) table[c] = kNumber;
  for (size_t c = 'A'; c <= 'Z'; ++c) table[c] = kUpper;
  for (size_t c = 'a'; c <= 'z'; ++c) table[c] = kLower;
  for (const char c : std::string_view("\t\v\f ")) table[static_cast<size_t>(c)] = kSpace;
  table['\r'] = table['\n'] = kLineBreak;
  return table;
}();

// Of U+0080 and above.
Mask wide(char32_t c);

// \p{Han}
bool is_han(char32_t c);

struct Char {
  char32_t code_point;
  uint32_t length;  // bytes
  Mask kind;
};

// The character that begins at byte `at`. REQUIRES: at < text.size(), text is UTF-8
inline Char char_at(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 128) return {byte, 1, kAscii[byte]};
  const utf8::Decoded c = utf8::decode(text.substr(at));
  return {c.code_point, static_cast<uint32_t>(c.length), wide(c.code_point)};
}

}  // namespace phial::char_kind

// Classes of characters as the regular expressions of tokenizer files see them: \p{L}, \p{N} and
// \s as in Oniguruma (the engine of Hugging Face `tokenizers`), \w as in Rust's regex crate (used
// there around added tokens). Data: utf8proc, Unicode 15.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/utf8.h"

namespace phial::unicode {

enum class CharClass : uint8_t {
  other,
  letter,  // \p{L}
  number,  // \p{N}
  space,   // \s: the property White_Space
};

// Classes of U+0080 and above.
CharClass wide_char_class(char32_t c);

inline constexpr std::array<CharClass, 128> kAsciiClass = [] {
  std::array<CharClass, 128> table{};
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = CharClass::letter;
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<size_t>(c)] = CharClass::letter;
  for (char c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = CharClass::number;
  for (char c = '\t'; c <= '\r'; ++c) table[static_cast<size_t>(c)] = CharClass::space;
  table[' '] = CharClass::space;
  return table;
}();

inline CharClass char_class(char32_t c) { return c < 128 ? kAsciiClass[c] : wide_char_class(c); }
inline bool is_space(char32_t c) { return char_class(c) == CharClass::space; }

// \p{P}
bool is_punctuation(char32_t c);

// \w: Alphabetic, \p{M}, \p{Nd}, \p{Pc} or Join_Control.
bool is_word(char32_t c);

struct Char {
  char32_t code_point;
  uint32_t length;  // bytes
  CharClass kind;
};

// The character that begins at byte `at`. REQUIRES: at < text.size(), text is UTF-8
inline Char char_at(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 128) return {byte, 1, kAsciiClass[byte]};
  const utf8::Decoded c = utf8::decode(text.substr(at));
  return {c.code_point, static_cast<uint32_t>(c.length), wide_char_class(c.code_point)};
}

// The character that ends before byte `end`. REQUIRES: 0 < end <= text.size(), text is UTF-8
Char char_before(std::string_view text, size_t end);

}  // namespace phial::unicode

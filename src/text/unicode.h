// Properties of characters as Hugging Face `tokenizers` 0.23 sees them. It mixes tables of several
// Unicode versions; unicode_table.inc holds what it makes of every code point.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace phial::unicode {

// Beyond ASCII: the property White_Space, which is also \s of Oniguruma and Rust's
// char::is_whitespace.
bool is_wide_space(char32_t c);
inline bool is_space(char32_t c) {
  return c < 128 ? c == ' ' || (c >= '\t' && c <= '\r') : is_wide_space(c);
}

// \w of Rust's regex crate: Alphabetic, \p{M}, \p{Nd}, \p{Pc} or Join_Control.
bool is_word(char32_t c);

// Rust's char::is_numeric.
bool is_numeric(char32_t c);

// Punctuation to the pre-tokenizers Punctuation and BertPreTokenizer: ASCII's, and what Unicode 8
// calls so.
bool is_bert_punctuation(char32_t c);

// What BertNormalizer's clean_text drops: U+0000, U+FFFD and controls, formats, private use.
bool is_bert_dropped(char32_t c);

// \p{Mn} and \p{M}, both of Unicode 9.
bool is_nonspacing_mark(char32_t c);
bool is_combining_mark(char32_t c);

// Whether the normal forms leave this code point as it is, however newer tables decompose, compose
// or order it.
bool is_new_to_normal_forms(char32_t c);

// A number for the script that the pre-tokenizer UnicodeScripts takes `c` for; 0: goes with any.
uint8_t script(char32_t c);

// Rust's char::to_lowercase: one character by itself, U+0130 becomes two.
void append_lowercase(std::string& out, char32_t c);

struct Char {
  char32_t code_point;
  uint32_t length;  // bytes
  bool is_space() const { return unicode::is_space(code_point); }
};

// The character that begins at byte `at`. REQUIRES: at < text.size(), text is UTF-8
inline Char char_at(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 128) return {byte, 1};
  const utf8::Decoded c = utf8::decode(text.substr(at));
  return {c.code_point, static_cast<uint32_t>(c.length)};
}

// The character that ends before byte `end`. REQUIRES: 0 < end <= text.size(), text is UTF-8
Char char_before(std::string_view text, size_t end);

}  // namespace phial::unicode

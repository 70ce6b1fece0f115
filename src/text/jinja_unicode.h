// What Python's str knows about characters: white space, identifiers, case mappings (the full ones
// of Unicode's SpecialCasing, which utf8proc lacks) and the classes behind isdigit() and friends.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace phial::jinja {

// str.isspace() of one character; also what strip(), split() and a regular expression's \s take.
bool is_space(char32_t c);
// The first offset >= `at` that holds no white space.
size_t skip_space(std::string_view text, size_t at);
std::string_view rstrip_space(std::string_view text);
std::string_view strip_space(std::string_view text);

// The end of the run of word characters that begins at `at`; `at` when there is none.
size_t name_end(std::string_view text, size_t at);
// str.isidentifier() of a run of word characters.
bool is_identifier(std::string_view name);
// \w of a regular expression.
bool is_word(char32_t c);

bool is_printable(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_lower(char32_t c);
bool is_upper(char32_t c);
bool is_title(char32_t c);
// A letter that has case.
bool is_cased(char32_t c);

// str.islower(), str.isupper(): there is a cased character, and all of them are of that case.
bool is_lower_text(std::string_view text);
bool is_upper_text(std::string_view text);

// Code points of valid UTF-8.
size_t count_characters(std::string_view text);

// Case mappings of whole strings; the result is at most three times as long in bytes.
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string to_title(std::string_view text);        // str.title()
std::string to_capitalized(std::string_view text);  // str.capitalize()
std::string swap_case(std::string_view text);
std::string fold_case(std::string_view text);

}  // namespace phial::jinja

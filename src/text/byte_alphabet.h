// The byte-level alphabet of GPT-2: a printable character for each of the 256 bytes, so that
// vocabularies of bytes can be written as text. Bytes 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand for
// the character of that number; the other 68, in order, for U+0100, U+0101 ... (a space is U+0120).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace phial::byte_alphabet {

char32_t to_char(uint8_t byte);
std::optional<uint8_t> to_byte(char32_t c);

// `bytes` written in the alphabet.
std::string encode(std::string_view bytes);

// The bytes that `text` stands for; nothing when it holds a character outside the alphabet.
std::optional<std::string> decode(std::string_view text);

}  // namespace phial::byte_alphabet

#include "text/byte_alphabet.h"

#include <array>

#include "base/utf8.h"

namespace phial::byte_alphabet {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<char16_t, 256> kCharOfByte = [] {
  std::array<char16_t, 256> table{};
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    table[byte] = static_cast<char16_t>(stands_for_itself(byte) ? byte : next++);
  }
  return table;
}();

constexpr char32_t kEnd = 0x100 + 68;
static_assert(kCharOfByte[0xAD] == kEnd - 1);

constexpr std::array<int16_t, kEnd> kByteOfChar = [] {
  std::array<int16_t, kEnd> table{};
  table.fill(-1);
  for (unsigned byte = 0; byte < 256; ++byte) {
    table[kCharOfByte[byte]] = static_cast<int16_t>(byte);
  }
  return table;
}();

}  // namespace

char32_t to_char(uint8_t byte) { return kCharOfByte[byte]; }

std::optional<uint8_t> to_byte(char32_t c) {
  if (c >= kEnd || kByteOfChar[c] < 0) return std::nullopt;
  return static_cast<uint8_t>(kByteOfChar[c]);
}

std::string encode(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char byte : bytes) utf8::append(out, to_char(static_cast<uint8_t>(byte)));
  return out;
}

std::optional<std::string> decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  while (at < text.size()) {
    const utf8::Decoded c = utf8::decode(text.substr(at));
    const std::optional<uint8_t> byte = c.valid ? to_byte(c.code_point) : std::nullopt;
    if (!byte) return std::nullopt;
    out += static_cast<char>(*byte);
    at += c.length;
  }
  return out;
}

}  // namespace phial::byte_alphabet

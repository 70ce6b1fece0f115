#include "base/utf8.h"

#include <algorithm>
#include <cstdint>

namespace phial::utf8 {
namespace {

uint8_t byte_at(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// What a lead byte asks for (Unicode Standard, table 3-7).
struct Lead {
  size_t length;  // 0: not a lead byte
  uint8_t low;    // range of the second byte
  uint8_t high;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Bytes of `text` that form a valid prefix of the sequence its first byte announces.
size_t valid_prefix(std::string_view text, const Lead& lead) {
  size_t n = 1;
  while (n < lead.length && n < text.size()) {
    const uint8_t low = n == 1 ? lead.low : 0x80;
    const uint8_t high = n == 1 ? lead.high : 0xBF;
    if (byte_at(text, n) < low || byte_at(text, n) > high) break;
    ++n;
  }
  return n;
}

}  // namespace

Decoded decode(std::string_view text) {
  const uint8_t first = byte_at(text, 0);
  const Lead lead = lead_of(first);
  if (lead.length == 1) return {first, 1, true};
  if (lead.length == 0) return {kReplacement, 1, false};
  const size_t n = valid_prefix(text, lead);
  if (n < lead.length) return {kReplacement, n, false};
  char32_t c = first & (0x7F >> lead.length);
  for (size_t i = 1; i < n; ++i) c = (c << 6) | (byte_at(text, i) & 0x3F);
  return {c, n, true};
}

void append(std::string& out, char32_t c) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::optional<size_t> find_invalid(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Decoded c = decode(text.substr(at));
    if (!c.valid) return at;
    at += c.length;
  }
  return std::nullopt;
}

std::string lossy(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  while (at < text.size()) {
    const Decoded c = decode(text.substr(at));
    append(out, c.code_point);
    at += c.length;
  }
  return out;
}

size_t floor_boundary(std::string_view text, size_t at) {
  if (at >= text.size()) return text.size();
  // A byte that is no continuation begins something; a continuation byte belongs to the nearest
  // such byte before it, if what begins there reaches this far.
  const auto is_continuation = [text](size_t i) { return (byte_at(text, i) & 0xC0) == 0x80; };
  if (!is_continuation(at)) return at;
  for (size_t back = 1; back < 4 && back <= at; ++back) {
    if (is_continuation(at - back)) continue;
    return decode(text.substr(at - back)).length > back ? at - back : at;
  }
  return at;
}

size_t incomplete_suffix(std::string_view text) {
  const size_t most = std::min<size_t>(3, text.size());
  for (size_t n = 1; n <= most; ++n) {
    const std::string_view tail = text.substr(text.size() - n);
    const Lead lead = lead_of(byte_at(tail, 0));
    if (lead.length > n) return valid_prefix(tail, lead) == n ? n : 0;
    if (lead.length != 0) return 0;
  }
  return 0;
}

}  // namespace phial::utf8

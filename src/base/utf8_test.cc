#include "base/utf8.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <unordered_set>
#include <vector>

namespace phial::utf8 {
namespace {

constexpr char32_t kLast = 0x10FFFF;

bool is_surrogate(char32_t c) { return c >= 0xD800 && c <= 0xDFFF; }

uint32_t key_of(std::string_view bytes) {  // of at most three bytes
  uint32_t key = 1;
  for (const char byte : bytes) key = key << 8 | static_cast<uint8_t>(byte);
  return key;
}

// Every proper prefix of the encoding of a code point, from enumerating them all: with it, the
// definitions (Unicode Standard 3.9, D93b "maximal subpart") can be written down as they are.
const std::unordered_set<uint32_t>& proper_prefixes() {
  static const auto* const prefixes = [] {
    auto* out = new std::unordered_set<uint32_t>;
    for (char32_t c = 0x80; c <= kLast; ++c) {
      if (is_surrogate(c)) continue;
      std::string bytes;
      append(bytes, c);
      for (size_t n = 1; n < bytes.size(); ++n) out->insert(key_of(bytes.substr(0, n)));
    }
    return out;
  }();
  return *prefixes;
}

// Number of bytes (0..3) at the start of `text` that are a proper prefix of a character.
size_t longest_proper_prefix(std::string_view text) {
  size_t n = 0;
  while (n < 3 && n < text.size() && proper_prefixes().contains(key_of(text.substr(0, n + 1)))) ++n;
  return n;
}

// Both sides of every boundary of table 3-7, and bytes that are never valid.
constexpr std::array<uint8_t, 26> kEdgeBytes = {
    0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
    0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFF};

// Calls fn with every string of `length` edge bytes.
template <class Fn>
void for_each_edge_string(size_t length, const Fn& fn) {
  size_t count = 1;
  for (size_t i = 0; i < length; ++i) count *= kEdgeBytes.size();
  std::string text(length, '\0');
  for (size_t index = 0; index < count; ++index) {
    for (size_t i = 0, rest = index; i < length; ++i, rest /= kEdgeBytes.size()) {
      text[i] = static_cast<char>(kEdgeBytes[rest % kEdgeBytes.size()]);
    }
    fn(text);
  }
}

std::string pair_of(int first, int second) {
  return {static_cast<char>(first), static_cast<char>(second)};
}

std::string hex(std::string_view text) {
  std::string out;
  for (const char byte : text) {
    out += "0123456789abcdef"[static_cast<uint8_t>(byte) >> 4];
    out += "0123456789abcdef"[static_cast<uint8_t>(byte) & 15];
  }
  return out;
}

TEST(Utf8, EveryCodePointMakesARoundTrip) {
  for (char32_t c = 0; c <= kLast; ++c) {
    if (is_surrogate(c)) continue;
    std::string bytes;
    append(bytes, c);
    ASSERT_EQ(bytes.size(), c < 0x80 ? 1u : c < 0x800 ? 2u : c < 0x10000 ? 3u : 4u);
    const Decoded decoded = decode(bytes + "\x80");
    ASSERT_TRUE(decoded.valid) << uint32_t{c};
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.length, bytes.size());
  }
}

TEST(Utf8, EncodesAsPythonDoes) {
  const std::pair<char32_t, const char*> kCases[] = {
      {0x24, "24"},          {0x7F, "7f"},       {0x80, "c280"},        {0xA3, "c2a3"},
      {0x7FF, "dfbf"},       {0x800, "e0a080"},  {0x20AC, "e282ac"},    {0xD7FF, "ed9fbf"},
      {0xE000, "ee8080"},    {0xFFFF, "efbfbf"}, {0x10000, "f0908080"}, {0x1F600, "f09f9880"},
      {0x10FFFF, "f48fbfbf"}};
  for (const auto& [c, bytes] : kCases) {
    std::string out;
    append(out, c);
    EXPECT_EQ(hex(out), bytes);
  }
}

// All strings of one and two bytes, and of edge bytes up to four, against the definitions.
TEST(Utf8, DecodeTakesACharacterOrItsMaximalSubpart) {
  const auto check = [](std::string_view text) {
    const Decoded got = decode(text);
    const size_t prefix = longest_proper_prefix(text);
    if (got.valid) {
      std::string encoded;
      append(encoded, got.code_point);
      ASSERT_FALSE(is_surrogate(got.code_point)) << hex(text);
      ASSERT_LE(got.code_point, kLast) << hex(text);
      ASSERT_EQ(encoded, text.substr(0, got.length)) << hex(text);
      ASSERT_EQ(prefix, got.length - 1) << hex(text);
    } else {
      ASSERT_EQ(got.code_point, kReplacement) << hex(text);
      ASSERT_EQ(got.length, std::max<size_t>(prefix, 1)) << hex(text);
    }
  };
  for (int first = 0; first < 256; ++first) {
    check(std::string(1, static_cast<char>(first)));
    for (int second = 0; second < 256; ++second) {
      check(pair_of(first, second));
    }
  }
  for_each_edge_string(3, check);
  for_each_edge_string(4, check);
}

// A valid string is never called invalid: the test above sees only what decode() calls valid.
TEST(Utf8, ValidCountsOfShortStrings) {
  size_t valid = 0;
  for (int first = 0; first < 256; ++first) {
    valid += decode(std::string(1, static_cast<char>(first))).valid;
    for (int second = 0; second < 256; ++second) {
      valid += first >= 0x80 && decode(pair_of(first, second)).valid;
    }
  }
  EXPECT_EQ(valid, 0x80u + (0x800u - 0x80u));
}

TEST(Utf8, FindInvalidGivesTheFirstBadByte) {
  EXPECT_EQ(find_invalid(""), std::nullopt);
  EXPECT_EQ(find_invalid("aé€😀"), std::nullopt);
  EXPECT_EQ(find_invalid("\xFF"), 0u);
  EXPECT_EQ(find_invalid("aé\x80z"), 3u);
  EXPECT_EQ(find_invalid("€\xE2\x82"), 3u);         // cut short
  EXPECT_EQ(find_invalid("ab\xED\xA0\x80"), 2u);    // a surrogate
  EXPECT_EQ(find_invalid("\xC0\xAF"), 0u);          // overlong
  EXPECT_EQ(find_invalid("\xF4\x90\x80\x80"), 0u);  // beyond U+10FFFF
  EXPECT_EQ(find_invalid(std::string_view("\0a\xFE", 3)), 2u);
}

// Each expectation is what Python 3.11 prints for bytes.decode("utf-8", "replace").
TEST(Utf8, LossyReplacesMaximalSubparts) {
  const std::pair<std::string_view, const char*> kCases[] = {
      {"abc", "abc"},
      {"\xFF", "\uFFFD"},
      {"\x80\x80", "\uFFFD\uFFFD"},
      {"a\xE2\x82z", "a\uFFFDz"},
      {"a\xE2\x82", "a\uFFFD"},
      {"\xF0\x9F\x98", "\uFFFD"},
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", "\uFFFD😀"},
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xE0\x80\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xC0\xAF", "\uFFFD\uFFFD"},
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
      {"\xF1\x80\x80\xE1\x80\xC2\x62", "\uFFFD\uFFFD\uFFFD\x62"},
      {"\xC2\xC2\xA9", "\uFFFD©"}};
  for (const auto& [bytes, text] : kCases) EXPECT_EQ(lossy(bytes), text) << hex(bytes);
}

TEST(Utf8, LossyTextIsAlwaysValid) {
  for_each_edge_string(4, [](std::string_view text) {
    const std::string out = lossy(text);
    ASSERT_EQ(find_invalid(out), std::nullopt) << hex(text);
    ASSERT_EQ(out == text, find_invalid(text) == std::nullopt) << hex(text);
  });
}

// Walking from the start with decode() visits the boundaries; floor_boundary finds them from any
// place, without the walk.
TEST(Utf8, FloorBoundaryAgreesWithAWalkFromTheStart) {
  for_each_edge_string(4, [](std::string_view text) {
    std::vector<size_t> floor(text.size());
    for (size_t at = 0; at < text.size();) {
      const size_t length = decode(text.substr(at)).length;
      for (size_t i = 0; i < length; ++i) floor[at + i] = at;
      at += length;
    }
    for (size_t at = 0; at < text.size(); ++at) {
      ASSERT_EQ(floor_boundary(text, at), floor[at]) << hex(text) << " at " << at;
    }
    ASSERT_EQ(floor_boundary(text, text.size()), text.size());
    ASSERT_EQ(floor_boundary(text, text.size() + 9), text.size());
  });
  EXPECT_EQ(floor_boundary("", 0), 0u);
  EXPECT_EQ(floor_boundary("a\x80\x80\x80\x80\x80", 5), 5u);
}

// The end of a text is incomplete when it is a proper prefix of a character that begins there.
TEST(Utf8, IncompleteSuffixIsAnUnfinishedCharacter) {
  const auto check = [](std::string_view text) {
    size_t expected = 0;
    for (size_t at = 0; at < text.size();) {
      const Decoded c = decode(text.substr(at));
      const bool at_end = at + c.length == text.size();
      if (!c.valid && at_end && longest_proper_prefix(text.substr(at)) == c.length) {
        expected = c.length;
      }
      at += c.length;
    }
    ASSERT_EQ(incomplete_suffix(text), expected) << hex(text);
  };
  check("");
  for (int first = 0; first < 256; ++first) {
    check(std::string(1, static_cast<char>(first)));
    for (int second = 0; second < 256; ++second) {
      check(pair_of(first, second));
    }
  }
  for_each_edge_string(3, check);
  for_each_edge_string(4, check);
  EXPECT_EQ(incomplete_suffix("ab\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_suffix("ab😀"), 0u);
}

}  // namespace
}  // namespace phial::utf8

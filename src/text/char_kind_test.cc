#include "text/char_kind.h"

#include <gtest/gtest.h>

#include <string>

#include "text/regex.h"

namespace phial {
namespace {

constexpr char32_t kSurrogates = 0xD800;
constexpr char32_t kAfterSurrogates = 0xE000;
constexpr char32_t kCodePoints = 0x110000;

char_kind::Mask kind_of(char32_t c) {
  std::string text;
  utf8::append(text, c);
  return char_kind::char_at(text, 0).kind;
}

template <class Has>
std::vector<bool> set_of(Has has) {
  std::vector<bool> set(kCodePoints);
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (c < kSurrogates || c >= kAfterSurrogates) set[c] = has(c);
  }
  return set;
}

// The code points that Oniguruma finds in a class.
std::vector<bool> set_of_pattern(const char* pattern) {
  std::string text;
  std::vector<char32_t> at_byte(4 * size_t{kCodePoints});
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (c >= kSurrogates && c < kAfterSurrogates) continue;
    at_byte[text.size()] = c;
    utf8::append(text, c);
  }
  const auto matches = Regex::create(std::string(pattern) + "+", "test")->find_all(text);
  EXPECT_TRUE(matches.ok()) << pattern;
  std::vector<bool> set(kCodePoints);
  if (!matches.ok()) return set;
  for (const Regex::Match& match : *matches) {
    for (size_t at = match.begin; at < match.end; at += utf8::decode(text.substr(at, 4)).length) {
      set[at_byte[at]] = true;
    }
  }
  return set;
}

// Of every code point that this engine knows (Unicode 14); and the number of code points in all is
// what `tokenizers` 0.23.3 removes with Split(Regex(pattern), "removed") from a text of all of them
// (Unicode 16, without U+0000).
TEST(CharKind, EveryCharacterHasTheKindOfOniguruma) {
  using namespace char_kind;
  struct Class {
    const char* pattern;
    Mask kinds;
    int count;
  };
  const std::vector<bool> unassigned = set_of_pattern("\\p{Cn}");
  for (const Class& known : {Class{"\\p{L}", kLetter, 141028},
                             {"[\\p{Lu}\\p{Lt}]", kUpper, 1858 + 31},
                             {"\\p{Ll}", kLower, 2258},
                             {"[\\p{Lm}\\p{Lo}]", kOtherLetter, 404 + 136477},
                             {"\\p{M}", kMark, 2501},
                             {"\\p{N}", kNumber, 1911},
                             {"\\p{P}", kPunctuation, 855},
                             {"\\p{S}", kSymbol, 8514},
                             {"\\s", kWhite, 25},
                             {"[\\r\\n]", kLineBreak, 2}}) {
    const std::vector<bool> expected = set_of_pattern(known.pattern);
    const std::vector<bool> found =
        set_of([&](char32_t c) { return (kind_of(c) & known.kinds) != 0; });
    int count = 0;
    for (char32_t c = 0; c < kCodePoints; ++c) {
      count += found[c];
      if (found[c] != expected[c] && !unassigned[c]) {
        ADD_FAILURE() << known.pattern << " U+" << std::hex << uint32_t{c};
      }
    }
    EXPECT_EQ(count, known.count) << known.pattern;
  }
}

TEST(CharKind, Han) {
  const std::vector<bool> unassigned = set_of_pattern("\\p{Cn}");
  const std::vector<bool> expected = set_of_pattern("\\p{Han}");
  int count = 0;
  for (char32_t c = 0; c < kCodePoints; ++c) {
    count += char_kind::is_han(c);
    if (char_kind::is_han(c) != expected[c] && !unassigned[c]) {
      ADD_FAILURE() << "U+" << std::hex << uint32_t{c};
    }
  }
  EXPECT_EQ(count, 99030);  // in `tokenizers` 0.23.3
}

}  // namespace
}  // namespace phial

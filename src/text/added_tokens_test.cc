#include "text/added_tokens.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "sys/test_time.h"

namespace phial {
namespace {

using Parts = std::vector<std::pair<int32_t, std::string_view>>;

Parts split(std::vector<AddedToken> tokens, std::string_view text) {
  Parts parts;
  for (const AddedTokenMatcher::Part& part : AddedTokenMatcher(std::move(tokens)).split(text)) {
    parts.emplace_back(part.id, part.text);
  }
  return parts;
}

// What "leftmost-longest without overlap" says, word for word.
std::vector<StringFinder::Match> naive_find(std::span<const std::string_view> strings,
                                            std::string_view text) {
  std::vector<StringFinder::Match> found;
  for (size_t at = 0; at < text.size();) {
    StringFinder::Match best{at, at, 0};
    for (size_t i = 0; i < strings.size(); ++i) {
      const size_t end = at + strings[i].size();
      if (text.substr(at).starts_with(strings[i]) && end > best.end) {
        best = {at, end, static_cast<uint32_t>(i)};
      }
    }
    if (best.end > at) found.push_back(best);
    at = std::max(best.end, at + 1);
  }
  return found;
}

TEST(StringFinder, EqualsTheNaiveSearch) {
  Rng rng(3);
  const auto random_text = [&rng](uint64_t most) {
    std::string text;
    for (uint64_t n = 1 + rng.next() % most; n > 0; --n)
      text += static_cast<char>('a' + rng.next() % 3);
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> owned;
    for (uint64_t n = 1 + rng.next() % 6; n > 0; --n) owned.push_back(random_text(6));
    std::sort(owned.begin(), owned.end());
    owned.erase(std::unique(owned.begin(), owned.end()), owned.end());
    const std::vector<std::string_view> strings(owned.begin(), owned.end());
    const StringFinder finder(strings);
    const std::string text = random_text(40);
    const auto expected = naive_find(strings, text);
    const auto found = finder.find(text);
    ASSERT_EQ(found.size(), expected.size()) << text;
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].begin, expected[i].begin);
      EXPECT_EQ(found[i].end, expected[i].end);
      EXPECT_EQ(found[i].index, expected[i].index);
    }
  }
}

TEST(StringFinder, NothingToFind) {
  EXPECT_TRUE(StringFinder().find("abc").empty());
  const std::string_view strings[] = {"x"};
  EXPECT_TRUE(StringFinder(strings).find("").empty());
}

// A forward automaton walks 100,000 characters from each of the 1,000,000 starts here.
TEST(StringFinder, IsLinearForLongStringsThatAlmostMatch) {
  const std::string almost = std::string(100'000, 'a') + "b";
  const std::string_view strings[] = {"a", almost};
  const std::string text(1'000'000, 'a');
  const Stopwatch watch;
  EXPECT_EQ(StringFinder(strings).find(text).size(), text.size());
  // 10^11 steps would take minutes, 10^6 take milliseconds.
  EXPECT_LT(watch.seconds(), 10.0);
}

TEST(AddedTokenMatcher, CutsTextAtTokens) {
  const std::vector<AddedToken> tokens = {{.id = 7, .content = "<a>"},
                                          {.id = 8, .content = "<a><b>"}};
  EXPECT_EQ(split(tokens, "x<a>y<a><b>"), (Parts{{-1, "x"}, {7, "<a>"}, {-1, "y"}, {8, "<a><b>"}}));
  EXPECT_EQ(split(tokens, "<a"), (Parts{{-1, "<a"}}));
  EXPECT_EQ(split(tokens, ""), Parts{});
  EXPECT_EQ(split({}, "x"), (Parts{{-1, "x"}}));
}

TEST(AddedTokenMatcher, StripsSpaceOfAnyKind) {
  const std::vector<AddedToken> tokens = {{.id = 1, .content = "<l>", .lstrip = true},
                                          {.id = 2, .content = "<r>", .rstrip = true}};
  EXPECT_EQ(split(tokens, "x \u3000\n<l> y"), (Parts{{-1, "x"}, {1, " \u3000\n<l>"}, {-1, " y"}}));
  EXPECT_EQ(split(tokens, "x <r>\u00A0\t y"), (Parts{{-1, "x "}, {2, "<r>\u00A0\t "}, {-1, "y"}}));
  // What the first took, the second cannot.
  EXPECT_EQ(split(tokens, "<r>  <l>"), (Parts{{2, "<r>  "}, {1, "<l>"}}));
}

TEST(AddedTokenMatcher, SingleWordsTouchNoWordCharacter) {
  const std::vector<AddedToken> tokens = {{.id = 1, .content = "to", .single_word = true}};
  EXPECT_EQ(split(tokens, "to"), (Parts{{1, "to"}}));
  for (const char* neighbour : {"a", "\u00E9", "1", "_", "\u0301", "\u200D", "\u24B6", "\u2160"}) {
    const std::string before = std::string(neighbour) + "to";
    const std::string after = std::string("to") + neighbour;
    EXPECT_EQ(split(tokens, before), (Parts{{-1, before}}));
    EXPECT_EQ(split(tokens, after), (Parts{{-1, after}}));
  }
  for (const char* neighbour : {" ", "-", "\u00B2", "\u200B", "\u20AC"}) {
    const std::string after = std::string("to") + neighbour;
    EXPECT_EQ(split(tokens, after), (Parts{{1, "to"}, {-1, neighbour}}));
  }
}

// Found in `tokenizers`: matches are made before strips widen them.
TEST(AddedTokenMatcher, SpaceTokensInsideAnRstripStillGiveIds) {
  const std::vector<AddedToken> tokens = {{.id = 1, .content = "<r>", .rstrip = true},
                                          {.id = 2, .content = "  "}};
  EXPECT_EQ(split(tokens, "<r>     x"), (Parts{{1, "<r>     "}, {2, "  "}, {2, "  "}, {-1, " x"}}));
}

TEST(AddedTokenMatcher, NestedStripsAreLinear) {
  const std::vector<AddedToken> tokens = {
      {.id = 1, .content = "  ", .lstrip = true, .rstrip = true}};
  const std::string text(1'000'000, ' ');
  const Stopwatch watch;
  EXPECT_EQ(split(tokens, text).size(), text.size() / 2);
  EXPECT_LT(watch.seconds(), 10.0);
}

}  // namespace
}  // namespace phial

#include "text/regex.h"

#include <gmock/gmock.h>

#include <string>
#include <thread>

#include "base/rng.h"
#include "sys/clock.h"

namespace phial {
namespace {

using testing::HasSubstr;
using Matches = std::vector<Regex::Match>;

Regex regex(std::string_view pattern) {
  Result<Regex> made = Regex::create(pattern, "test");
  EXPECT_TRUE(made.ok()) << pattern << ": " << made.error().to_string();
  return *std::move(made);
}

ErrorCode create_error(std::string_view pattern) {
  const Result<Regex> made = Regex::create(pattern, "test");
  return made.ok() ? ErrorCode::internal : made.error().code;
}

std::optional<Regex::Match> search(std::string_view pattern, std::string_view text, size_t from) {
  const auto found = regex(pattern).search(text, from);
  EXPECT_TRUE(found.ok()) << pattern;
  return found.ok() ? *found : std::nullopt;
}

Matches find_all(std::string_view pattern, std::string_view text) {
  const auto found = regex(pattern).find_all(text);
  EXPECT_TRUE(found.ok()) << pattern;
  return found.ok() ? *found : Matches();
}

TEST(Regex, FindsTheLeftmostMatch) {
  EXPECT_EQ(search("b+", "abbab", 0), (Regex::Match{1, 3}));
  EXPECT_EQ(search("b+", "abbab", 2), (Regex::Match{2, 3}));
  EXPECT_EQ(search("b+", "abbab", 3), (Regex::Match{4, 5}));
  EXPECT_EQ(search("b+", "abbab", 5), std::nullopt);
  EXPECT_EQ(search("a|ab", "ab", 0), (Regex::Match{0, 1}));  // not the longest
  EXPECT_EQ(search("$", "ab", 0), (Regex::Match{2, 2}));
  EXPECT_EQ(search("", "", 0), (Regex::Match{0, 0}));
}

TEST(Regex, SeesWhatLiesBefore) {
  EXPECT_EQ(search("(?<=a)b", "ab", 1), (Regex::Match{1, 2}));
  EXPECT_EQ(search("\\Ab", "ab", 1), std::nullopt);
  EXPECT_EQ(search("\\bb", "ab", 1), std::nullopt);
  EXPECT_EQ(search("a\\Kb", "ab", 0), (Regex::Match{1, 2}));
}

TEST(Regex, WorksOnCharacters) {
  EXPECT_EQ(search("\\p{L}", "1é2", 0), (Regex::Match{1, 3}));
  EXPECT_EQ(search(".", "漢字", 3), (Regex::Match{3, 6}));
  EXPECT_EQ(search("(?i:'s)", "'\u017F", 0), (Regex::Match{0, 3}));
  EXPECT_EQ(search("\\s", std::string_view("\0\u0085", 3), 0), (Regex::Match{1, 3}));
}

// What `tokenizers` 0.23 gives for Split(Regex(...)); its engine is younger.
TEST(Regex, PunctIsThatOfTheNewerEngine) {
  EXPECT_EQ(find_all("[[:punct:]]", "a$b.c€"), (Matches{{1, 2}, {3, 4}, {5, 8}}));
  EXPECT_EQ(find_all("[[:^punct:]]+", "a$b."), (Matches{{0, 1}, {2, 3}}));
  EXPECT_EQ(find_all("[^[:punct:]a]", "a$b."), (Matches{{2, 3}}));
  EXPECT_EQ(find_all("\\p{Punct}", "a$b."), (Matches{{3, 4}}));
}

TEST(Regex, WalksAsTheIteratorOfTokenizers) {
  EXPECT_EQ(find_all("a+", "aabaa"), (Matches{{0, 2}, {3, 5}}));
  EXPECT_EQ(find_all("a*", "baab"), (Matches{{0, 0}, {1, 3}, {4, 4}}));
  EXPECT_EQ(find_all("", "é"), (Matches{{0, 0}, {2, 2}}));
  EXPECT_EQ(find_all("(?=b)", "abb"), (Matches{{1, 1}, {2, 2}}));
  EXPECT_EQ(find_all("x", ""), Matches());
}

TEST(Regex, DamagedPatterns) {
  for (const char* pattern : {"(", "[", "a{2,1", "*", "\\", "(?<n", "[z-a]", "\\p{Nonsense}",
                              "(?<=a*b)", "(?<x>\\g<x>)", "a**{", "\xff"}) {
    const Result<Regex> made = Regex::create(pattern, "file: pattern");
    if (made.ok()) continue;  // some of these are tolerated by the engine
    EXPECT_EQ(made.error().code, ErrorCode::damaged) << pattern;
    EXPECT_EQ(made.error().where, "file: pattern");
  }
  for (const char* pattern : {"(", "[", "\\p{Nonsense}", "*", "\xff"}) {
    EXPECT_EQ(create_error(pattern), ErrorCode::damaged) << pattern;
  }
  EXPECT_THAT(Regex::create("a(", "x").error().message, HasSubstr("unmatched"));
}

TEST(Regex, LimitsOfPatterns) {
  EXPECT_EQ(create_error(std::string(kMaxRegexBytes + 1, 'a')), ErrorCode::over_limit);
  EXPECT_TRUE(Regex::create(std::string(kMaxRegexBytes, 'a'), "x").ok());
  const std::string open(kMaxRegexDepth + 1, '(');
  EXPECT_EQ(create_error(open + std::string(open.size(), ')')), ErrorCode::over_limit);
  EXPECT_EQ(create_error("a\\G"), ErrorCode::unsupported);
  EXPECT_EQ(create_error("(a*)\\1"), ErrorCode::unsupported);
  EXPECT_EQ(create_error("(?<n>a)\\k<n>"), ErrorCode::unsupported);
  EXPECT_TRUE(Regex::create("a\\\\G", "x").ok());
}

// Patterns that take forever in an engine that backtracks: by counted steps, and by steps that it
// does not count.
TEST(Regex, CatastrophicPatternsEndInTime) {
  const std::string text = std::string(1 << 17, 'a') + "b";
  for (const char* pattern :
       {"(a+)+$", "(?:a*)*c", "(?:.*.*)*=", "(a?){50}a{50}c", "(?:a{1000}){1000}c|d",
        "(?:a{400}){300}[bc]", "(?=.*b)a", "(?>a*)c|a", "(?:(?>a*)c|a)*c", "(?<x>a\\g<x>?a)c",
        "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+1"}) {
    const double before = thread_cpu_seconds();
    const auto found = regex(pattern).find_all(text);
    // The limit of 0.37 s for this text, and what the tries between two looks at the clock take:
    // eight times the text's length in the worst case, far below the rest of the second.
    EXPECT_LT(thread_cpu_seconds() - before, 1.0) << pattern;
    EXPECT_TRUE(found.ok() || found.error().code == ErrorCode::over_limit) << pattern;
  }
}

TEST(Regex, CatastrophicPatternsAreNamed) {
  const auto found = regex("(a+)+$").find_all(std::string(5000, 'a') + "b");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::over_limit);
  EXPECT_THAT(found.error().message, HasSubstr("too long"));
}

// Random pieces of syntax put together: whatever comes out is compiled or refused in time, and
// searched in bounds (sanitizers look on).
TEST(Regex, RandomPatterns) {
  constexpr const char* kPieces[] = {"a",   "b",    "\\s",   "\\p{L}",    "\\p{N}", ".",
                                     "(",   "(?:",  "(?=",   "(?!",       "(?<=",   ")",
                                     ")",   ")",    "|",     "*",         "+",      "?",
                                     "{2}", "{3,}", "{1,9}", "++",        "[^a-z",  "[\\p{Lu}",
                                     "]",   "&&",   "(?i:",  "^",         "$",      "\\b",
                                     "é",   "\\",   "-",     "[:punct:]", "(?<n>",  "\\k<n>",
                                     "\\X", "\\R",  "(?>",   "\\1",       "#"};
  Rng rng(5);
  const std::string text = "aab bA1é \r\n aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
  size_t compiled = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string pattern;
    for (uint64_t n = 1 + rng.next() % 12; n > 0; --n) {
      pattern += kPieces[rng.next() % std::size(kPieces)];
    }
    const Result<Regex> made = Regex::create(pattern, "test");
    if (!made.ok()) continue;
    ++compiled;
    const auto found = made->find_all(text);
    if (!found.ok()) continue;
    size_t done = 0;
    for (const Regex::Match& match : *found) {
      ASSERT_LE(done, match.end) << pattern;
      ASSERT_LE(match.begin, match.end) << pattern;
      ASSERT_LE(match.end, text.size()) << pattern;
      done = match.end;
    }
  }
  EXPECT_GT(compiled, 1000u);
}

TEST(Regex, SharedByThreads) {
  const Regex shared = regex("(?i:'s|'t)|\\p{L}+|\\s+");
  std::vector<std::thread> threads;
  std::array<size_t, 4> counts{};
  for (size_t t = 0; t < counts.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const Regex own = regex("\\p{N}");
        const auto found = shared.find_all("it's a tree 12");
        counts[t] += found.ok() ? found->size() + own.find_all("12")->size() : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const size_t count : counts) EXPECT_EQ(count, 50u * (7 + 2));
}

}  // namespace
}  // namespace phial

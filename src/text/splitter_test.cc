#include "text/splitter.h"

#include <gtest/gtest.h>

// The struct of this name in glibc's <regex.h> (which gtest includes) is another.
#define re_registers onig_re_registers
#include <oniguruma.h>
#undef re_registers

#include <memory>
#include <set>

#include "base/rng.h"
#include "base/utf8.h"
#include "sys/clock.h"

namespace phial {
namespace {

constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt2Short =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

using Words = std::vector<std::string_view>;

// An isolating Split by Oniguruma, the engine of Hugging Face `tokenizers`: matches and what lies
// between them.
class OnigSplit {
 public:
  explicit OnigSplit(const char* pattern) {
    const std::string_view text = pattern;
    OnigErrorInfo info;
    const int rc = onig_new(&regex_, bytes(text.data()), bytes(text.data()) + text.size(),
                            ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
    EXPECT_EQ(rc, ONIG_NORMAL) << pattern;
  }
  ~OnigSplit() { onig_free(regex_); }
  OnigSplit(const OnigSplit&) = delete;

  Words operator()(std::string_view text) const {
    Words words;
    const OnigUChar* begin = bytes(text.data());
    const OnigUChar* end = begin + text.size();
    const auto add = [&](size_t from, size_t to) {
      if (from < to) words.push_back(text.substr(from, to - from));
    };
    size_t done = 0;
    OnigRegion* region = onig_region_new();
    while (done < text.size() &&
           onig_search(regex_, begin, end, begin + done, end, region, ONIG_OPTION_NONE) >= 0) {
      const auto from = static_cast<size_t>(region->beg[0]);
      const auto to = static_cast<size_t>(region->end[0]);
      add(done, from);
      add(from, to);
      done = to;
    }
    onig_region_free(region, 1);
    add(done, text.size());
    return words;
  }

 private:
  static const OnigUChar* bytes(const char* text) {
    return reinterpret_cast<const OnigUChar*>(text);
  }
  OnigRegex regex_ = nullptr;
};

Words words_of(Splitter splitter, std::string_view text) {
  const WordEnd word_end = word_end_function(splitter);
  Words words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(text, at);
    EXPECT_GT(end, at);
    EXPECT_LE(end, text.size());
    if (end <= at || end > text.size()) break;
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// Characters for every branch of the patterns. All were assigned before Unicode 14 (or never), so
// that Oniguruma and utf8proc cannot disagree about their age.
std::vector<std::string> alphabet() {
  std::vector<std::string> out = {"'s",   "'S",      "'t",       "'T",      "'re",    "'RE",  "'rE",
                                  "'ve",  "'Ve",     "'m",       "'M",      "'ll",    "'LL",  "'lL",
                                  "'d",   "'D",      "'l",       "'r",      "'v",     " '",   "''",
                                  "\r\n", "  ",      "   ",      " a",      "123",    "1234", "abc",
                                  "...",  "'\u017F", "'\u017Ft", "'\u212A", "\u2019s"};
  for (const char32_t c :
       U"  \t\n\r\v\f\u0085\u00A0\u1680\u2003\u2028\u202F\u205F\u3000"  // space
       U"aZsStTrRvVmMlLdDeExé\u00AA\u01C5\u02B0\u017F\u212A\u0131\u00DF\uFB05"
       U"漢あ한عहи\U00010400\U0001D400\u1E9E"                      // letters
       U"059\u00B2\u00BD\u2167\u0663\u0967\u3007\U0001D7D8\u2460"  // numbers
       U"''.,!?()-_$+<=>^~|`\\/*&%#@\u00AB\u2019\u2014\u00B4\u20AC\u00A9"
       U"\u0301\u0308\u093E\u20DD\uFE0F\u200B\u200C\u200D\u2060\uFEFF\u180E"
       U"🙂👍🏽🇩🇪❤\u0001\u001C\u001F\u007F\u009F\uE000\U000F0000\u0378\U0001FFFF"
       U"[]{};:\"\u3000\u2018\u201F\uFF01\uFF0F\uFF21"  // more signs
       U"\u3001\u30A2\u3042\uAC00\u9FA5\u9FA6\u3400\u0800\u2E80\U00016FF0\u3021\u3005"  // Han, kana
       U"\uFFFD\uFFFE\U0010FFFF") {
    if (c == 0) continue;
    out.emplace_back();
    utf8::append(out.back(), c);
  }
  out.emplace_back(1, '\0');
  return out;
}

struct Case {
  std::string name;
  Splitter splitter;
  std::vector<std::string> patterns;  // each works within the words of those before
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.patterns.back(); }

std::vector<Case> cases() {
  std::vector<Case> out = {
      {"smollm", Splitter::smollm, {R"(\p{N})", kGpt2}},
      {"llamacpp_default",
       Splitter::llamacpp_default,
       {R"([\p{P}\$\+<=>\^~\|]+)",
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))", R"(\p{N}+)",
        "[0-9][0-9][0-9]"}},
  };
  for (const SplitterPattern& pattern : splitter_patterns()) {
    out.push_back(
        {"pattern_" + std::to_string(out.size()), pattern.splitter, {std::string(pattern.regex)}});
  }
  return out;
}

class SplitterAgainstOniguruma : public testing::TestWithParam<Case> {};

TEST_P(SplitterAgainstOniguruma, RandomTexts) {
  const Case& c = GetParam();
  std::vector<std::unique_ptr<OnigSplit>> splits;  // each works within the words of those before
  for (const std::string& pattern : c.patterns) {
    splits.push_back(std::make_unique<OnigSplit>(pattern.c_str()));
  }
  const std::vector<std::string> letters = alphabet();
  Rng rng(11);
  int differences = 0;
  for (int round = 0; round < 100000 && differences < 5; ++round) {
    // Short texts, and few different parts at a time, so that parts meet in every order.
    std::vector<size_t> few;
    for (int i = 0; i < 6; ++i) few.push_back(rng.next() % letters.size());
    std::string text;
    for (uint64_t n = 1 + rng.next() % 14; n > 0; --n) text += letters[few[rng.next() % 6]];
    Words expected = {text};
    for (const auto& split : splits) {
      Words next;
      for (const std::string_view word : expected) {
        const Words parts = (*split)(word);
        next.insert(next.end(), parts.begin(), parts.end());
      }
      expected = std::move(next);
    }
    const Words found = words_of(c.splitter, text);
    if (found != expected) ++differences;
    EXPECT_EQ(found, expected) << c.patterns.back() << "\n" << printable(text);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SplitterAgainstOniguruma, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

// Every code point that Unicode 14 knows has the class Oniguruma gives it.
TEST(Splitter, EveryCharacterHasTheClassOfOniguruma) {
  const OnigSplit letters(R"(\p{L})");
  const OnigSplit numbers(R"(\p{N})");
  const OnigSplit unassigned(R"(\p{Cn})");
  const OnigSplit spaces(R"(\s)");
  const auto matches = [](const OnigSplit& split, const std::string& c) {
    return split("\x01" + c + "\x01").size() == 3;  // U+0001 is in none of the classes
  };
  constexpr char32_t kEnd = 0xE0200;  // above: private use
  for (char32_t c = 0; c < kEnd; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    if (c == 0x32400) c = 0xE0000;  // no character between
    std::string text;
    utf8::append(text, c);
    if (c >= 0x80 && matches(unassigned, text)) continue;  // younger than Oniguruma's data
    const Words gpt2 = words_of(Splitter::gpt2, "a" + text + "\x01");
    const Words marks = words_of(Splitter::gpt2, "1" + text + "\x01");
    // "a" joins a letter, "1" a number, and U+0001 what is neither those nor a space.
    EXPECT_EQ(gpt2[0].size() > 1, matches(letters, text)) << uint32_t{c};
    EXPECT_EQ(marks[0].size() > 1, matches(numbers, text)) << uint32_t{c};
    const bool joins_other = gpt2.size() == 2 && gpt2[0].size() == 1;
    const bool other = !matches(letters, text) && !matches(numbers, text) && !matches(spaces, text);
    // A space before U+0001 is " ?" and joins it too.
    if (c != ' ') {
      EXPECT_EQ(joins_other, other) << uint32_t{c};
    }
  }
}

// Processor time that cutting `text` takes.
double seconds_for(WordEnd word_end, std::string_view text) {
  const double begin = thread_cpu_seconds();
  for (size_t at = 0; at < text.size();) at = word_end(text, at);
  return thread_cpu_seconds() - begin;
}

// A scan over the rest of the text for every word would take a million times as long as one scan.
TEST(Splitter, LinearForAnyText) {
  constexpr size_t kBytes = size_t{1} << 20;
  const auto repeated = [](std::string_view unit) {
    std::string text;
    while (text.size() < kBytes) text += unit;
    return text;
  };
  std::vector<std::string> texts;
  for (const char* unit :
       {"a",   "A",    "漢",  "\u0301", " ",      "\t", "\u3000", "1",       "\u00B2",  "\n",
        "\r",  "\r\n", "'",   "=",      "\u2014", "/",  "\u0378", "\u0001",  "'s",      "A漢",
        "漢A", " \n",  "\n ", "  x",    "1,",     ". ", "a b ",   "\u0301A", "1\u0301", "=\n"}) {
    texts.push_back(repeated(unit));
    texts.push_back("\n" + texts.back() + "x");
  }
  const std::string ordinary = repeated("It's 1999, and some WORDS (or so) follow: été, 漢字.\n");
  std::set<WordEnd> seen;
  for (const SplitterPattern& pattern : splitter_patterns()) {
    const WordEnd word_end = word_end_function(pattern.splitter);
    if (!seen.insert(word_end).second) continue;
    const double usual = seconds_for(word_end, ordinary);
    for (const std::string& text : texts) {
      EXPECT_LT(seconds_for(word_end, text), 100 * usual + 0.05)
          << pattern.regex << " on " << printable(text.substr(0, 8));
    }
  }
}

TEST(Splitter, KnowsPatterns) {
  EXPECT_EQ(splitter_of_pattern(kGpt2), Splitter::gpt2);
  EXPECT_EQ(splitter_of_pattern(kGpt2Short), Splitter::gpt2);
  EXPECT_EQ(splitter_of_pattern(kLlama3), Splitter::llama3);
  EXPECT_EQ(splitter_of_pattern("\\s+\\d"), std::nullopt);
  EXPECT_EQ(splitter_of_pattern(""), std::nullopt);
}

TEST(Splitter, ParsesLineBreaksInPatterns) {
  EXPECT_EQ(splitter_of_pattern("[\r\n]"), Splitter::line_break);
  EXPECT_EQ(splitter_of_pattern("[\\r\\n]"), Splitter::line_break);
  for (const SplitterPattern& pattern : splitter_patterns()) {
    EXPECT_EQ(splitter_of_pattern(pattern.regex), pattern.splitter) << pattern.regex;
  }
}

TEST(Splitter, Examples) {
  EXPECT_EQ(words_of(Splitter::gpt2, "I'm  on 12."), (Words{"I", "'m", " ", " on", " 12", "."}));
  EXPECT_EQ(words_of(Splitter::smollm, "on  12."), (Words{"on", "  ", "1", "2", "."}));
  // A digit of Unicode 17, which Rust knows and the regular expression does not.
  EXPECT_EQ(words_of(Splitter::smollm, "x  \U00011DE0!"), (Words{"x", "  ", "\U00011DE0", "!"}));
  EXPECT_EQ(words_of(Splitter::llama3, "I'M\n\n 1234."),
            (Words{"I", "'M", "\n\n", " ", "123", "4", "."}));
  EXPECT_EQ(words_of(Splitter::llamacpp_default, "a (12345)"),
            (Words{"a", " ", "(", "123", "45", ")"}));
  EXPECT_EQ(words_of(Splitter::none, "a b"), (Words{"a b"}));
}

}  // namespace
}  // namespace phial

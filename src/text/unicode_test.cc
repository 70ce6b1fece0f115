// Where the tables of `tokenizers` differ from each other and from utf8proc's: answers of the
// judge.
#include "text/unicode.h"

#include <gtest/gtest.h>

#include "text/char_kind.h"
#include "text/normal_forms.h"

namespace phial {
namespace {

using normalizer::Unicode;

std::string lowercase(char32_t c) {
  std::string out;
  unicode::append_lowercase(out, c);
  return out;
}

std::string normal(std::string_view text, Unicode::Form form) {
  std::string out;
  EXPECT_TRUE(append_normal_form(text, form, out).ok());
  return out;
}

TEST(Unicode, RustKnowsNewerDigitsThanRegularExpressions) {
  EXPECT_EQ(char_kind::wide(0x1C89), char_kind::kUpper);
  EXPECT_EQ(char_kind::wide(0x10D40), char_kind::kNumber);
  EXPECT_EQ(char_kind::wide(0x11DE0), char_kind::kRest);  // of Unicode 17
  EXPECT_TRUE(unicode::is_numeric(0x11DE0));
  EXPECT_TRUE(unicode::is_numeric('7'));
  EXPECT_FALSE(unicode::is_numeric(0x1C89));
}

TEST(Unicode, Spaces) {
  for (const char32_t c : {U' ', U'\t', U'\r', U'\x85', U'\xA0', U'\u3000'}) {
    EXPECT_TRUE(unicode::is_space(c)) << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {U'a', U'\x1F', U'\u200B', U'\u0378', U'\U0010FFFF'}) {
    EXPECT_FALSE(unicode::is_space(c)) << static_cast<uint32_t>(c);
  }
}

TEST(Unicode, PunctuationAndMarksAreOlder) {
  EXPECT_TRUE(unicode::is_bert_punctuation('$'));
  EXPECT_EQ(char_kind::kAscii['$'], char_kind::kSymbol);
  EXPECT_EQ(char_kind::wide(0x2E5D), char_kind::kPunctuation);
  EXPECT_FALSE(unicode::is_bert_punctuation(0x2E5D));  // of Unicode 14
  EXPECT_TRUE(unicode::is_nonspacing_mark(0x301));
  EXPECT_FALSE(unicode::is_nonspacing_mark(0x7FD));  // of Unicode 11
  EXPECT_TRUE(unicode::is_combining_mark(0x1CF2));   // a letter since Unicode 12
}

TEST(Unicode, LowerCaseIsRusts) {
  EXPECT_EQ(lowercase('A'), "a");
  EXPECT_EQ(lowercase(0x130), "i\u0307");
  EXPECT_EQ(lowercase(0x3A3), "\u03C3");
  EXPECT_EQ(lowercase(0x1C89), "\u1C8A");
  EXPECT_EQ(lowercase(0xA7CE), "\uA7CF");
  EXPECT_EQ(lowercase(0xA7CD), "\uA7CD");
  EXPECT_EQ(lowercase(0x16EA0), "\U00016EBB");
}

TEST(Unicode, NormalFormsEndWithUnicode9) {
  EXPECT_EQ(normal("\u32FF", Unicode::Form::nfkc), "\u32FF");  // of Unicode 12.1
  EXPECT_EQ(normal("\u337F", Unicode::Form::nfkc), "\u682A\u5F0F\u4F1A\u793E");
  EXPECT_EQ(normal("e\u0301x", Unicode::Form::nfc), "\u00E9x");
  EXPECT_EQ(normal("\u00E9", Unicode::Form::nfd), "e\u0301");
  EXPECT_EQ(normal("a\u0345\u0301", Unicode::Form::nfd), "a\u0301\u0345");
  EXPECT_EQ(normal("a\u0345\u07FD", Unicode::Form::nfd), "a\u0345\u07FD");  // not reordered
  EXPECT_EQ(normal("\u1100\u1161\u11A8", Unicode::Form::nfc), "\uAC01");
}

}  // namespace
}  // namespace phial

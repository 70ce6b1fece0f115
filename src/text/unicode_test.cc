// Where the tables of `tokenizers` differ from each other and from utf8proc's: answers of the
// judge.
#include "text/unicode.h"

#include <gtest/gtest.h>

#include "text/normal_forms.h"

namespace phial {
namespace {

using normalizer::Unicode;
using unicode::CharClass;

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

TEST(Unicode, RegularExpressionsKnowUnicode16) {
  EXPECT_EQ(unicode::char_class(0x1C89), CharClass::letter);
  EXPECT_EQ(unicode::char_class(0x10D40), CharClass::number);
  EXPECT_EQ(unicode::char_class(0x11DE0), CharClass::other);  // of Unicode 17
  EXPECT_TRUE(unicode::is_numeric(0x11DE0));
  EXPECT_EQ(unicode::char_class(0x0378), CharClass::other);
  EXPECT_EQ(unicode::char_class(0x85), CharClass::space);
  EXPECT_EQ(unicode::char_class(0x10FFFF), CharClass::other);
}

TEST(Unicode, PunctuationAndMarksAreOlder) {
  EXPECT_TRUE(unicode::is_bert_punctuation('$'));
  EXPECT_FALSE(unicode::is_punctuation('$'));
  EXPECT_TRUE(unicode::is_punctuation(0x2E5D));
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

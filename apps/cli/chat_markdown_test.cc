#include "chat_markdown.h"

#include <gtest/gtest.h>

#include <clocale>
#include <vector>

namespace phial_cli {
namespace {

class MarkdownTest : public testing::Test {
 protected:
  void SetUp() override { std::setlocale(LC_CTYPE, "C.UTF-8"); }

  static std::string render(const std::string& text, size_t columns = 40) {
    Markdown markdown({columns, true});
    std::string out = markdown.push(text);
    return out + markdown.finish();
  }
  // Without escape sequences.
  static std::string plain(const std::string& text) {
    std::string out;
    for (size_t at = 0; at < text.size(); ++at) {
      if (text[at] == '\033') {
        at = text.find('m', at);
      } else {
        out += text[at];
      }
    }
    return out;
  }
};

constexpr char kPage[] =
    "# A *short* page\n\nSome **bold words**, some *slanted*, some ***both***, a_b_c and 2 * 3 * "
    "4.\n"
    "Use `f(x) = *x*` or ``a ` b`` here; \\*stars\\*.\n\n- one item that is long enough to wrap\n"
    "  - nested\n12. twelve\n> quoted words that go on and on for a while\n---\n"
    "```cpp\nint main() {\n\treturn 0;  // *not* slanted\n}\n\n```\nAfter. "
    "漢字かな混じり文の長い行が折り返される。\n"
    "| a | **b** |\n|---|---|\nan *open star and a `tick\n**";

TEST_F(MarkdownTest, CutsOfTheInputDoNotShow) {
  const std::string text = kPage;
  const std::string whole = render(text);
  for (size_t step = 1; step <= 7; ++step) {
    Markdown markdown({40, true});
    std::string out;
    size_t at = 0;
    while (at < text.size()) {
      size_t end = std::min(at + step, text.size());
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
      out += markdown.push(text.substr(at, end - at));
      at = end;
    }
    EXPECT_EQ(out + markdown.finish(), whole) << "in steps of " << step;
  }
}

TEST_F(MarkdownTest, NoLineIsWiderThanTheTerminal) {
  for (const size_t columns : {20, 21, 33, 40, 80}) {
    const std::string shown = plain(render(kPage, columns));
    size_t begin = 0;
    while (begin < shown.size()) {
      const size_t end = std::min(shown.find('\n', begin), shown.size());
      const std::string line = shown.substr(begin, end - begin);
      EXPECT_LT(display_width(line), columns) << line;
      begin = end + 1;
    }
  }
}

TEST_F(MarkdownTest, Emphasis) {
  EXPECT_EQ(render("a **b** c"), "a \033[0;1mb\033[0m c");
  EXPECT_EQ(render("*x*"), "\033[0;3mx\033[0m");
  EXPECT_EQ(plain(render("***x***")), "x");
  EXPECT_EQ(plain(render("**a *b***")), "a b");
  EXPECT_EQ(render("`x`"), "\033[0;36mx\033[0m");
}

TEST_F(MarkdownTest, WhatIsNoMarkupStays) {
  for (const char* text : {"2 * 3 * 4", "snake_case_name", "a*", "**", "*open", "`open", "_init_x",
                           "C:\\dir", "5 #6", "#tag", "1.5", "a | b", "-1", "*", "$x_1$"}) {
    EXPECT_EQ(render(text), text);
  }
}

TEST_F(MarkdownTest, Blocks) {
  EXPECT_EQ(plain(render("# Title\ntext")), "Title\ntext");
  EXPECT_EQ(plain(render("* a\n- b\n+ c")), "• a\n• b\n• c");
  EXPECT_EQ(plain(render("> said")), "│ said");
  EXPECT_EQ(plain(render("```py\nx  =  1\n```\nend")), "╭─ py\n│ x  =  1\n╰─\nend");
  EXPECT_EQ(plain(render("```\nnot closed")), "╭─\n│ not closed\n╰─");
  EXPECT_EQ(plain(render("~~~\n```\n~~~")), "╭─\n│ ```\n╰─");
}

TEST_F(MarkdownTest, WordsWrapBehindTheirBullet) {
  EXPECT_EQ(plain(render("- aaaa bbbb cccc dddd eeee", 21)), "• aaaa bbbb cccc\n  dddd eeee");
  EXPECT_EQ(plain(render("1. aaaa bbbb cccc dddd ee", 21)), "1. aaaa bbbb cccc\n   dddd ee");
}

TEST_F(MarkdownTest, NarrowTerminalsWrapThemselves) {
  const std::string text(200, 'x');
  EXPECT_EQ(render(text, 10), text);
}

TEST_F(MarkdownTest, TextCannotDriveTheTerminal) {
  for (const char* text : {"\033[2J", "\033]0;title\007", "\xC2\x9B\x32J", "a\rb", "\b\b",
                           "\xE2\x80\xAE"
                           "abc",
                           "```\n\033[31m\n```"}) {
    const std::string out = plain(render(text));
    for (const char c : out) EXPECT_TRUE(c >= ' ' || c == '\n' || c < 0) << text;
    EXPECT_EQ(out.find("\xC2\x9B"), std::string::npos);
    EXPECT_EQ(out.find("\xE2\x80\xAE"), std::string::npos);
  }
}

TEST_F(MarkdownTest, AWordIsShownWhenItEnds) {
  Markdown markdown({40, true});
  EXPECT_EQ(markdown.push("Hello"), "");
  EXPECT_EQ(markdown.push(" wor"), "Hello");
  EXPECT_EQ(markdown.push("ld "), " world");
  EXPECT_EQ(markdown.finish(), "");
}

TEST_F(MarkdownTest, WidthOfText) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("漢字"), 4u);
  EXPECT_EQ(display_width("e\xCC\x81"), 1u);
}

}  // namespace
}  // namespace phial_cli

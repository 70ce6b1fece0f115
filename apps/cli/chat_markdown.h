// Markdown on a terminal, as it streams in: what is written is never taken back, so nothing
// flickers. A piece is held back only while it is open what it is: a word that may have to go to
// the next line, a "**" whose closing one has not come. No part of phial.h is needed here.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace phial_cli {

// Columns that `text` (UTF-8) takes on a terminal: wide characters 2, combining ones 0.
size_t display_width(std::string_view text);

// `text` without what would drive a terminal: control characters (but newline and tab), and those
// that reverse the direction of the text, become U+FFFD.
std::string without_controls(std::string_view text);

struct MarkdownStyle {
  size_t columns = 80;  // of the terminal; below 20 nothing is wrapped
  bool unicode = true;  // frames and bullets beyond ASCII
};

// Headings, emphasis, lists, quotes, rules, inline code, fenced code. Everything else, and whatever
// is malformed, appears as it is. Words wrap at the width; lines end where the model ended them.
class Markdown {
 public:
  explicit Markdown(MarkdownStyle style) : style_(style) {}

  void resize(size_t columns) { style_.columns = columns; }
  // What can be written now that `text`, whole characters, has come: the text of all pushes and of
  // finish() together do not depend on how the input was cut.
  std::string push(std::string_view text);
  // The rest, with every style ended. The object is then as new.
  std::string finish();

 private:
  enum class Block { start, text, code, verbatim };

  size_t limit() const;
  bool step(bool final);
  bool begin_line(bool final);
  bool begin_fence(std::string_view line, bool whole);
  bool code_line(bool final);
  // How much of `line` is understood, given that more may follow unless `final`.
  size_t inline_text(std::string_view line, int attributes, bool final);
  size_t emphasis(std::string_view line, size_t at, int attributes, bool final);
  size_t code_span(std::string_view line, size_t at, int attributes, bool final);

  void put(std::string_view character, int attributes);
  void put_all(std::string_view text, int attributes);
  void flush_word();
  void end_line();
  void set_attributes(std::string& out, int attributes, int& current);
  void code_character(std::string_view character);

  MarkdownStyle style_;
  std::string pending_;  // came, not understood yet
  std::string out_;
  Block block_ = Block::start;
  int line_attributes_ = 0;  // of the whole line: a heading's
  std::string hang_;         // what wrapped lines begin with
  size_t hang_width_ = 0;
  std::string fence_;  // the backticks that opened the code

  std::string word_;  // with its escape sequences
  size_t word_width_ = 0;
  int word_attributes_ = 0;  // at the end of word_
  int attributes_ = 0;       // at the end of out_
  size_t spaces_ = 0;        // between out_ and word_
  size_t column_ = 0;        // where out_ ends
  char previous_ = ' ';      // the last byte of text: what stands before a delimiter
};

}  // namespace phial_cli

#include "chat_markdown.h"

#include <algorithm>
#include <cwchar>
#include <utility>

namespace phial_cli {
namespace {

enum Attribute : int { kBold = 1, kItalic = 2, kUnderline = 4, kDim = 8, kCode = 16 };

constexpr size_t kNarrowest = 20;
// Longer emphasis or code on one line is taken for a stray delimiter: the text must not wait.
constexpr size_t kLongestSpan = 1000;
constexpr size_t kTabColumns = 4;

size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(bytes, text.size());
}

char32_t code_point(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  switch (character.size()) {
    case 2:
      return (byte(0) & 0x1Fu) << 6 | (byte(1) & 0x3Fu);
    case 3:
      return (byte(0) & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
    case 4:
      return (byte(0) & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 |
             (byte(3) & 0x3Fu);
    default:
      return byte(0);
  }
}

size_t character_width(std::string_view character) {
  if (character.size() == 1) return 1;
  const int width = wcwidth(static_cast<wchar_t>(code_point(character)));
  // What the C library does not know takes, on most terminals, one column.
  return width < 0 ? 1 : static_cast<size_t>(width);
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (static_cast<unsigned char>(c) >= 0x80);
}
bool is_punctuation(char c) { return c > ' ' && c < 0x7F && !is_word(c); }

size_t run_length(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && text[end] == text[at]) ++end;
  return end - at;
}

size_t leading_spaces(std::string_view line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

// "---", "* * *": at least three of one of -*_, and spaces.
bool is_rule(std::string_view line) {
  char mark = 0;
  size_t count = 0;
  for (const char c : line) {
    if (c == ' ') continue;
    if (c != '-' && c != '*' && c != '_') return false;
    if (mark != 0 && c != mark) return false;
    mark = c;
    ++count;
  }
  return count >= 3;
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    width += character_width(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return width;
}

std::string without_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::string_view character = text.substr(0, character_bytes(text));
    const char32_t c = code_point(character);
    const bool control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
    const bool direction = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
    if (control || direction) {
      out += "\xEF\xBF\xBD";
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
  return out;
}

std::string Markdown::push(std::string_view text) {
  pending_ += without_controls(text);
  while (step(/*final=*/false)) {
  }
  return std::exchange(out_, {});
}

std::string Markdown::finish() {
  while (step(/*final=*/true)) {
  }
  flush_word();
  set_attributes(out_, 0, attributes_);
  if (block_ == Block::code) {
    if (column_ > 0) out_ += '\n';
    out_ += style_.unicode ? "\033[2m╰─\033[0m" : "\033[2m`-\033[0m";
  }
  std::string rest = std::exchange(out_, {});
  *this = Markdown(style_);
  return rest;
}

// One step from pending_ to out_; false when more has to come first.
bool Markdown::step(bool final) {
  if (pending_.empty()) return false;
  if (block_ == Block::code) return code_line(final);
  if (block_ == Block::start && !begin_line(final)) return false;
  if (pending_.empty()) return false;
  if (block_ == Block::start || block_ == Block::code) return true;
  const size_t newline = pending_.find('\n');
  const std::string_view line = std::string_view(pending_).substr(0, newline);
  const bool whole = newline != std::string::npos;
  const size_t understood = inline_text(line, line_attributes_, final || whole);
  if (!whole) {
    pending_.erase(0, understood);
    return false;
  }
  pending_.erase(0, newline + 1);
  end_line();
  return true;
}

// What kind of line this is; false when that is still open.
bool Markdown::begin_line(bool final) {
  const size_t newline = pending_.find('\n');
  const bool whole = final || newline != std::string::npos;
  const std::string_view line = std::string_view(pending_).substr(0, newline);
  const size_t indent = leading_spaces(line);
  const std::string_view rest = line.substr(indent);
  if (rest.empty()) {
    if (!whole) return false;
    block_ = Block::text;
    return true;
  }
  const auto text_from = [&](size_t bytes, size_t hang) {
    hang_.assign(hang, ' ');
    hang_width_ = hang;
    block_ = Block::text;
    pending_.erase(0, bytes);
    return true;
  };
  const size_t run = run_length(rest, 0);
  const bool may_go_on = !whole && run == rest.size();
  switch (rest[0]) {
    case '`':
    case '~':
      if (may_go_on) return false;
      if (run >= 3) return begin_fence(line, whole);
      break;
    case '#':
      if (may_go_on && run <= 6) return false;
      if (run <= 6 && rest.size() > run && rest[run] == ' ') {
        line_attributes_ = run == 1 ? kBold | kUnderline : kBold;
        return text_from(indent + run + 1, 0);
      }
      break;
    case '|':
      // A table stays as it is: wrapping would tear its columns apart.
      block_ = Block::verbatim;
      return true;
    case '>':
      if (may_go_on) return false;
      put_all(style_.unicode ? "│ " : "| ", kDim);
      flush_word();
      text_from(indent + (rest.size() > 1 && rest[1] == ' ' ? 2 : 1), 0);
      hang_ = style_.unicode ? "\033[2m│\033[0m " : "\033[2m|\033[0m ";
      hang_width_ = 2;
      return true;
    case '-':
    case '*':
    case '_':
    case '+': {
      const bool only_marks = rest.find_first_not_of("-*_ ") == std::string_view::npos;
      if (!whole && (rest.size() == 1 || only_marks)) return false;
      if (is_rule(rest)) {
        const size_t width = std::min<size_t>(limit(), 40);
        for (size_t i = 0; i < width; ++i) put(style_.unicode ? "─" : "-", kDim);
        flush_word();
        return text_from(line.size(), 0);
      }
      if (rest[0] != '_' && rest.size() > 1 && rest[1] == ' ') {
        put_all(std::string(indent, ' ') + (style_.unicode ? "• " : "- "), 0);
        return text_from(indent + 2, indent + 2);
      }
      break;
    }
    default:
      break;
  }
  const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  if (digits > 0 && digits <= 3) {
    if (!whole && digits + 1 >= rest.size()) return false;
    if (rest.size() > digits + 1 && (rest[digits] == '.' || rest[digits] == ')') &&
        rest[digits + 1] == ' ') {
      hang_.assign(indent + digits + 2, ' ');
      hang_width_ = hang_.size();
    }
  }
  block_ = Block::text;
  return true;
}

bool Markdown::begin_fence(std::string_view line, bool whole) {
  if (!whole) return false;
  const size_t indent = leading_spaces(line);
  const size_t run = run_length(line, indent);
  fence_ = std::string(line.substr(indent, run));
  const std::string language = std::string(line.substr(indent + run));
  put_all(style_.unicode ? "╭─" : ".-", kDim);
  if (!language.empty())
    put_all(' ' + std::string(language.substr(leading_spaces(language))), kDim);
  flush_word();
  pending_.erase(0, line.size() + (pending_.size() > line.size() ? 1 : 0));
  end_line();
  block_ = Block::code;
  return true;
}

// Code goes out character by character, in a frame; only a line that may be the closing fence has
// to wait.
bool Markdown::code_line(bool final) {
  const size_t newline = pending_.find('\n');
  const bool whole = newline != std::string::npos;
  const std::string_view line = std::string_view(pending_).substr(0, newline);
  if (column_ == 0) {
    const size_t indent = leading_spaces(line);
    const std::string_view rest = line.substr(indent);
    const size_t run = rest.empty() ? 0 : run_length(rest, 0);
    const bool blank_behind = rest.substr(run).find_first_not_of(' ') == std::string_view::npos;
    const bool like_fence = rest.empty() || (rest[0] == fence_[0] && blank_behind);
    if (!whole && !final && like_fence) return false;
    if (indent <= 3 && !rest.empty() && like_fence && run >= fence_.size()) {
      put_all(style_.unicode ? "╰─" : "`-", kDim);
      flush_word();
      pending_.erase(0, line.size());
      block_ = Block::text;
      return true;
    }
  }
  std::string_view left = line;
  while (!left.empty()) {
    const std::string_view character = left.substr(0, character_bytes(left));
    code_character(character);
    left.remove_prefix(character.size());
  }
  if (!whole) {
    pending_.clear();
    return false;
  }
  if (column_ == 0) code_character({});
  pending_.erase(0, newline + 1);
  out_ += '\n';
  column_ = 0;
  return true;
}

void Markdown::code_character(std::string_view character) {
  const size_t width = character.empty() ? 0 : character_width(character);
  if (column_ > 0 && column_ + width > limit()) {
    out_ += '\n';
    column_ = 0;
  }
  if (column_ == 0) {
    out_ += style_.unicode ? "\033[2m│\033[0m " : "\033[2m|\033[0m ";
    column_ = 2;
  }
  if (character == "\t") {
    const size_t spaces = kTabColumns - (column_ - 2) % kTabColumns;
    out_.append(spaces, ' ');
    column_ += spaces;
    return;
  }
  out_ += character;
  column_ += width;
}

size_t Markdown::inline_text(std::string_view line, int attributes, bool final) {
  size_t at = 0;
  while (at < line.size()) {
    const char c = line[at];
    size_t taken = 0;
    if (block_ != Block::verbatim) {
      if (c == '`') {
        taken = code_span(line, at, attributes, final);
        if (taken == 0) return at;
      } else if (c == '*' || c == '_') {
        taken = emphasis(line, at, attributes, final);
        if (taken == 0) return at;
      } else if (c == '\\') {
        if (at + 1 == line.size() && !final) return at;
        if (at + 1 < line.size() && is_punctuation(line[at + 1])) {
          put(line.substr(at + 1, 1), attributes);
          taken = 2;
        }
      }
    }
    if (taken == 0) {
      taken = character_bytes(line.substr(at));
      put(line.substr(at, taken), attributes);
    }
    at += taken;
  }
  return at;
}

// `code`: what stands between two runs of as many backticks. Returns the bytes that are done with;
// 0: the end has not come.
size_t Markdown::code_span(std::string_view line, size_t at, int attributes, bool final) {
  const size_t run = run_length(line, at);
  if (at + run == line.size() && !final) return 0;
  size_t close = at + run;
  while ((close = line.find('`', close)) != std::string_view::npos) {
    const size_t length = run_length(line, close);
    if (close + length == line.size() && !final && length < run) return 0;
    if (length == run) break;
    close += length;
  }
  if (close == std::string_view::npos && !final && line.size() - at < kLongestSpan) return 0;
  if (close == std::string_view::npos || close - at >= kLongestSpan) {
    put_all(line.substr(at, run), attributes);
    return run;
  }
  std::string_view code = line.substr(at + run, close - at - run);
  if (code.size() > 2 && code.front() == ' ' && code.back() == ' ') {
    code = code.substr(1, code.size() - 2);
  }
  put_all(code, attributes | kCode);
  previous_ = '`';
  return close + run - at;
}

// *italic*, **bold**, ***both***. A run opens when text follows it and closes when text stands
// before it; underscores only at the edges of words. Returns as code_span().
size_t Markdown::emphasis(std::string_view line, size_t at, int attributes, bool final) {
  const char mark = line[at];
  const size_t run = run_length(line, at);
  const size_t begin = at + run;
  if (begin == line.size() && !final) return 0;
  const char before = at > 0 ? line[at - 1] : previous_;
  const bool opens = run <= 3 && begin < line.size() && !is_space(line[begin]) &&
                     !(mark == '_' && is_word(before));
  const auto literal = [&] {
    put_all(line.substr(at, run), attributes);
    return run;
  };
  if (!opens) return literal();
  size_t close = begin;
  while ((close = line.find(mark, close)) != std::string_view::npos) {
    const size_t length = run_length(line, close);
    const bool at_end = close + length == line.size();
    if (at_end && !final) return line.size() - at < kLongestSpan ? 0 : literal();
    const bool fits = !is_space(line[close - 1]) && length >= run &&
                      (length == run || run == 3 || length == 3) &&
                      !(mark == '_' && !at_end && is_word(line[close + length]));
    if (fits) break;
    close += length;
  }
  if (close == std::string_view::npos && !final && line.size() - at < kLongestSpan) return 0;
  if (close == std::string_view::npos || close - at >= kLongestSpan) return literal();
  // "**a *b***": the inner mark closes first, this one takes the last of the run.
  close += run_length(line, close) - run;
  const int added = run == 1 ? kItalic : run == 2 ? kBold : kBold | kItalic;
  previous_ = mark;
  inline_text(line.substr(begin, close - begin), attributes | added, /*final=*/true);
  previous_ = mark;
  return close + run - at;
}

size_t Markdown::limit() const {
  // The last column stays free: what terminals do behind it differs.
  return style_.columns < kNarrowest ? SIZE_MAX : style_.columns - 1;
}

void Markdown::set_attributes(std::string& out, int attributes, int& current) {
  if (attributes == current) return;
  out += "\033[0";
  if ((attributes & kBold) != 0) out += ";1";
  if ((attributes & kDim) != 0) out += ";2";
  if ((attributes & kItalic) != 0) out += ";3";
  if ((attributes & kUnderline) != 0) out += ";4";
  if ((attributes & kCode) != 0) out += ";36";
  out += 'm';
  current = attributes;
}

void Markdown::put_all(std::string_view text, int attributes) {
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    put(text.substr(0, bytes), attributes);
    text.remove_prefix(bytes);
  }
}

void Markdown::put(std::string_view character, int attributes) {
  previous_ = character.back();
  if (block_ == Block::verbatim) {
    out_ += character;
    return;
  }
  if (character == " " || character == "\t") {
    flush_word();
    set_attributes(out_, attributes, attributes_);
    spaces_ += character == " " ? 1 : kTabColumns;
    return;
  }
  const size_t width = character_width(character);
  // Scripts that are written in wide characters break between any two of them.
  if (width == 2) flush_word();
  if (word_.empty()) word_attributes_ = attributes_;
  // A word longer than a line is cut at the edge.
  if (hang_width_ + word_width_ + width > limit()) flush_word();
  set_attributes(word_, attributes, word_attributes_);
  word_ += character;
  word_width_ += width;
  if (width == 2) flush_word();
}

void Markdown::flush_word() {
  if (word_.empty()) return;
  if (column_ + spaces_ + word_width_ > limit() && column_ > hang_width_) {
    const int attributes = attributes_;
    set_attributes(out_, 0, attributes_);
    out_ += '\n' + hang_;
    set_attributes(out_, attributes, attributes_);
    column_ = hang_width_;
    spaces_ = 0;
  }
  out_.append(spaces_, ' ');
  out_ += word_;
  column_ += spaces_ + word_width_;
  attributes_ = word_attributes_;
  word_.clear();
  word_width_ = 0;
  spaces_ = 0;
}

void Markdown::end_line() {
  flush_word();
  set_attributes(out_, 0, attributes_);
  out_ += '\n';
  column_ = 0;
  spaces_ = 0;
  hang_.clear();
  hang_width_ = 0;
  line_attributes_ = 0;
  block_ = Block::start;
  previous_ = ' ';
}

}  // namespace phial_cli

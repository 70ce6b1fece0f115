#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/utf8.h"
#include "text/jinja_number.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "\r\n" and "\r" become "\n"; one newline at the end is dropped (keep_trailing_newline is off).
std::string normalize_source(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string source, std::string_view name) : source_(std::move(source)), name_(name) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) PHIAL_TRY(lex_data());
    push(TokenKind::end);
    return std::move(tokens_);
  }

 private:
  // A tag's opening: "{%-" and so on.
  struct Opening {
    size_t at;
    char type;  // '%', '{', '#'
    char sign;  // '-', '+' or 0
    size_t end() const { return at + 2 + (sign != 0); }
  };

  Status lex_data() {
    const Opening tag = find_opening();
    const std::string_view text = std::string_view(source_).substr(at_, tag.at - at_);
    if (tag.at == source_.size()) {
      add_data(text, text);
      at_ = tag.at;
      return {};
    }
    add_data(text, strip_before(text, tag.sign, tag.type != '{'));
    if (tag.type == '#') return skip_comment(tag);
    if (tag.type == '%') {
      if (const size_t body = raw_body(tag); body != 0) return lex_raw(tag, body);
    }
    push(tag.type == '%' ? TokenKind::block_begin : TokenKind::variable_begin);
    at_ = tag.end();
    return lex_tag(tag.type);
  }

  Opening find_opening() const {
    size_t at = at_;
    while ((at = source_.find('{', at)) != std::string::npos) {
      const char type = peek(at + 1);
      if (type == '%' || type == '{' || type == '#') {
        const char sign = peek(at + 2);
        return {at, type, sign == '-' || sign == '+' ? sign : '\0'};
      }
      ++at;
    }
    return {source_.size(), '\0', '\0'};
  }

  // What remains of the text before a tag: "-" strips all white space; without "+", blanks between
  // the beginning of the line and a block or comment go (lstrip_blocks).
  std::string_view strip_before(std::string_view text, char sign, bool lstrip) const {
    if (sign == '-') return rstrip_space(text);
    if (sign == '+' || !lstrip) return text;
    const size_t newline = text.rfind('\n');
    const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    if ((line > 0 || line_starting_) && rstrip_space(text.substr(line)).empty()) {
      return text.substr(0, line);
    }
    return text;
  }

  void add_data(std::string_view text, std::string_view kept) {
    if (!kept.empty()) push(TokenKind::data, kept);
    count_lines(text);
  }

  void count_lines(std::string_view text) {
    line_ += static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }

  // Moves behind a closing tag that ends at `at`: "-" takes all white space, otherwise a block or
  // comment takes one newline (trim_blocks) unless it was closed by "+".
  void close(size_t from, size_t at, char sign, bool trim) {
    if (sign == '-') {
      at = skip_space(source_, at);
    } else if (sign != '+' && trim && peek(at) == '\n') {
      ++at;
    }
    count_lines(std::string_view(source_).substr(from, at - from));
    line_starting_ = at > 0 && source_[at - 1] == '\n';
    at_ = at;
  }

  Status skip_comment(const Opening& tag) {
    const size_t end = source_.find("#}", tag.end());
    if (end == std::string::npos && tag.end() < source_.size()) {
      return fail("missing end of comment tag");
    }
    if (end == std::string::npos) return end_of_source();
    const char last = end > tag.end() ? source_[end - 1] : '\0';
    close(tag.at, end + 2, last == '-' || last == '+' ? last : '\0', true);
    return {};
  }

  // jinja2 misses the end of a comment or of raw text only when there is something in it.
  Status end_of_source() {
    at_ = source_.size();
    return {};
  }

  // Where the text of {% raw %} begins; 0 when the tag is another one.
  size_t raw_body(const Opening& tag) const {
    size_t at = skip_space(source_, tag.end());
    if (source_.compare(at, 3, "raw") != 0) return 0;
    at = skip_space(source_, at + 3);
    if (source_.compare(at, 3, "-%}") == 0) return skip_space(source_, at + 3);
    return source_.compare(at, 2, "%}") == 0 ? at + 2 : 0;
  }

  Status lex_raw(const Opening& tag, size_t body) {
    count_lines(std::string_view(source_).substr(tag.at, body - tag.at));
    line_starting_ = source_[body - 1] == '\n';
    for (size_t at = source_.find("{%", body); at != std::string::npos;
         at = source_.find("{%", at + 1)) {
      const char mark = peek(at + 2);
      const char sign = mark == '-' || mark == '+' ? mark : '\0';
      size_t end = skip_space(source_, at + 2 + (sign != 0));
      if (source_.compare(end, 6, "endraw") != 0) continue;
      end = skip_space(source_, end + 6);
      const char last = peek(end) == '-' || peek(end) == '+' ? peek(end) : '\0';
      end += last != 0;
      if (source_.compare(end, 2, "%}") != 0) continue;
      const std::string_view text = std::string_view(source_).substr(body, at - body);
      add_data(text, strip_before(text, sign, true));
      close(at, end + 2, last, true);
      return {};
    }
    if (body < source_.size()) return fail("missing end of raw directive");
    return end_of_source();
  }

  // The tokens up to and with the end of a tag; type '%' or '{'.
  Status lex_tag(char type) {
    const std::string_view closing = type == '%' ? "%}" : "}}";
    while (at_ < source_.size()) {
      if (brackets_.empty() && try_close(type, closing)) return {};
      const size_t space = skip_space(source_, at_);
      if (space > at_) {
        count_lines(std::string_view(source_).substr(at_, space - at_));
        at_ = space;
        continue;
      }
      PHIAL_TRY(lex_token());
    }
    return {};  // the parser misses the end of the tag and says so
  }

  bool try_close(char type, std::string_view closing) {
    const char mark = peek(at_);
    const bool block = type == '%';
    const char sign = mark == '-' || (block && mark == '+') ? mark : '\0';
    const size_t at = at_ + (sign != 0);
    if (source_.compare(at, 2, closing) != 0) return false;
    push(block ? TokenKind::block_end : TokenKind::variable_end);
    close(at_, at + 2, sign, block);
    return true;
  }

  Status lex_token() {
    const char c = source_[at_];
    if (is_digit(c)) return lex_number();
    if (c == '\'' || c == '"') return lex_string(c);
    if (const size_t end = name_end(source_, at_); end > at_) return lex_name(end);
    return lex_operator();
  }

  Status lex_name(size_t end) {
    const std::string_view name = std::string_view(source_).substr(at_, end - at_);
    if (!is_identifier(name)) return fail("invalid character in identifier");
    push(TokenKind::name, name);
    at_ = end;
    return {};
  }

  Status lex_operator() {
    static constexpr std::array<std::string_view, 6> kPairs = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kSingles = "+-/*%~[](){}><=.:|,;";
    const std::string_view rest = std::string_view(source_).substr(at_);
    const std::string_view two = rest.substr(0, 2);
    size_t size = std::find(kPairs.begin(), kPairs.end(), two) != kPairs.end() ? 2 : 0;
    if (size == 0 && kSingles.find(rest[0]) != std::string_view::npos) size = 1;
    if (size == 0) {
      return fail("unexpected character '" +
                  std::string(rest.substr(0, utf8::decode(rest).length)) + "'");
    }
    PHIAL_TRY(balance(rest[0]));
    push(TokenKind::op, rest.substr(0, size));
    at_ += size;
    return {};
  }

  Status balance(char c) {
    if (c == '(') brackets_ += ')';
    if (c == '[') brackets_ += ']';
    if (c == '{') brackets_ += '}';
    if (c != ')' && c != ']' && c != '}') return {};
    if (brackets_.empty()) return fail(std::string("unexpected '") + c + "'");
    const char expected = brackets_.back();
    brackets_.pop_back();
    if (c != expected) {
      return fail(std::string("unexpected '") + c + "', expected '" + expected + "'");
    }
    return {};
  }

  // Digits with single underscores between them, beginning at `at`; their end.
  template <class Pred>
  size_t digits_end(size_t at, Pred accepts) const {
    if (!accepts(peek(at))) return at;
    while (true) {
      while (accepts(peek(at))) ++at;
      if (peek(at) != '_' || !accepts(peek(at + 1))) return at;
      ++at;
    }
  }

  Status lex_number() {
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (!after_dot) {
      if (const size_t end = float_end(); end != 0) return lex_float(end);
    }
    const char kind = static_cast<char>(peek(at_ + 1) | 0x20);
    size_t digits = at_ + 2;
    if (peek(digits) == '_') ++digits;
    if (source_[at_] == '0' && kind == 'x') {
      const size_t end = digits_end(digits, [](char c) { return hex_digit(c) >= 0; });
      if (end > digits) return lex_integer(digits, end, 16);
    } else if (source_[at_] == '0' && kind == 'o') {
      const size_t end = digits_end(digits, [](char c) { return c >= '0' && c <= '7'; });
      if (end > digits) return lex_integer(digits, end, 8);
    } else if (source_[at_] == '0' && kind == 'b') {
      const size_t end = digits_end(digits, [](char c) { return c == '0' || c == '1'; });
      if (end > digits) return lex_integer(digits, end, 2);
    }
    // A zero begins no other number: "007" is the tokens 00 and 7.
    const size_t end = source_[at_] == '0' ? digits_end(at_, [](char c) { return c == '0'; })
                                           : digits_end(at_, is_digit);
    return lex_integer(at_, end, 10);
  }

  size_t float_end() const {
    size_t at = digits_end(at_, is_digit);
    bool real = false;
    if (peek(at) == '.' && is_digit(peek(at + 1))) {
      at = digits_end(at + 1, is_digit);
      real = true;
    }
    if ((peek(at) | 0x20) == 'e') {
      size_t digits = at + 1;
      if (peek(digits) == '+' || peek(digits) == '-') ++digits;
      if (is_digit(peek(digits))) return digits_end(digits, is_digit);
    }
    return real ? at : 0;
  }

  std::string without_underscores(size_t from, size_t end) const {
    std::string digits = source_.substr(from, end - from);
    std::erase(digits, '_');
    return digits;
  }

  Status lex_float(size_t end) {
    const std::string digits = without_underscores(at_, end);
    push(TokenKind::real);
    const auto parsed =
        std::from_chars(digits.data(), digits.data() + digits.size(), tokens_.back().real);
    if (parsed.ec == std::errc::result_out_of_range) {
      tokens_.back().real = parse_python_float(digits).value_or(0);
    }
    at_ = end;
    return {};
  }

  Status lex_integer(size_t from, size_t end, int base) {
    const std::string digits = without_underscores(from, end);
    push(TokenKind::integer);
    const auto parsed =
        std::from_chars(digits.data(), digits.data() + digits.size(), tokens_.back().integer, base);
    if (parsed.ec != std::errc()) {
      return unsupported(at_line(name_, line_), "an integer does not fit 64 bits");
    }
    at_ = end;
    return {};
  }

  Status lex_string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return fail(std::string("unexpected char '") + quote + "'");
    const std::string_view body = std::string_view(source_).substr(at_ + 1, end - at_ - 1);
    std::string text;
    PHIAL_TRY(unescape(body, text));
    push(TokenKind::string, text);
    count_lines(body);
    at_ = end + 1;
    return {};
  }

  // Python's "unicode-escape" codec.
  Status unescape(std::string_view body, std::string& out) const {
    static constexpr std::string_view kFrom = "\\'\"abfnrtv";
    static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
    for (size_t i = 0; i < body.size();) {
      if (body[i] != '\\') {
        out += body[i++];
        continue;
      }
      const char c = body[++i];
      if (const size_t simple = kFrom.find(c); simple != std::string_view::npos) {
        out += kTo[simple];
        ++i;
      } else if (c == '\n') {
        ++i;
      } else if (c >= '0' && c <= '7') {
        char32_t code = 0;
        for (int n = 0; n < 3 && i < body.size() && body[i] >= '0' && body[i] <= '7'; ++n) {
          code = code * 8 + static_cast<char32_t>(body[i++] - '0');
        }
        utf8::append(out, code);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        PHIAL_TRY(unescape_hex(body, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, out));
      } else if (c == 'N') {
        return unsupported(at_line(name_, line_), "\\N{...} escapes are not supported",
                           "write the character itself or \\uXXXX");
      } else {
        out += '\\';
        if (static_cast<unsigned char>(c) >= 0x80) i += escape_non_ascii(body.substr(i), out);
      }
    }
    return {};
  }

  // jinja2 first turns characters beyond ASCII into escapes, whose backslash is then taken by the
  // one that stood before the character.
  static size_t escape_non_ascii(std::string_view rest, std::string& out) {
    const utf8::Decoded c = utf8::decode(rest);
    const int digits = c.code_point < 0x100 ? 2 : c.code_point < 0x10000 ? 4 : 8;
    out += digits == 2 ? 'x' : digits == 4 ? 'u' : 'U';
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
      out += "0123456789abcdef"[(c.code_point >> shift) & 15];
    }
    return c.length;
  }

  Status unescape_hex(std::string_view body, size_t& i, size_t digits, std::string& out) const {
    char32_t code = 0;
    for (size_t n = 1; n <= digits; ++n) {
      const int digit = i + n < body.size() ? hex_digit(body[i + n]) : -1;
      if (digit < 0) return fail("truncated escape in a string");
      code = code * 16 + static_cast<char32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return fail("an escape in a string is no Unicode character");
    }
    utf8::append(out, code);
    i += digits + 1;
    return {};
  }

  char peek(size_t at) const { return at < source_.size() ? source_[at] : '\0'; }

  void push(TokenKind kind, std::string_view text = {}) {
    Token& token = tokens_.emplace_back();
    token.kind = kind;
    token.line = line_;
    token.text = text;
  }

  Error fail(std::string_view message) const { return damaged(at_line(name_, line_), message); }

  std::string source_;
  std::string_view name_;
  std::vector<Token> tokens_;
  std::string brackets_;  // closing brackets that are due
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::string at_line(std::string_view name, int line) {
  return std::string(name) + ":" + std::to_string(line);
}

Result<std::vector<Token>> tokenize(std::string_view source, std::string_view name) {
  return Lexer(normalize_source(source), name).run();
}

}  // namespace phial::jinja

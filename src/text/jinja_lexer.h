// Jinja's lexical rules, as jinja2 3.1 applies them with trim_blocks and lstrip_blocks: template
// text is cut into data and the tokens of its tags.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace phial::jinja {

enum class TokenKind : uint8_t {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  op,  // `text` is the operator
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  int line = 1;
  std::string text;  // data, name, string (escapes resolved), operator
  int64_t integer = 0;
  double real = 0;

  bool is_op(std::string_view op) const { return kind == TokenKind::op && text == op; }
  bool is_name(std::string_view name) const { return kind == TokenKind::name && text == name; }
};

// The last token is always `end`. `name` says in errors which template it is.
// Errors: damaged (with line number), unsupported (an integer beyond 64 bits, a \N{...} escape).
// REQUIRES: `source` is UTF-8
Result<std::vector<Token>> tokenize(std::string_view source, std::string_view name);

// "name:line", the `where` of template errors.
std::string at_line(std::string_view name, int line);

}  // namespace phial::jinja

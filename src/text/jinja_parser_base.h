// The token stream and what both halves of the parser (expressions, statements) share.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/chat_template.h"
#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace phial::jinja {

class ParserBase {
 protected:
  ParserBase(std::vector<Token> tokens, std::string_view name, const TemplateLimits& limits)
      : tokens_(std::move(tokens)), name_(name), limits_(limits) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool skip_op(std::string_view op) {
    const bool is = current().is_op(op);
    if (is) next();
    return is;
  }
  bool skip_name(std::string_view name) {
    const bool is = current().is_name(name);
    if (is) next();
    return is;
  }
  Status expect_op(std::string_view op) {
    if (skip_op(op)) return {};
    return fail("expected '" + std::string(op) + "', got " + describe(current()));
  }
  Status expect_name(std::string_view name) {
    if (skip_name(name)) return {};
    return fail("expected '" + std::string(name) + "', got " + describe(current()));
  }
  Status expect(TokenKind kind, std::string_view what) {
    if (current().kind == kind) {
      next();
      return {};
    }
    return fail("expected " + std::string(what) + ", got " + describe(current()));
  }
  Result<std::string> expect_identifier() {
    if (current().kind == TokenKind::name) return next().text;
    return fail("expected a name, got " + describe(current()));
  }

  static std::string describe(const Token& token) {
    switch (token.kind) {
      case TokenKind::data:
        return "text";
      case TokenKind::variable_begin:
        return "begin of print statement";
      case TokenKind::variable_end:
        return "end of print statement";
      case TokenKind::block_begin:
        return "begin of statement block";
      case TokenKind::block_end:
        return "end of statement block";
      case TokenKind::string:
        return "a string";
      case TokenKind::integer:
        return "integer " + std::to_string(token.integer);
      case TokenKind::real:
        return "a float";
      case TokenKind::end:
        return "end of template";
      default:
        return "'" + token.text + "'";
    }
  }

  Error fail(std::string_view message) const { return fail_at(current().line, message); }
  Error fail_at(int line, std::string_view message) const {
    return damaged(at_line(name_, line), message);
  }
  Error too_deep() const {
    return over_limit(at_line(name_, current().line),
                      "the template is nested deeper than " + std::to_string(limits_.max_depth));
  }

  // Counts a level of nesting while a function runs.
  class Level {
   public:
    explicit Level(int& depth) : depth_(depth) { ++depth_; }
    ~Level() { --depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    int& depth_;
  };

  std::vector<Token> tokens_;
  std::string name_;
  TemplateLimits limits_;
  size_t at_ = 0;
  int depth_ = 0;
};

// Expressions, by precedence: conditional, or, and, not, comparison, + -, ~, * / // %, **, unary,
// postfix, filters and tests.
class ExpressionParser : protected ParserBase {
 protected:
  using ParserBase::ParserBase;

  enum class TupleMode { full, without_conditional, targets };

  Result<ExprPtr> parse_expression(bool with_conditional = true);
  // Comma separated expressions; `ends` are names that end the tuple.
  Result<ExprPtr> parse_tuple(TupleMode mode, std::initializer_list<std::string_view> ends = {},
                              bool parenthesized = false, bool with_namespace = false);
  Result<ExprPtr> parse_primary(bool with_namespace = false);
  // "|name(...)" again and again; `inside` may be null, `started` says that the bar is not there.
  Result<ExprPtr> parse_filters(ExprPtr inside, bool started);

  ExprPtr make(ExprKind kind, int line) const;
  // Computes the depth once all children are in place.
  Result<ExprPtr> finish(ExprPtr expr) const;

 private:
  Result<ExprPtr> parse_conditional();
  Result<ExprPtr> parse_logical(ExprKind kind);
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_comparison();
  Result<ExprPtr> parse_sum();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_product();
  Result<ExprPtr> parse_power();
  Result<ExprPtr> parse_unary(bool with_filters = true);
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_string();
  Result<ExprPtr> parse_postfix(ExprPtr node);
  Result<ExprPtr> parse_filter_chain(ExprPtr node);
  Result<ExprPtr> parse_dot(ExprPtr node);
  Result<ExprPtr> parse_brackets(ExprPtr node);
  Result<ExprPtr> parse_call(ExprPtr node);
  Result<ExprPtr> parse_test(ExprPtr node);
  Result<std::unique_ptr<Arguments>> parse_arguments();
  Status parse_argument(Arguments& out);
  Result<std::string> parse_dotted_name();
  bool at_compare_op(CompareOp& op) const;
  bool at_tuple_end(std::initializer_list<std::string_view> ends) const;
};

}  // namespace phial::jinja

#include "text/jinja_parser.h"

#include "text/jinja_parser_base.h"
#include "text/jinja_scope.h"

namespace phial::jinja {
namespace {

// Statements of Jinja that load other templates or change escaping: chat templates have no use for
// them.
constexpr std::string_view kUnsupported[] = {"block",  "extends", "include",
                                             "import", "from",    "autoescape"};

class Parser : private ExpressionParser {
 public:
  Parser(std::vector<Token> tokens, std::string_view name, const TemplateLimits& limits)
      : ExpressionParser(std::move(tokens), name, limits) {}

  Result<std::unique_ptr<Template>> run() {
    auto out = std::make_unique<Template>();
    out->name = name_;
    PHIAL_ASSIGN(out->body, parse_body({}));
    return out;
  }

 private:
  using Ends = std::initializer_list<std::string_view>;
  using StmtPtr = std::unique_ptr<Stmt>;
  using Rule = Result<StmtPtr> (Parser::*)();

  // Up to one of `ends` (which stays current) or the end of the template.
  Result<Body> parse_body(Ends ends) {
    const Level level(depth_);
    if (depth_ > limits_.max_depth) return too_deep();
    Body body;
    while (current().kind != TokenKind::end) {
      const Token& token = current();
      if (token.kind == TokenKind::data) {
        StmtPtr data = start(StmtKind::data);
        data->text = token.text;
        next();
        body.push_back(std::move(data));
      } else if (token.kind == TokenKind::variable_begin) {
        StmtPtr output = start(StmtKind::output);
        next();
        PHIAL_ASSIGN(ExprPtr value, parse_tuple(TupleMode::full));
        output->exprs.push_back(std::move(value));
        PHIAL_TRY(expect(TokenKind::variable_end, "end of print statement"));
        body.push_back(std::move(output));
      } else {
        PHIAL_TRY(expect(TokenKind::block_begin, "begin of statement block"));
        if (at_end(ends)) return body;
        PHIAL_ASSIGN(StmtPtr statement, parse_statement());
        body.push_back(std::move(statement));
        PHIAL_TRY(expect(TokenKind::block_end, "end of statement block"));
      }
    }
    if (ends.size() == 0) return body;
    return fail("unexpected end of template, expected '" + std::string(*ends.begin()) + "'");
  }

  bool at_end(Ends ends) const {
    return current().kind == TokenKind::name &&
           std::find(ends.begin(), ends.end(), current().text) != ends.end();
  }

  // The statements behind a tag: "%} ... {% end".
  Result<Body> parse_block(Ends ends) {
    skip_op(":");
    PHIAL_TRY(expect(TokenKind::block_end, "end of statement block"));
    return parse_body(ends);
  }

  // As parse_block for one end, which is taken.
  Status parse_closed(std::string_view end, Body& out) {
    PHIAL_ASSIGN(out, parse_block({end}));
    next();
    return {};
  }

  StmtPtr start(StmtKind kind) const {
    auto statement = std::make_unique<Stmt>();
    statement->kind = kind;
    statement->line = current().line;
    return statement;
  }

  Result<StmtPtr> parse_statement() {
    static constexpr std::pair<std::string_view, Rule> kRules[] = {
        {"for", &Parser::parse_for},
        {"if", &Parser::parse_if},
        {"set", &Parser::parse_set},
        {"with", &Parser::parse_with},
        {"print", &Parser::parse_print},
        {"macro", &Parser::parse_macro},
        {"call", &Parser::parse_call_block},
        {"filter", &Parser::parse_filter_block},
        {"generation", &Parser::parse_generation},
        {"break", &Parser::parse_loop_control},
        {"continue", &Parser::parse_loop_control}};
    const Token& tag = current();
    if (tag.kind != TokenKind::name) return fail("tag name expected");
    for (const auto& [name, rule] : kRules) {
      if (tag.text == name) return (this->*rule)();
    }
    for (const std::string_view name : kUnsupported) {
      if (tag.text == name) {
        return unsupported(at_line(name_, tag.line),
                           "the statement '" + tag.text + "' is not supported in chat templates");
      }
    }
    return fail("unknown tag '" + tag.text + "'");
  }

  // Names, namespace attributes and tuples of them can be assigned to.
  Status check_target(const Expr& target) const {
    if (target.kind == ExprKind::name || target.kind == ExprKind::ns_ref) return {};
    if (target.kind != ExprKind::tuple) return fail_at(target.line, "cannot assign to this");
    for (const ExprPtr& item : target.items) PHIAL_TRY(check_target(*item));
    return {};
  }

  Result<ExprPtr> parse_target(Ends ends, bool with_namespace) {
    PHIAL_ASSIGN(ExprPtr target, parse_tuple(TupleMode::targets, ends, false, with_namespace));
    PHIAL_TRY(check_target(*target));
    return target;
  }

  Result<StmtPtr> parse_for() {
    StmtPtr loop = start(StmtKind::for_loop);
    next();
    const size_t target_at = at_;
    PHIAL_ASSIGN(loop->target, parse_target({"in"}, false));
    const size_t behind = at_;
    at_ = target_at;
    // Parsed twice: the test of a loop has variables of its own.
    PHIAL_ASSIGN(loop->test_target, parse_target({"in"}, false));
    at_ = behind;
    PHIAL_TRY(expect_name("in"));
    PHIAL_ASSIGN(loop->iter, parse_tuple(TupleMode::without_conditional, {"recursive"}));
    if (skip_name("if")) {
      PHIAL_ASSIGN(loop->test, parse_expression());
    }
    loop->recursive = skip_name("recursive");
    ++loops_;
    Result<Body> body = parse_block({"endfor", "else"});
    --loops_;
    PHIAL_ASSIGN(loop->body, std::move(body));
    if (next().text == "else") PHIAL_TRY(parse_closed("endfor", loop->else_body));
    return loop;
  }

  Result<StmtPtr> parse_if() {
    StmtPtr statement = start(StmtKind::if_block);
    next();
    bool has_test = true;
    while (true) {
      Branch& branch = statement->branches.emplace_back();
      if (has_test) {
        PHIAL_ASSIGN(branch.test, parse_tuple(TupleMode::without_conditional));
        PHIAL_ASSIGN(branch.body, parse_block({"elif", "else", "endif"}));
      } else {
        PHIAL_ASSIGN(branch.body, parse_block({"endif"}));
      }
      const std::string end = next().text;
      if (end == "endif") return statement;
      has_test = end == "elif";
    }
  }

  Result<StmtPtr> parse_set() {
    StmtPtr statement = start(StmtKind::set);
    next();
    PHIAL_ASSIGN(statement->target, parse_target({}, true));
    if (skip_op("=")) {
      PHIAL_ASSIGN(statement->value, parse_tuple(TupleMode::full));
      return statement;
    }
    statement->kind = StmtKind::set_block;
    if (current().is_op("|")) {
      PHIAL_ASSIGN(statement->value, parse_filters(nullptr, false));
    }
    PHIAL_TRY(parse_closed("endset", statement->body));
    return statement;
  }

  Result<StmtPtr> parse_with() {
    StmtPtr statement = start(StmtKind::with);
    next();
    while (current().kind != TokenKind::block_end) {
      if (!statement->targets.empty()) PHIAL_TRY(expect_op(","));
      PHIAL_ASSIGN(ExprPtr target, parse_target({}, false));
      PHIAL_TRY(expect_op("="));
      PHIAL_ASSIGN(ExprPtr value, parse_expression());
      statement->targets.push_back(std::move(target));
      statement->exprs.push_back(std::move(value));
    }
    PHIAL_TRY(parse_closed("endwith", statement->body));
    return statement;
  }

  Result<StmtPtr> parse_print() {
    StmtPtr statement = start(StmtKind::output);
    next();
    while (current().kind != TokenKind::block_end) {
      if (!statement->exprs.empty()) PHIAL_TRY(expect_op(","));
      PHIAL_ASSIGN(ExprPtr value, parse_expression());
      statement->exprs.push_back(std::move(value));
    }
    return statement;
  }

  Status parse_parameters(std::vector<Parameter>& out) {
    PHIAL_TRY(expect_op("("));
    while (!current().is_op(")")) {
      if (!out.empty()) PHIAL_TRY(expect_op(","));
      Parameter parameter;
      PHIAL_ASSIGN(parameter.name, expect_identifier());
      for (const Parameter& other : out) {
        if (other.name == parameter.name) return fail("parameter repeated: " + parameter.name);
      }
      if (skip_op("=")) {
        PHIAL_ASSIGN(parameter.fallback, parse_expression());
      } else if (!out.empty() && out.back().fallback != nullptr) {
        return fail("non-default argument follows default argument");
      }
      out.push_back(std::move(parameter));
    }
    return expect_op(")");
  }

  // The body of something that is a function of its own: no loop around can be left from it.
  Status parse_function_body(std::string_view end, Body& out) {
    const int loops = std::exchange(loops_, 0);
    Status status = parse_closed(end, out);
    loops_ = loops;
    return status;
  }

  Result<StmtPtr> parse_macro() {
    StmtPtr statement = start(StmtKind::macro);
    next();
    PHIAL_ASSIGN(statement->text, expect_identifier());
    PHIAL_TRY(parse_parameters(statement->parameters));
    PHIAL_TRY(parse_function_body("endmacro", statement->body));
    return statement;
  }

  Result<StmtPtr> parse_call_block() {
    StmtPtr statement = start(StmtKind::call_block);
    next();
    if (current().is_op("(")) PHIAL_TRY(parse_parameters(statement->parameters));
    PHIAL_ASSIGN(statement->value, parse_expression());
    if (statement->value->kind != ExprKind::call) {
      return fail_at(statement->line, "expected a call");
    }
    PHIAL_TRY(parse_function_body("endcall", statement->body));
    return statement;
  }

  Result<StmtPtr> parse_filter_block() {
    StmtPtr statement = start(StmtKind::filter_block);
    next();
    PHIAL_ASSIGN(statement->value, parse_filters(nullptr, true));
    PHIAL_TRY(parse_closed("endfilter", statement->body));
    return statement;
  }

  Result<StmtPtr> parse_generation() {
    StmtPtr statement = start(StmtKind::generation);
    next();
    PHIAL_TRY(parse_function_body("endgeneration", statement->body));
    return statement;
  }

  Result<StmtPtr> parse_loop_control() {
    const bool is_break = current().text == "break";
    StmtPtr statement = start(is_break ? StmtKind::break_loop : StmtKind::continue_loop);
    if (loops_ == 0) return fail("'" + current().text + "' outside of a loop");
    next();
    return statement;
  }

  int loops_ = 0;  // loops around that break and continue can reach
};

}  // namespace

Result<std::unique_ptr<Template>> parse_template(std::string_view source, std::string_view name,
                                                 const TemplateLimits& limits) {
  PHIAL_ASSIGN(std::vector<Token> tokens, tokenize(source, name));
  PHIAL_ASSIGN(std::unique_ptr<Template> out, Parser(std::move(tokens), name, limits).run());
  PHIAL_TRY(analyse_scopes(*out));
  return out;
}

}  // namespace phial::jinja

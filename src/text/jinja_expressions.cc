#include <array>

#include "text/jinja_parser_base.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

struct OpName {
  std::string_view text;
  BinaryOp op;
};
constexpr std::array<OpName, 2> kSumOps = {{{"+", BinaryOp::add}, {"-", BinaryOp::sub}}};
constexpr std::array<OpName, 4> kProductOps = {
    {{"*", BinaryOp::mul}, {"/", BinaryOp::div}, {"//", BinaryOp::floordiv}, {"%", BinaryOp::mod}}};

template <size_t N>
const OpName* find_op(const std::array<OpName, N>& ops, const Token& token) {
  if (token.kind != TokenKind::op) return nullptr;
  for (const OpName& op : ops) {
    if (op.text == token.text) return &op;
  }
  return nullptr;
}

Value make_text(std::string text) {
  auto data = std::make_shared<StringData>();
  data->length = count_characters(text);
  data->text = std::move(text);
  return Value(std::shared_ptr<const StringData>(std::move(data)));
}

}  // namespace

ExprPtr ExpressionParser::make(ExprKind kind, int line) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  return expr;
}

Result<ExprPtr> ExpressionParser::finish(ExprPtr expr) const {
  const auto include = [&expr](const ExprPtr& child) {
    if (child != nullptr) expr->depth = std::max(expr->depth, child->depth + 1);
  };
  for (const ExprPtr& item : expr->items) include(item);
  if (expr->arguments != nullptr) {
    for (const ExprPtr& value : expr->arguments->positional) include(value);
    for (const auto& named : expr->arguments->named) include(named.second);
    include(expr->arguments->more_positional);
    include(expr->arguments->more_named);
  }
  if (expr->depth > limits_.max_depth) return too_deep();
  return expr;
}

Result<ExprPtr> ExpressionParser::parse_expression(bool with_conditional) {
  const Level level(depth_);
  if (depth_ > limits_.max_depth) return too_deep();
  return with_conditional ? parse_conditional() : parse_logical(ExprKind::or_chain);
}

Result<ExprPtr> ExpressionParser::parse_conditional() {
  int line = current().line;
  PHIAL_ASSIGN(ExprPtr value, parse_logical(ExprKind::or_chain));
  while (skip_name("if")) {
    ExprPtr node = make(ExprKind::conditional, line);
    PHIAL_ASSIGN(ExprPtr test, parse_logical(ExprKind::or_chain));
    node->items.push_back(std::move(test));
    node->items.push_back(std::move(value));
    node->items.emplace_back();
    if (skip_name("else")) {
      const Level level(depth_);
      if (depth_ > limits_.max_depth) return too_deep();
      PHIAL_ASSIGN(node->items[2], parse_conditional());
    }
    PHIAL_ASSIGN(value, finish(std::move(node)));
    line = current().line;
  }
  return value;
}

Result<ExprPtr> ExpressionParser::parse_logical(ExprKind kind) {
  const bool is_or = kind == ExprKind::or_chain;
  const auto operand = [&] { return is_or ? parse_logical(ExprKind::and_chain) : parse_not(); };
  ExprPtr node = make(kind, current().line);
  PHIAL_ASSIGN(ExprPtr first, operand());
  node->items.push_back(std::move(first));
  while (skip_name(is_or ? "or" : "and")) {
    PHIAL_ASSIGN(ExprPtr item, operand());
    node->items.push_back(std::move(item));
  }
  if (node->items.size() == 1) return std::move(node->items[0]);
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_not() {
  if (!current().is_name("not")) return parse_comparison();
  const Level level(depth_);
  if (depth_ > limits_.max_depth) return too_deep();
  ExprPtr node = make(ExprKind::unary_not, next().line);
  PHIAL_ASSIGN(ExprPtr operand, parse_not());
  node->items.push_back(std::move(operand));
  return finish(std::move(node));
}

bool ExpressionParser::at_compare_op(CompareOp& op) const {
  static constexpr std::array<std::pair<std::string_view, CompareOp>, 6> kOps = {
      {{"==", CompareOp::eq},
       {"!=", CompareOp::ne},
       {"<", CompareOp::lt},
       {"<=", CompareOp::le},
       {">", CompareOp::gt},
       {">=", CompareOp::ge}}};
  for (const auto& [text, value] : kOps) {
    if (current().is_op(text)) {
      op = value;
      return true;
    }
  }
  op = current().is_name("in") ? CompareOp::in : CompareOp::not_in;
  return current().is_name("in") || (current().is_name("not") && look().is_name("in"));
}

Result<ExprPtr> ExpressionParser::parse_comparison() {
  ExprPtr node = make(ExprKind::comparison, current().line);
  PHIAL_ASSIGN(ExprPtr first, parse_sum());
  node->items.push_back(std::move(first));
  CompareOp op;
  while (at_compare_op(op)) {
    next();
    if (op == CompareOp::not_in) next();
    node->compare_ops.push_back(op);
    PHIAL_ASSIGN(ExprPtr item, parse_sum());
    node->items.push_back(std::move(item));
  }
  if (node->items.size() == 1) return std::move(node->items[0]);
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_sum() {
  ExprPtr node = make(ExprKind::chain, current().line);
  PHIAL_ASSIGN(ExprPtr first, parse_concat());
  node->items.push_back(std::move(first));
  while (const OpName* op = find_op(kSumOps, current())) {
    next();
    node->ops.push_back(op->op);
    PHIAL_ASSIGN(ExprPtr item, parse_concat());
    node->items.push_back(std::move(item));
  }
  if (node->items.size() == 1) return std::move(node->items[0]);
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_concat() {
  ExprPtr node = make(ExprKind::concat, current().line);
  PHIAL_ASSIGN(ExprPtr first, parse_product());
  node->items.push_back(std::move(first));
  while (skip_op("~")) {
    PHIAL_ASSIGN(ExprPtr item, parse_product());
    node->items.push_back(std::move(item));
  }
  if (node->items.size() == 1) return std::move(node->items[0]);
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_product() {
  ExprPtr node = make(ExprKind::chain, current().line);
  PHIAL_ASSIGN(ExprPtr first, parse_power());
  node->items.push_back(std::move(first));
  while (const OpName* op = find_op(kProductOps, current())) {
    next();
    node->ops.push_back(op->op);
    PHIAL_ASSIGN(ExprPtr item, parse_power());
    node->items.push_back(std::move(item));
  }
  if (node->items.size() == 1) return std::move(node->items[0]);
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_power() {
  ExprPtr node = make(ExprKind::chain, current().line);
  PHIAL_ASSIGN(ExprPtr first, parse_unary());
  node->items.push_back(std::move(first));
  while (skip_op("**")) {
    // From left to right, unlike Python.
    node->ops.push_back(BinaryOp::pow);
    PHIAL_ASSIGN(ExprPtr item, parse_unary());
    node->items.push_back(std::move(item));
  }
  if (node->items.size() == 1) return std::move(node->items[0]);
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_unary(bool with_filters) {
  ExprPtr node;
  if (current().is_op("-") || current().is_op("+")) {
    const Level level(depth_);
    if (depth_ > limits_.max_depth) return too_deep();
    const bool minus = current().is_op("-");
    ExprPtr unary = make(minus ? ExprKind::negative : ExprKind::positive, next().line);
    PHIAL_ASSIGN(ExprPtr operand, parse_unary(false));
    unary->items.push_back(std::move(operand));
    PHIAL_ASSIGN(node, finish(std::move(unary)));
  } else {
    PHIAL_ASSIGN(node, parse_primary());
  }
  PHIAL_ASSIGN(node, parse_postfix(std::move(node)));
  return with_filters ? parse_filter_chain(std::move(node)) : Result<ExprPtr>(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_string() {
  ExprPtr node = make(ExprKind::constant, current().line);
  std::string text;
  while (current().kind == TokenKind::string) text += next().text;
  node->constant = make_text(std::move(text));
  return node;
}

Result<ExprPtr> ExpressionParser::parse_primary(bool with_namespace) {
  const Token& token = current();
  ExprPtr node = make(ExprKind::constant, token.line);
  if (token.kind == TokenKind::name) {
    next();
    const std::string& text = token.text;
    if (text == "true" || text == "True" || text == "false" || text == "False") {
      node->constant = Value(text[0] == 't' || text[0] == 'T');
    } else if (text == "none" || text == "None") {
      node->constant = Value::none();
    } else if (with_namespace && skip_op(".")) {
      node->kind = ExprKind::ns_ref;
      PHIAL_ASSIGN(node->text, expect_identifier());
      ExprPtr owner = make(ExprKind::name, token.line);
      owner->text = text;
      node->items.push_back(std::move(owner));
    } else {
      node->kind = ExprKind::name;
      node->text = text;
    }
    return node;
  }
  if (token.kind == TokenKind::string) return parse_string();
  if (token.kind == TokenKind::integer || token.kind == TokenKind::real) {
    next();
    node->constant = token.kind == TokenKind::integer ? Value(token.integer) : Value(token.real);
    return node;
  }
  if (token.is_op("(")) {
    next();
    PHIAL_ASSIGN(node, parse_tuple(TupleMode::full, {}, true));
    PHIAL_TRY(expect_op(")"));
    return node;
  }
  if (token.is_op("[")) return parse_list();
  if (token.is_op("{")) return parse_dict();
  return fail("unexpected " + describe(token));
}

bool ExpressionParser::at_tuple_end(std::initializer_list<std::string_view> ends) const {
  const Token& token = current();
  if (token.kind == TokenKind::variable_end || token.kind == TokenKind::block_end ||
      token.is_op(")")) {
    return true;
  }
  return token.kind == TokenKind::name &&
         std::find(ends.begin(), ends.end(), token.text) != ends.end();
}

Result<ExprPtr> ExpressionParser::parse_tuple(TupleMode mode,
                                              std::initializer_list<std::string_view> ends,
                                              bool parenthesized, bool with_namespace) {
  ExprPtr tuple = make(ExprKind::tuple, current().line);
  bool is_tuple = false;
  while (true) {
    if (!tuple->items.empty()) PHIAL_TRY(expect_op(","));
    if (at_tuple_end(ends)) break;
    ExprPtr item;
    if (mode == TupleMode::targets) {
      PHIAL_ASSIGN(item, parse_primary(with_namespace));
    } else {
      PHIAL_ASSIGN(item, parse_expression(mode == TupleMode::full));
    }
    tuple->items.push_back(std::move(item));
    if (!current().is_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!tuple->items.empty()) return std::move(tuple->items[0]);
    if (!parenthesized) return fail("expected an expression, got " + describe(current()));
  }
  return finish(std::move(tuple));
}

Result<ExprPtr> ExpressionParser::parse_list() {
  ExprPtr list = make(ExprKind::list, next().line);
  while (!current().is_op("]")) {
    if (!list->items.empty()) PHIAL_TRY(expect_op(","));
    if (current().is_op("]")) break;
    PHIAL_ASSIGN(ExprPtr item, parse_expression());
    list->items.push_back(std::move(item));
  }
  PHIAL_TRY(expect_op("]"));
  return finish(std::move(list));
}

Result<ExprPtr> ExpressionParser::parse_dict() {
  ExprPtr dict = make(ExprKind::dict, next().line);
  while (!current().is_op("}")) {
    if (!dict->items.empty()) PHIAL_TRY(expect_op(","));
    if (current().is_op("}")) break;
    PHIAL_ASSIGN(ExprPtr key, parse_expression());
    PHIAL_TRY(expect_op(":"));
    PHIAL_ASSIGN(ExprPtr value, parse_expression());
    dict->items.push_back(std::move(key));
    dict->items.push_back(std::move(value));
  }
  PHIAL_TRY(expect_op("}"));
  return finish(std::move(dict));
}

Result<ExprPtr> ExpressionParser::parse_postfix(ExprPtr node) {
  while (true) {
    if (current().is_op(".")) {
      PHIAL_ASSIGN(node, parse_dot(std::move(node)));
    } else if (current().is_op("[")) {
      PHIAL_ASSIGN(node, parse_brackets(std::move(node)));
    } else if (current().is_op("(")) {
      PHIAL_ASSIGN(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_filter_chain(ExprPtr node) {
  while (true) {
    if (current().is_op("|")) {
      PHIAL_ASSIGN(node, parse_filters(std::move(node), false));
    } else if (current().is_name("is")) {
      PHIAL_ASSIGN(node, parse_test(std::move(node)));
    } else if (current().is_op("(")) {
      PHIAL_ASSIGN(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_dot(ExprPtr node) {
  const int line = next().line;
  const Token& name = next();
  if (name.kind == TokenKind::name) {
    ExprPtr attribute = make(ExprKind::attribute, line);
    attribute->text = name.text;
    attribute->items.push_back(std::move(node));
    return finish(std::move(attribute));
  }
  if (name.kind != TokenKind::integer) return fail_at(name.line, "expected name or number");
  ExprPtr item = make(ExprKind::item, line);
  ExprPtr index = make(ExprKind::constant, line);
  index->constant = Value(name.integer);
  item->items.push_back(std::move(node));
  item->items.push_back(std::move(index));
  return finish(std::move(item));
}

Result<ExprPtr> ExpressionParser::parse_brackets(ExprPtr node) {
  ExprPtr item = make(ExprKind::item, next().line);
  item->items.push_back(std::move(node));
  const auto ends = [this] { return current().is_op("]") || current().is_op(","); };
  ExprPtr first;
  if (current().is_op("]")) {
    first = make(ExprKind::tuple, item->line);  // a[] is a[()]
  } else if (!current().is_op(":")) {
    PHIAL_ASSIGN(first, parse_expression());
  }
  const bool slice = skip_op(":");
  item->items.push_back(std::move(first));
  if (slice) {
    item->kind = ExprKind::slice;
    item->items.resize(4);
    if (!ends() && !current().is_op(":")) {
      PHIAL_ASSIGN(item->items[2], parse_expression());
    }
    if (skip_op(":") && !ends()) {
      PHIAL_ASSIGN(item->items[3], parse_expression());
    }
  } else if (current().is_op(",")) {
    // a[b, c] is a[(b, c)]
    ExprPtr key = make(ExprKind::tuple, item->line);
    key->items.push_back(std::move(item->items[1]));
    while (skip_op(",")) {
      PHIAL_ASSIGN(ExprPtr part, parse_expression());
      key->items.push_back(std::move(part));
    }
    PHIAL_ASSIGN(item->items[1], finish(std::move(key)));
  }
  PHIAL_TRY(expect_op("]"));
  return finish(std::move(item));
}

Result<ExprPtr> ExpressionParser::parse_call(ExprPtr node) {
  ExprPtr call = make(ExprKind::call, current().line);
  call->items.push_back(std::move(node));
  PHIAL_ASSIGN(call->arguments, parse_arguments());
  return finish(std::move(call));
}

Result<std::unique_ptr<Arguments>> ExpressionParser::parse_arguments() {
  auto out = std::make_unique<Arguments>();
  PHIAL_TRY(expect_op("("));
  bool comma = false;
  while (!current().is_op(")")) {
    if (comma) {
      PHIAL_TRY(expect_op(","));
      if (current().is_op(")")) break;
    }
    PHIAL_TRY(parse_argument(*out));
    comma = true;
  }
  PHIAL_TRY(expect_op(")"));
  return out;
}

Status ExpressionParser::parse_argument(Arguments& out) {
  const int line = current().line;
  const auto misplaced = [&] { return fail_at(line, "invalid order of arguments in a call"); };
  if (skip_op("*")) {
    if (out.more_positional != nullptr || out.more_named != nullptr) return misplaced();
    PHIAL_ASSIGN(out.more_positional, parse_expression());
  } else if (skip_op("**")) {
    if (out.more_named != nullptr) return misplaced();
    PHIAL_ASSIGN(out.more_named, parse_expression());
  } else if (current().kind == TokenKind::name && look().is_op("=")) {
    if (out.more_named != nullptr) return misplaced();
    std::string key = next().text;
    next();
    for (const auto& named : out.named) {
      if (named.first == key) return fail_at(line, "keyword argument repeated: " + key);
    }
    PHIAL_ASSIGN(ExprPtr value, parse_expression());
    out.named.emplace_back(std::move(key), std::move(value));
  } else {
    if (out.more_positional != nullptr || out.more_named != nullptr || !out.named.empty()) {
      return misplaced();
    }
    PHIAL_ASSIGN(ExprPtr value, parse_expression());
    out.positional.push_back(std::move(value));
  }
  return {};
}

Result<std::string> ExpressionParser::parse_dotted_name() {
  PHIAL_ASSIGN(std::string name, expect_identifier());
  while (skip_op(".")) {
    PHIAL_ASSIGN(const std::string part, expect_identifier());
    name += "." + part;
  }
  return name;
}

Result<ExprPtr> ExpressionParser::parse_filters(ExprPtr inside, bool started) {
  while (started || skip_op("|")) {
    started = false;
    ExprPtr filter = make(ExprKind::filter, current().line);
    PHIAL_ASSIGN(filter->text, parse_dotted_name());
    filter->items.push_back(std::move(inside));
    if (current().is_op("(")) {
      PHIAL_ASSIGN(filter->arguments, parse_arguments());
    } else {
      filter->arguments = std::make_unique<Arguments>();
    }
    PHIAL_ASSIGN(inside, finish(std::move(filter)));
  }
  return inside;
}

Result<ExprPtr> ExpressionParser::parse_test(ExprPtr node) {
  const int line = next().line;
  const bool negated = skip_name("not");
  ExprPtr test = make(ExprKind::test, line);
  PHIAL_ASSIGN(test->text, parse_dotted_name());
  test->items.push_back(std::move(node));
  test->arguments = std::make_unique<Arguments>();
  const Token& token = current();
  const bool operand = token.kind == TokenKind::string || token.kind == TokenKind::integer ||
                       token.kind == TokenKind::real || token.is_op("[") || token.is_op("{") ||
                       (token.kind == TokenKind::name && token.text != "else" &&
                        token.text != "or" && token.text != "and");
  if (token.is_op("(")) {
    PHIAL_ASSIGN(test->arguments, parse_arguments());
  } else if (operand) {
    if (token.is_name("is")) return fail("tests cannot be chained with is");
    PHIAL_ASSIGN(ExprPtr argument, parse_primary());
    PHIAL_ASSIGN(argument, parse_postfix(std::move(argument)));
    test->arguments->positional.push_back(std::move(argument));
  }
  PHIAL_ASSIGN(test, finish(std::move(test)));
  if (!negated) return test;
  ExprPtr inverse = make(ExprKind::unary_not, line);
  inverse->items.push_back(std::move(test));
  return finish(std::move(inverse));
}

}  // namespace phial::jinja

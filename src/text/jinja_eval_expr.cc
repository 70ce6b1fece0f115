// Expressions.
#include "text/jinja_eval.h"
#include "text/jinja_filters.h"
#include "text/jinja_ops.h"

namespace phial::jinja {
namespace {

constexpr int kNestingFactor = 6;  // as for blocks, in jinja_eval.cc

class Level {
 public:
  explicit Level(int& depth) : depth_(depth) { ++depth_; }
  ~Level() { --depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  int& depth_;
};

}  // namespace

Result<Value> Evaluator::eval(const Expr& e, Frame& frame) {
  PHIAL_TRY(step());
  const Level level(nesting_);
  if (nesting_ > kNestingFactor * limits().max_depth) {
    return over("expressions are nested too deep");
  }
  set_line(e.line);
  switch (e.kind) {
    case ExprKind::constant:
      return e.constant;
    case ExprKind::name:
      return eval_name(e, frame);
    case ExprKind::tuple:
    case ExprKind::list:
      return eval_sequence(e, frame);
    case ExprKind::dict:
      return eval_dict(e, frame);
    case ExprKind::unary_not:
    case ExprKind::negative:
    case ExprKind::positive:
    case ExprKind::and_chain:
    case ExprKind::or_chain:
      return eval_operators(e, frame);
    case ExprKind::chain:
      return eval_chain(e, frame);
    case ExprKind::concat:
      return eval_concat(e, frame);
    case ExprKind::comparison:
      return eval_comparison(e, frame);
    case ExprKind::conditional:
      return eval_conditional(e, frame);
    case ExprKind::attribute:
    case ExprKind::item:
    case ExprKind::slice:
      return eval_item(e, frame);
    case ExprKind::call:
      return eval_call(e, frame, nullptr);
    case ExprKind::filter:
      return eval_filter(e, frame);
    case ExprKind::test:
      return eval_test(e, frame);
    case ExprKind::ns_ref:
      break;  // only a target
  }
  return raise("not an expression");
}

Result<Value> Evaluator::eval_name(const Expr& e, Frame& frame) {
  const Value& value = slot(e.slot, frame);
  if (value.missing()) return undefined("'" + e.text + "' is undefined");
  return value;
}

Result<Value> Evaluator::eval_sequence(const Expr& e, Frame& frame) {
  std::vector<Value> items;
  items.reserve(e.items.size());
  for (const ExprPtr& item : e.items) {
    PHIAL_ASSIGN(Value value, eval(*item, frame));
    items.push_back(std::move(value));
  }
  return e.kind == ExprKind::tuple ? tuple(std::move(items)) : list(std::move(items));
}

Result<Value> Evaluator::eval_dict(const Expr& e, Frame& frame) {
  std::vector<DictData::Member> members;
  members.reserve(e.items.size() / 2);
  for (size_t i = 0; i < e.items.size(); i += 2) {
    PHIAL_ASSIGN(Value key, eval(*e.items[i], frame));
    PHIAL_ASSIGN(Value value, eval(*e.items[i + 1], frame));
    members.emplace_back(std::move(key), std::move(value));
  }
  set_line(e.line);
  return dict(std::move(members));
}

// not, unary minus and plus; and, or, which give the operand that decides.
Result<Value> Evaluator::eval_operators(const Expr& e, Frame& frame) {
  PHIAL_ASSIGN(Value value, eval(*e.items[0], frame));
  if (e.kind == ExprKind::unary_not) return Value(!truth(value));
  if (e.kind == ExprKind::negative) return negate(*this, value);
  if (e.kind == ExprKind::positive) return positive(*this, value);
  const bool stops_at = e.kind == ExprKind::or_chain;
  for (size_t i = 1; i < e.items.size() && truth(value) != stops_at; ++i) {
    PHIAL_ASSIGN(value, eval(*e.items[i], frame));
  }
  return value;
}

Result<Value> Evaluator::eval_chain(const Expr& e, Frame& frame) {
  PHIAL_ASSIGN(Value left, eval(*e.items[0], frame));
  for (size_t i = 1; i < e.items.size(); ++i) {
    PHIAL_ASSIGN(const Value right, eval(*e.items[i], frame));
    PHIAL_ASSIGN(left, binary(*this, e.ops[i - 1], left, right));
  }
  return left;
}

Result<Value> Evaluator::eval_concat(const Expr& e, Frame& frame) {
  std::vector<Value> parts;
  for (const ExprPtr& item : e.items) {
    PHIAL_ASSIGN(Value value, eval(*item, frame));
    parts.push_back(std::move(value));
  }
  Builder out(*this);
  for (const Value& part : parts) PHIAL_TRY(write_str(*this, out, part));
  return string(out.take());
}

Result<Value> Evaluator::eval_comparison(const Expr& e, Frame& frame) {
  PHIAL_ASSIGN(Value left, eval(*e.items[0], frame));
  bool holds = true;
  for (size_t i = 1; i < e.items.size() && holds; ++i) {
    PHIAL_ASSIGN(Value right, eval(*e.items[i], frame));
    PHIAL_ASSIGN(holds, compare(*this, e.compare_ops[i - 1], left, right));
    left = std::move(right);
  }
  return Value(holds);
}

Result<Value> Evaluator::eval_conditional(const Expr& e, Frame& frame) {
  PHIAL_ASSIGN(const Value test, eval(*e.items[0], frame));
  if (truth(test)) return eval(*e.items[1], frame);
  if (e.items[2] != nullptr) return eval(*e.items[2], frame);
  return undefined("the inline if-expression on line " + std::to_string(e.line) +
                   " evaluated to false and no else section was defined");
}

Result<Value> Evaluator::eval_item(const Expr& e, Frame& frame) {
  PHIAL_ASSIGN(const Value object, eval(*e.items[0], frame));
  if (e.kind == ExprKind::attribute) {
    set_line(e.line);
    return get_attribute(*this, object, e.text);
  }
  Value bounds[3];
  for (size_t i = 1; i < e.items.size(); ++i) {
    if (e.items[i] == nullptr) continue;
    PHIAL_ASSIGN(bounds[i - 1], eval(*e.items[i], frame));
  }
  set_line(e.line);
  if (e.kind == ExprKind::item) return get_item(*this, object, bounds[0]);
  return get_slice(*this, object, bounds[0], bounds[1], bounds[2]);
}

Status Evaluator::eval_arguments(const Arguments& arguments, Frame& frame, CallArgs& out) {
  for (const ExprPtr& expr : arguments.positional) {
    PHIAL_ASSIGN(Value value, eval(*expr, frame));
    out.positional.push_back(std::move(value));
  }
  if (arguments.more_positional != nullptr) {
    PHIAL_ASSIGN(const Value more, eval(*arguments.more_positional, frame));
    PHIAL_ASSIGN(std::vector<Value> values, to_vector(*this, more));
    for (Value& value : values) out.positional.push_back(std::move(value));
  }
  for (const auto& [name, expr] : arguments.named) {
    PHIAL_ASSIGN(Value value, eval(*expr, frame));
    out.named.emplace_back(name, std::move(value));
  }
  return arguments.more_named != nullptr ? eval_more_named(*arguments.more_named, frame, out)
                                         : Status();
}

Status Evaluator::eval_more_named(const Expr& e, Frame& frame, CallArgs& out) {
  PHIAL_ASSIGN(const Value more, eval(e, frame));
  const DictData* dict = more.if_dict();
  if (dict == nullptr) return raise("argument after ** must be a mapping");
  for (const auto& [key, value] : dict->members) {
    PHIAL_TRY(step(1 + out.named.size()));
    if (!key.is_string()) return raise("keywords must be strings");
    for (const auto& other : out.named) {
      if (other.first == key.text()) {
        return raise("got multiple values for keyword argument '" + key.text() + "'");
      }
    }
    out.named.emplace_back(key.text(), value);
  }
  return {};
}

Result<Value> Evaluator::eval_call(const Expr& e, Frame& frame, const Value* caller) {
  PHIAL_ASSIGN(const Value function, eval(*e.items[0], frame));
  CallArgs args;
  PHIAL_TRY(eval_arguments(*e.arguments, frame, args));
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
  set_line(e.line);
  return call(*this, function, args);
}

Result<Value> Evaluator::eval_filter(const Expr& e, Frame& frame) {
  Value value;
  if (e.items[0] != nullptr) {
    PHIAL_ASSIGN(value, eval(*e.items[0], frame));
  } else {
    value = std::move(block_text_);
    block_text_ = Value();
  }
  CallArgs args;
  PHIAL_TRY(eval_arguments(*e.arguments, frame, args));
  set_line(e.line);
  if (e.filter == nullptr) return raise("no filter named '" + e.text + "'");
  return e.filter->function(*this, value, args);
}

Result<Value> Evaluator::eval_test(const Expr& e, Frame& frame) {
  PHIAL_ASSIGN(const Value value, eval(*e.items[0], frame));
  CallArgs args;
  PHIAL_TRY(eval_arguments(*e.arguments, frame, args));
  set_line(e.line);
  if (e.test == nullptr) return raise("no test named '" + e.text + "'");
  PHIAL_ASSIGN(const bool holds, e.test->function(*this, value, args));
  return Value(holds);
}

}  // namespace phial::jinja

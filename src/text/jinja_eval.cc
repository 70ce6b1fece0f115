#include "text/jinja_eval.h"

#include "text/jinja_globals.h"
#include "text/jinja_loop.h"
#include "text/jinja_ops.h"

namespace phial::jinja {
namespace {

// Expressions and blocks inside of each other, over all macro calls: times max_depth. At about
// 2 KB of stack a level this stays below 2 MB.
constexpr int kNestingFactor = 6;

class Macro final : public Object {
 public:
  Macro(Evaluator& evaluator, const Stmt& statement, FramePtr outer)
      : evaluator_(evaluator), statement_(statement), outer_(std::move(outer)) {}
  std::string_view type_name() const override { return "Macro"; }
  bool callable() const override { return true; }
  Result<Value> call(Runtime&, CallArgs& args) override {
    return evaluator_.call_macro(statement_, outer_, args);
  }
  Result<Value> attribute(Runtime& rt, std::string_view name) override {
    if (name == "name") return rt.string(statement_.text);
    if (name == "caller") return Value(statement_.caller_slot >= 0);
    if (name == "catch_kwargs") return Value(statement_.kwargs_slot >= 0);
    if (name == "catch_varargs") return Value(statement_.varargs_slot >= 0);
    if (name != "arguments") return Value();
    std::vector<Value> names;
    for (const Parameter& parameter : statement_.parameters) {
      PHIAL_ASSIGN(Value text, rt.string(parameter.name));
      names.push_back(std::move(text));
    }
    return rt.tuple(std::move(names));
  }
  Status write(Runtime&, Builder& out, int) override {
    const bool named = statement_.kind == StmtKind::macro;
    return out.add("<Macro " + (named ? "'" + statement_.text + "'" : "anonymous") + ">");
  }

 private:
  Evaluator& evaluator_;
  const Stmt& statement_;
  FramePtr outer_;
};

}  // namespace

// Sends output to a text of its own.
class Evaluator::Capture {
 public:
  explicit Capture(Evaluator& evaluator)
      : evaluator_(evaluator), text_(evaluator), outer_(evaluator.out_) {
    evaluator.out_ = &text_;
  }
  ~Capture() { evaluator_.out_ = outer_; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  Result<Value> take() { return evaluator_.string(text_.take()); }
  std::string take_text() { return text_.take(); }

 private:
  Evaluator& evaluator_;
  Builder text_;
  Builder* outer_;
};

// Empties a frame when it is left: a macro in it holds the frame, which would keep both alive.
class Evaluator::FrameCloser {
 public:
  explicit FrameCloser(FramePtr frame) : frame_(std::move(frame)) {}
  ~FrameCloser() {
    // Each is moved out first: a value that dies may look at the frame again. Nothing is allocated,
    // because a destructor may not fail.
    for (Value& slot : frame_->slots) const Value dying = std::exchange(slot, Value());
  }
  FrameCloser(const FrameCloser&) = delete;
  FrameCloser& operator=(const FrameCloser&) = delete;

 private:
  FramePtr frame_;
};

class Evaluator::Nesting {
 public:
  explicit Nesting(int& depth) : depth_(depth) { ++depth_; }
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& depth_;
};

Evaluator::Evaluator(const Template& tree, const TemplateLimits& limits, int64_t now_unix_seconds,
                     Variables variables)
    : Runtime(limits, tree.name, now_unix_seconds), tree_(tree), variables_(std::move(variables)) {}

Result<std::string> Evaluator::run() {
  Capture capture(*this);
  PHIAL_ASSIGN(FramePtr frame, open_frame(tree_.scope, nullptr));
  const FrameCloser closer(frame);
  PHIAL_ASSIGN(const Flow flow, run_body(tree_.body, frame));
  static_cast<void>(flow);
  return capture.take_text();
}

Result<FramePtr> Evaluator::open_frame(const Scope& scope, const FramePtr& outer) {
  auto frame = std::make_shared<Frame>();
  frame->slots.resize(scope.size());
  frame->outer = outer;
  PHIAL_TRY(enter_frame(*frame, scope));
  return frame;
}

Status Evaluator::enter_frame(Frame& frame, const Scope& scope) {
  PHIAL_TRY(step(1 + scope.size() / 4));
  for (size_t i = 0; i < scope.size(); ++i) {
    const SlotInit& init = scope[i];
    switch (init.kind) {
      case SlotInit::Kind::parameter:
        break;
      case SlotInit::Kind::undefined:
        frame.slots[i] = Value();
        break;
      case SlotInit::Kind::alias:
        frame.slots[i] = slot(init.source, *frame.outer);
        break;
      case SlotInit::Kind::resolve: {
        PHIAL_ASSIGN(frame.slots[i], resolve(init.name));
        break;
      }
    }
  }
  return {};
}

Result<Value> Evaluator::resolve(const std::string& name) {
  const auto it = variables_.find(name);
  return it != variables_.end() ? Result<Value>(it->second) : find_global(*this, name);
}

Value& Evaluator::slot(const SlotRef& ref, Frame& frame) {
  Frame* at = &frame;
  for (int i = 0; i < ref.hops; ++i) at = at->outer.get();
  return at->slots[static_cast<size_t>(ref.index)];
}

Result<Evaluator::Flow> Evaluator::run_body(const Body& body, const FramePtr& frame) {
  const Nesting nesting(nesting_);
  if (nesting_ > kNestingFactor * limits().max_depth) return over("blocks are nested too deep");
  for (const auto& statement : body) {
    PHIAL_TRY(step());
    set_line(statement->line);
    PHIAL_ASSIGN(const Flow flow, run_statement(*statement, frame));
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Result<Evaluator::Flow> Evaluator::run_statement(const Stmt& s, const FramePtr& frame) {
  switch (s.kind) {
    case StmtKind::data:
      PHIAL_TRY(out_->add(s.text));
      return Flow::normal;
    case StmtKind::output:
      for (const ExprPtr& expr : s.exprs) {
        PHIAL_ASSIGN(const Value value, eval(*expr, *frame));
        PHIAL_TRY(write_str(*this, *out_, value));
      }
      return Flow::normal;
    case StmtKind::if_block:
      return run_if(s, frame);
    case StmtKind::for_loop:
      return run_for(s, frame);
    case StmtKind::set:
      PHIAL_TRY(run_set(s, *frame));
      return Flow::normal;
    case StmtKind::set_block:
    case StmtKind::filter_block:
      return run_captured(s, frame);
    case StmtKind::with:
      return run_with(s, frame);
    case StmtKind::macro:
      PHIAL_TRY(define_macro(s, frame));
      return Flow::normal;
    case StmtKind::call_block:
      PHIAL_TRY(run_call_block(s, frame));
      return Flow::normal;
    case StmtKind::generation: {
      CallArgs none;
      PHIAL_ASSIGN(const Value text, call_macro(s, frame, none));
      PHIAL_TRY(out_->add(text.text()));
      return Flow::normal;
    }
    case StmtKind::break_loop:
      return Flow::break_loop;
    case StmtKind::continue_loop:
      return Flow::continue_loop;
  }
  return Flow::normal;
}

Result<Evaluator::Flow> Evaluator::run_if(const Stmt& s, const FramePtr& frame) {
  for (const Branch& branch : s.branches) {
    bool taken = true;
    if (branch.test != nullptr) {
      PHIAL_ASSIGN(const Value value, eval(*branch.test, *frame));
      taken = truth(value);
    }
    if (taken) return run_body(branch.body, frame);
  }
  return Flow::normal;
}

Result<Evaluator::Flow> Evaluator::run_for(const Stmt& s, const FramePtr& frame) {
  PHIAL_ASSIGN(const Value iterable, eval(*s.iter, *frame));
  if (!s.recursive) return run_loop(s, frame, iterable, 0);
  PHIAL_ASSIGN(const Value text, run_recursive_loop(s, frame, iterable, 0));
  PHIAL_TRY(out_->add(text.text()));
  return Flow::normal;
}

Result<Value> Evaluator::run_recursive_loop(const Stmt& loop, const FramePtr& outer,
                                            const Value& iterable, int64_t depth) {
  const Nesting nesting(calls_);
  if (calls_ > limits().max_depth) return over("loops call themselves too deep");
  Capture capture(*this);
  PHIAL_ASSIGN(const Flow flow, run_loop(loop, outer, iterable, depth));
  static_cast<void>(flow);
  return capture.take();
}

Result<Evaluator::Flow> Evaluator::run_loop(const Stmt& s, const FramePtr& outer,
                                            const Value& iterable, int64_t depth) {
  PHIAL_ASSIGN(std::unique_ptr<Iterator> iterator, iterate(*this, iterable));
  if (s.test != nullptr) {
    iterator = std::make_unique<TestedIterator>(*this, s, outer, std::move(iterator));
  }
  auto frame = std::make_shared<Frame>();
  frame->slots.resize(s.scope.size());
  frame->outer = outer;
  bool completed = false;
  {
    const FrameCloser closer(frame);
    if (s.loop_slot < 0) {
      PHIAL_ASSIGN(completed, run_iterations(s, frame, *iterator));
    } else {
      const Value sized = s.test == nullptr ? iterable : Value();
      auto loop = std::make_shared<LoopObject>(*this, s, outer, std::move(iterator), sized, depth);
      PHIAL_ASSIGN(frame->slots[static_cast<size_t>(s.loop_slot)], object(loop));
      LoopIterator pulling(loop);
      Result<bool> done = run_iterations(s, frame, pulling);
      loop->clear();
      PHIAL_ASSIGN(completed, std::move(done));
    }
  }
  if (completed || s.else_body.empty()) return Flow::normal;
  PHIAL_ASSIGN(FramePtr else_frame, open_frame(s.else_scope, outer));
  const FrameCloser closer(else_frame);
  return run_body(s.else_body, else_frame);
}

// Whether any iteration reached its end: else the loop's else block runs, as in jinja2.
Result<bool> Evaluator::run_iterations(const Stmt& s, const FramePtr& frame, Iterator& iterator) {
  bool completed = false;
  Value item;
  while (true) {
    PHIAL_ASSIGN(const bool more, iterator.next(*this, item));
    if (!more) return completed;
    PHIAL_TRY(assign(*s.target, std::move(item), *frame));
    PHIAL_TRY(enter_frame(*frame, s.scope));
    PHIAL_ASSIGN(const Flow flow, run_body(s.body, frame));
    if (flow == Flow::break_loop) return completed;
    if (flow == Flow::normal) completed = true;
  }
}

Result<bool> Evaluator::passes_test(const Stmt& loop, const FramePtr& test_frame,
                                    const Value& item) {
  PHIAL_TRY(assign(*loop.test_target, item, *test_frame));
  PHIAL_ASSIGN(const Value value, eval(*loop.test, *test_frame));
  return truth(value);
}

Result<Evaluator::Flow> Evaluator::run_with(const Stmt& s, const FramePtr& frame) {
  PHIAL_ASSIGN(FramePtr inner, open_frame(s.scope, frame));
  const FrameCloser closer(inner);
  for (size_t i = 0; i < s.targets.size(); ++i) {
    PHIAL_ASSIGN(Value value, eval(*s.exprs[i], *frame));
    PHIAL_TRY(assign(*s.targets[i], std::move(value), *inner));
  }
  return run_body(s.body, inner);
}

Result<Evaluator::Flow> Evaluator::run_captured(const Stmt& s, const FramePtr& frame) {
  PHIAL_ASSIGN(FramePtr inner, open_frame(s.scope, frame));
  const FrameCloser closer(inner);
  Value text;
  {
    Capture capture(*this);
    PHIAL_ASSIGN(const Flow flow, run_body(s.body, inner));
    if (flow != Flow::normal) return flow;
    PHIAL_ASSIGN(text, capture.take());
  }
  if (s.value != nullptr) {
    block_text_ = std::move(text);
    PHIAL_ASSIGN(text, eval(*s.value, *inner));
  }
  if (s.kind == StmtKind::set_block) {
    PHIAL_TRY(check_namespaces(*s.target, *frame));
    PHIAL_TRY(assign(*s.target, std::move(text), *frame));
  } else {
    PHIAL_TRY(write_joined(text));
  }
  return Flow::normal;
}

Status Evaluator::run_set(const Stmt& s, Frame& frame) {
  PHIAL_TRY(check_namespaces(*s.target, frame));
  PHIAL_ASSIGN(Value value, eval(*s.value, frame));
  set_line(s.line);
  return assign(*s.target, std::move(value), frame);
}

Status Evaluator::check_namespaces(const Expr& target, Frame& frame) {
  if (target.kind == ExprKind::ns_ref) {
    if (slot(target.items[0]->slot, frame).if_a<Namespace>() != nullptr) return {};
    return raise("cannot assign attribute on non-namespace object");
  }
  for (const ExprPtr& item : target.items) PHIAL_TRY(check_namespaces(*item, frame));
  return {};
}

Status Evaluator::assign(const Expr& target, Value value, Frame& frame) {
  if (target.kind == ExprKind::name) {
    slot(target.slot, frame) = std::move(value);
    return {};
  }
  if (target.kind == ExprKind::ns_ref) {
    Namespace* space = slot(target.items[0]->slot, frame).if_a<Namespace>();
    if (space == nullptr) return raise("cannot assign attribute on non-namespace object");
    return space->set(*this, target.text, std::move(value));
  }
  PHIAL_ASSIGN(std::vector<Value> parts, to_vector(*this, value));
  if (parts.size() != target.items.size()) {
    return raise("cannot unpack " + std::to_string(parts.size()) + " values into " +
                 std::to_string(target.items.size()) + " names");
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    PHIAL_TRY(assign(*target.items[i], std::move(parts[i]), frame));
  }
  return {};
}

Status Evaluator::define_macro(const Stmt& s, const FramePtr& frame) {
  PHIAL_ASSIGN(slot(s.macro_slot, *frame), object(std::make_shared<Macro>(*this, s, frame)));
  return {};
}

Status Evaluator::run_call_block(const Stmt& s, const FramePtr& frame) {
  PHIAL_ASSIGN(const Value caller, object(std::make_shared<Macro>(*this, s, frame)));
  PHIAL_ASSIGN(const Value value, eval_call(*s.value, *frame, &caller));
  return write_joined(value);
}

// jinja2 joins what filter and call blocks give with the other output, without str().
Status Evaluator::write_joined(const Value& value) {
  if (value.is_string()) return out_->add(value.text());
  return raise("expected str instance, " + std::string(value.type_name()) + " found");
}

Result<Value> Evaluator::call_macro(const Stmt& macro, const FramePtr& outer, CallArgs& args) {
  const Nesting nesting(calls_);
  if (calls_ > limits().max_depth) return over("macros call each other too deep");
  PHIAL_ASSIGN(FramePtr frame, open_frame(macro.scope, outer));
  const FrameCloser closer(frame);
  PHIAL_TRY(bind_macro_arguments(macro, *frame, args));
  Capture capture(*this);
  PHIAL_ASSIGN(const Flow flow, run_body(macro.body, frame));
  static_cast<void>(flow);
  return capture.take();
}

// What jinja2's Macro.__call__ does.
Status Evaluator::bind_macro_arguments(const Stmt& macro, Frame& frame, CallArgs& args) {
  const std::vector<Parameter>& parameters = macro.parameters;
  const auto take_named = [&args](std::string_view name) {
    for (auto it = args.named.begin(); it != args.named.end(); ++it) {
      if (it->first != name) continue;
      Value value = std::move(it->second);
      args.named.erase(it);
      return value;
    }
    return Value();
  };
  const size_t positional = std::min(parameters.size(), args.positional.size());
  std::vector<Value> values(args.positional.begin(),
                            args.positional.begin() + static_cast<ptrdiff_t>(positional));
  for (size_t i = positional; i < parameters.size(); ++i) {
    values.push_back(take_named(parameters[i].name));
  }
  if (macro.caller_slot >= 0) {
    Value caller = take_named("caller");
    if (caller.missing() || caller.is_none()) caller = undefined("No caller defined");
    frame.slots[static_cast<size_t>(macro.caller_slot)] = std::move(caller);
  }
  if (macro.kwargs_slot >= 0) {
    CallArgs named;
    named.named = std::move(args.named);
    PHIAL_ASSIGN(const Value maker, find_global(*this, "dict"));
    PHIAL_ASSIGN(frame.slots[static_cast<size_t>(macro.kwargs_slot)], call(*this, maker, named));
  } else if (!args.named.empty()) {
    return raise("macro '" + macro.text + "' takes no keyword argument '" + args.named[0].first +
                 "'");
  }
  if (macro.varargs_slot >= 0) {
    std::vector<Value> rest(args.positional.begin() + static_cast<ptrdiff_t>(positional),
                            args.positional.end());
    PHIAL_ASSIGN(frame.slots[static_cast<size_t>(macro.varargs_slot)], tuple(std::move(rest)));
  } else if (args.positional.size() > parameters.size()) {
    return raise("macro '" + macro.text + "' takes not more than " +
                 std::to_string(parameters.size()) + " argument(s)");
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    frame.slots[static_cast<size_t>(parameters[i].slot)] = std::move(values[i]);
  }
  for (const Parameter& parameter : parameters) {
    Value& value = frame.slots[static_cast<size_t>(parameter.slot)];
    if (!value.missing()) continue;
    if (parameter.fallback == nullptr) {
      value = undefined("parameter '" + parameter.name + "' was not provided");
    } else {
      PHIAL_ASSIGN(Value fallback, eval(*parameter.fallback, frame));
      frame.slots[static_cast<size_t>(parameter.slot)] = std::move(fallback);
    }
  }
  return {};
}

}  // namespace phial::jinja

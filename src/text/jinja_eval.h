// Runs a template: statements write to an output, expressions make values.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"

namespace phial::jinja {

// The variables of a loop, macro, block or of the template itself.
struct Frame {
  std::vector<Value> slots;
  std::shared_ptr<Frame> outer;
};
using FramePtr = std::shared_ptr<Frame>;

using Variables = std::unordered_map<std::string, Value>;

class Evaluator final : public Runtime {
 public:
  Evaluator(const Template& tree, const TemplateLimits& limits, int64_t now_unix_seconds,
            Variables variables);

  Result<std::string> run();

  // For the objects that call back into the template.
  Result<Value> call_macro(const Stmt& macro, const FramePtr& outer, CallArgs& args);
  // The text of a loop over `iterable`, `depth` loops inside of its first.
  Result<Value> run_recursive_loop(const Stmt& loop, const FramePtr& outer, const Value& iterable,
                                   int64_t depth);
  // Whether a loop's test holds for `item`.
  Result<bool> passes_test(const Stmt& loop, const FramePtr& test_frame, const Value& item);
  Result<FramePtr> open_frame(const Scope& scope, const FramePtr& outer);

 private:
  enum class Flow { normal, break_loop, continue_loop };
  class Capture;
  class FrameCloser;
  class Nesting;

  // Gives all slots but parameters their first values.
  Status enter_frame(Frame& frame, const Scope& scope);
  Result<Value> resolve(const std::string& name);

  Result<Flow> run_body(const Body& body, const FramePtr& frame);
  Result<Flow> run_statement(const Stmt& s, const FramePtr& frame);
  Result<Flow> run_if(const Stmt& s, const FramePtr& frame);
  Result<Flow> run_for(const Stmt& s, const FramePtr& frame);
  // The loop itself; what its else block does with the loop around is its result.
  Result<Flow> run_loop(const Stmt& s, const FramePtr& outer, const Value& iterable, int64_t depth);
  Result<bool> run_iterations(const Stmt& s, const FramePtr& frame, Iterator& iterator);
  Result<Flow> run_with(const Stmt& s, const FramePtr& frame);
  Result<Flow> run_captured(const Stmt& s, const FramePtr& frame);
  Status run_set(const Stmt& s, Frame& frame);
  Status define_macro(const Stmt& s, const FramePtr& frame);
  Status run_call_block(const Stmt& s, const FramePtr& frame);
  Status write_joined(const Value& value);
  Status bind_macro_arguments(const Stmt& macro, Frame& frame, CallArgs& args);

  Status check_namespaces(const Expr& target, Frame& frame);
  Status assign(const Expr& target, Value value, Frame& frame);
  Value& slot(const SlotRef& ref, Frame& frame);

  Result<Value> eval(const Expr& e, Frame& frame);
  Result<Value> eval_name(const Expr& e, Frame& frame);
  Result<Value> eval_sequence(const Expr& e, Frame& frame);
  Result<Value> eval_dict(const Expr& e, Frame& frame);
  Result<Value> eval_operators(const Expr& e, Frame& frame);
  Result<Value> eval_chain(const Expr& e, Frame& frame);
  Result<Value> eval_concat(const Expr& e, Frame& frame);
  Result<Value> eval_comparison(const Expr& e, Frame& frame);
  Result<Value> eval_conditional(const Expr& e, Frame& frame);
  Result<Value> eval_item(const Expr& e, Frame& frame);
  Result<Value> eval_call(const Expr& e, Frame& frame, const Value* caller);
  Result<Value> eval_filter(const Expr& e, Frame& frame);
  Result<Value> eval_test(const Expr& e, Frame& frame);
  Status eval_arguments(const Arguments& arguments, Frame& frame, CallArgs& out);
  Status eval_more_named(const Expr& e, Frame& frame, CallArgs& out);

  const Template& tree_;
  Variables variables_;
  Builder* out_ = nullptr;
  Value block_text_;  // what the filter of a block is applied to
  int nesting_ = 0;   // of all evaluation
  int calls_ = 0;     // of macros and recursive loops
};

}  // namespace phial::jinja

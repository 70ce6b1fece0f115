// The `loop` of a for statement, and the iterators behind it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "text/jinja_eval.h"

namespace phial::jinja {

// What passes the test of `for x in y if test`.
class TestedIterator final : public Iterator {
 public:
  TestedIterator(Evaluator& evaluator, const Stmt& loop, FramePtr outer,
                 std::unique_ptr<Iterator> source)
      : evaluator_(evaluator), loop_(loop), outer_(std::move(outer)), source_(std::move(source)) {}
  Result<bool> next(Runtime& rt, Value& out) override;

 private:
  Evaluator& evaluator_;
  const Stmt& loop_;
  FramePtr outer_;
  FramePtr frame_;  // opened with the first item
  std::unique_ptr<Iterator> source_;
};

// jinja2's LoopContext: it looks ahead only as far as it is asked to.
class LoopObject final : public Object {
 public:
  // `sized` is the iterable where its len() is that of the loop, else "missing".
  LoopObject(Evaluator& evaluator, const Stmt& statement, FramePtr outer,
             std::unique_ptr<Iterator> iterator, Value sized, int64_t depth)
      : evaluator_(evaluator),
        statement_(statement),
        outer_(std::move(outer)),
        iterator_(std::move(iterator)),
        sized_(std::move(sized)),
        depth_(depth) {}

  std::string_view type_name() const override { return "LoopContext"; }
  bool callable() const override { return true; }
  bool iterable() const override { return true; }
  Result<Value> call(Runtime& rt, CallArgs& args) override;
  Result<Value> attribute(Runtime& rt, std::string_view name) override;
  Result<std::optional<int64_t>> length(Runtime& rt) override;
  Status write(Runtime& rt, Builder& out, int depth) override;

  // The next item of the loop.
  Result<bool> advance(Runtime& rt, Value& out);
  Value cycle(const std::vector<Value>& items) const {
    return items[static_cast<size_t>(index_) % items.size()];
  }
  Result<bool> changed(Runtime& rt, std::vector<Value> values);
  // The loop is over: lets go of its items, among which it may be itself.
  void clear() override;

 private:
  // Null at the end.
  Result<const Value*> peek(Runtime& rt);

  Evaluator& evaluator_;
  const Stmt& statement_;
  FramePtr outer_;
  std::unique_ptr<Iterator> iterator_;
  Value sized_;
  int64_t depth_;
  int64_t index_ = -1;
  std::optional<int64_t> length_;
  std::optional<Value> after_;
  Value current_;
  Value before_;
  std::optional<Value> last_changed_;
};

class LoopIterator final : public Iterator {
 public:
  explicit LoopIterator(std::shared_ptr<LoopObject> loop) : loop_(std::move(loop)) {}
  Result<bool> next(Runtime& rt, Value& out) override { return loop_->advance(rt, out); }

 private:
  std::shared_ptr<LoopObject> loop_;
};

}  // namespace phial::jinja

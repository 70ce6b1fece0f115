#include "text/jinja_loop.h"

#include "text/jinja_ops.h"

namespace phial::jinja {
namespace {

class VectorIterator final : public Iterator {
 public:
  explicit VectorIterator(std::vector<Value> items) : items_(std::move(items)) {}
  Result<bool> next(Runtime& rt, Value& out) override {
    PHIAL_TRY(rt.step());
    if (at_ >= items_.size()) return false;
    out = std::move(items_[at_++]);
    return true;
  }

 private:
  std::vector<Value> items_;
  size_t at_ = 0;
};

Result<Value> loop_cycle(Runtime& rt, const Value& self, CallArgs& args) {
  if (!args.named.empty() || args.positional.empty()) return rt.raise("no items for cycling given");
  return self.if_a<LoopObject>()->cycle(args.positional);
}

Result<Value> loop_changed(Runtime& rt, const Value& self, CallArgs& args) {
  if (!args.named.empty()) return rt.raise("loop.changed() takes no keyword arguments");
  PHIAL_ASSIGN(const bool changed,
               self.if_a<LoopObject>()->changed(rt, std::move(args.positional)));
  return Value(changed);
}

}  // namespace

Result<bool> TestedIterator::next(Runtime& rt, Value& out) {
  if (frame_ == nullptr) {
    PHIAL_ASSIGN(frame_, evaluator_.open_frame(loop_.test_scope, outer_));
  }
  while (true) {
    PHIAL_ASSIGN(const bool more, source_->next(rt, out));
    if (!more) return false;
    PHIAL_ASSIGN(const bool passes, evaluator_.passes_test(loop_, frame_, out));
    if (passes) return true;
  }
}

Result<bool> LoopObject::advance(Runtime& rt, Value& out) {
  Value item;
  if (after_) {
    item = std::move(*after_);
    after_.reset();
  } else {
    PHIAL_ASSIGN(const bool more, iterator_->next(rt, item));
    if (!more) return false;
  }
  ++index_;
  before_ = std::move(current_);
  current_ = item;
  out = std::move(item);
  return true;
}

Result<const Value*> LoopObject::peek(Runtime& rt) {
  if (!after_) {
    Value item;
    PHIAL_ASSIGN(const bool more, iterator_->next(rt, item));
    if (!more) return static_cast<const Value*>(nullptr);
    after_ = std::move(item);
  }
  return static_cast<const Value*>(&*after_);
}

Result<std::optional<int64_t>> LoopObject::length(Runtime& rt) {
  if (length_) return length_;
  if (!sized_.missing()) {
    PHIAL_ASSIGN(length_, length_of(rt, sized_));
    if (length_) return length_;
  }
  std::vector<Value> rest;
  Value item;
  while (true) {
    PHIAL_ASSIGN(const bool more, iterator_->next(rt, item));
    if (!more) break;
    rest.push_back(std::move(item));
  }
  length_ = static_cast<int64_t>(rest.size()) + index_ + 1 + (after_ ? 1 : 0);
  iterator_ = std::make_unique<VectorIterator>(std::move(rest));
  return length_;
}

Result<bool> LoopObject::changed(Runtime& rt, std::vector<Value> values) {
  PHIAL_ASSIGN(Value now, rt.tuple(std::move(values)));
  if (last_changed_) {
    PHIAL_ASSIGN(const bool same, equals(rt, *last_changed_, now));
    if (same) return false;
  }
  last_changed_ = std::move(now);
  return true;
}

void LoopObject::clear() {
  after_.reset();
  last_changed_.reset();
  current_ = Value();
  before_ = Value();
}

Result<Value> LoopObject::call(Runtime& rt, CallArgs& args) {
  if (!statement_.recursive) {
    return rt.raise("the loop must have the 'recursive' marker to be called recursively");
  }
  PHIAL_ASSIGN(const std::vector<Value> bound, bind_arguments(rt, "loop", args, {"iterable"}, 1));
  return evaluator_.run_recursive_loop(statement_, outer_, bound[0], depth_ + 1);
}

Result<Value> LoopObject::attribute(Runtime& rt, std::string_view name) {
  if (name == "index0") return Value(index_);
  if (name == "index") return Value(index_ + 1);
  if (name == "first") return Value(index_ == 0);
  if (name == "depth") return Value(depth_ + 1);
  if (name == "depth0") return Value(depth_);
  if (name == "length" || name == "revindex" || name == "revindex0") {
    PHIAL_ASSIGN(const std::optional<int64_t> total, length(rt));
    if (name == "length") return Value(*total);
    return Value(*total - index_ - (name == "revindex0" ? 1 : 0));
  }
  if (name == "last" || name == "nextitem") {
    PHIAL_ASSIGN(const Value* following, peek(rt));
    if (name == "last") return Value(following == nullptr);
    return following != nullptr ? *following : rt.undefined("there is no next item");
  }
  if (name == "previtem") return index_ == 0 ? rt.undefined("there is no previous item") : before_;
  const Native method = name == "cycle" ? loop_cycle : name == "changed" ? loop_changed : nullptr;
  if (method == nullptr) return Value();
  return rt.object(std::make_shared<NativeFunction>(method, Value(shared_from_this())));
}

Status LoopObject::write(Runtime& rt, Builder& out, int) {
  PHIAL_ASSIGN(const std::optional<int64_t> total, length(rt));
  return out.add("<LoopContext " + std::to_string(index_ + 1) + "/" + std::to_string(*total) + ">");
}

}  // namespace phial::jinja

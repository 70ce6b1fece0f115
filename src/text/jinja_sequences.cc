#include "text/jinja_sequences.h"

#include <algorithm>
#include <functional>

#include "text/jinja_attribute_path.h"
#include "text/jinja_number.h"
#include "text/jinja_ops.h"
#include "text/jinja_order.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

using Args = CallArgs;

// An iterator made of a function; what needs its source sets it up at the first call, as Python's
// generators do.
class FunctionIterator final : public Iterator {
 public:
  using Function = std::function<Result<bool>(Runtime&, Value&)>;
  explicit FunctionIterator(Function function) : function_(std::move(function)) {}
  Result<bool> next(Runtime& rt, Value& out) override { return function_(rt, out); }

 private:
  Function function_;
};

Result<Value> generate(Runtime& rt, const Value& source, FunctionIterator::Function function,
                       std::string_view type_name = "generator") {
  return make_generator(rt, std::make_unique<FunctionIterator>(std::move(function)), source,
                        type_name);
}

// Pulls from a value that is iterated from the first pull on.
class LazySource {
 public:
  explicit LazySource(Value value) : value_(std::move(value)) {}
  const Value& value() const { return value_; }
  Result<bool> next(Runtime& rt, Value& out) {
    if (iterator_ == nullptr) {
      PHIAL_ASSIGN(iterator_, iterate(rt, value_));
    }
    return iterator_->next(rt, out);
  }

 private:
  Value value_;
  std::shared_ptr<Iterator> iterator_;
};

// --- map, select and reject

// Applies the filter or attribute that map() names.
class Mapper {
 public:
  Status prepare(Runtime& rt, Args args) {
    args_ = std::move(args);
    if (args_.positional.empty() && !args_.named.empty()) {
      PHIAL_ASSIGN(const auto bound,
                   bind_arguments(rt, "map", args_, {"", "attribute", "default"}));
      if (bound[1].missing()) return rt.raise("map requires a filter argument");
      fallback_ = bound[2];
      return path_.parse(rt, bound[1]);
    }
    if (args_.positional.empty()) return rt.raise("map requires a filter argument");
    const Value name = args_.positional[0];
    args_.positional.erase(args_.positional.begin());
    if (name.is_string()) filter_ = find_filter(name.text());
    if (filter_ != nullptr) return {};
    PHIAL_ASSIGN(const std::string text, to_str(rt, name));
    return rt.raise("no filter named '" + text + "'");
  }

  Result<Value> apply(Runtime& rt, const Value& item) const {
    if (filter_ == nullptr) return path_.get(rt, item, fallback_);
    CallArgs args = args_;
    return filter_->function(rt, item, args);
  }

 private:
  Args args_;
  const FilterEntry* filter_ = nullptr;
  AttributePath path_;
  Value fallback_;
};

Result<Value> filter_map(Runtime& rt, const Value& self, Args& args) {
  struct State {
    LazySource source;
    Args args;
    std::optional<Mapper> mapper;
  };
  auto state = std::make_shared<State>(State{LazySource(self), std::move(args), std::nullopt});
  return generate(rt, self, [state](Runtime& runtime, Value& out) -> Result<bool> {
    if (!truth(state->source.value())) return false;
    if (!state->mapper) {
      state->mapper.emplace();
      PHIAL_TRY(state->mapper->prepare(runtime, std::move(state->args)));
    }
    Value item;
    PHIAL_ASSIGN(const bool more, state->source.next(runtime, item));
    if (!more) return false;
    PHIAL_ASSIGN(out, state->mapper->apply(runtime, item));
    return true;
  });
}

// Applies the test that select() and the like name; without one, the truth of the item.
class Selector {
 public:
  Status prepare(Runtime& rt, Args args, bool by_attribute) {
    args_ = std::move(args);
    auto& positional = args_.positional;
    if (by_attribute) {
      if (positional.empty()) return rt.raise("missing parameter for attribute name");
      PHIAL_TRY(path_.parse(rt, positional[0]));
      positional.erase(positional.begin());
    }
    by_truth_ = positional.empty();
    if (by_truth_) return {};
    const Value name = positional[0];
    positional.erase(positional.begin());
    if (name.is_string()) test_ = find_test(name.text());
    if (test_ != nullptr) return {};
    PHIAL_ASSIGN(const std::string text, to_str(rt, name));
    return rt.raise("no test named '" + text + "'");
  }

  Result<bool> holds(Runtime& rt, const Value& item) const {
    PHIAL_ASSIGN(const Value value, path_.get(rt, item));
    if (by_truth_) return truth(value);
    CallArgs args = args_;
    return test_->function(rt, value, args);
  }

 private:
  Args args_;
  AttributePath path_;
  const TestEntry* test_ = nullptr;
  bool by_truth_ = false;
};

template <bool kByAttribute, bool kReject>
Result<Value> filter_select(Runtime& rt, const Value& self, Args& args) {
  struct State {
    LazySource source;
    Args args;
    std::optional<Selector> selector;
  };
  auto state = std::make_shared<State>(State{LazySource(self), std::move(args), std::nullopt});
  return generate(rt, self, [state](Runtime& runtime, Value& out) -> Result<bool> {
    if (!truth(state->source.value())) return false;
    if (!state->selector) {
      state->selector.emplace();
      PHIAL_TRY(state->selector->prepare(runtime, std::move(state->args), kByAttribute));
    }
    while (true) {
      PHIAL_ASSIGN(const bool more, state->source.next(runtime, out));
      if (!more) return false;
      PHIAL_ASSIGN(const bool holds, state->selector->holds(runtime, out));
      if (holds != kReject) return true;
    }
  });
}

// --- one value out of many

Result<Value> filter_first(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "first", args, {}));
  PHIAL_ASSIGN(std::unique_ptr<Iterator> iterator, iterate(rt, self));
  Value item;
  PHIAL_ASSIGN(const bool more, iterator->next(rt, item));
  return more ? item : rt.undefined("No first item, sequence was empty.");
}

// reversed() takes what has a length and can be subscripted, and dicts with their views.
Result<std::vector<Value>> reversed(Runtime& rt, const Value& value) {
  PHIAL_ASSIGN(const std::optional<int64_t> length, length_of(rt, value));
  if (!length) return rt.raise("'" + std::string(value.type_name()) + "' object is not reversible");
  PHIAL_ASSIGN(std::vector<Value> items, to_vector(rt, value));
  std::reverse(items.begin(), items.end());
  return items;
}

Result<Value> filter_last(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "last", args, {}));
  if (self.if_list() != nullptr && !self.if_list()->items.empty())
    return self.if_list()->items.back();
  PHIAL_ASSIGN(const std::vector<Value> items, reversed(rt, self));
  return items.empty() ? rt.undefined("No last item, sequence was empty.") : items[0];
}

template <bool kMax>
Result<Value> filter_extreme(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "min", args, {"case_sensitive", "attribute"}));
  AttributePath path;
  PHIAL_TRY(path.parse(rt, bound[1]));
  PHIAL_ASSIGN(std::unique_ptr<Iterator> iterator, iterate(rt, self));
  Value best;
  Value best_key;
  Value item;
  while (true) {
    PHIAL_ASSIGN(const bool more, iterator->next(rt, item));
    if (!more) break;
    PHIAL_ASSIGN(Value key, path.get(rt, item));
    PHIAL_ASSIGN(key, fold(rt, std::move(key), truth(bound[0])));
    bool better = best.missing();
    if (!better) {
      PHIAL_ASSIGN(better, kMax ? less(rt, best_key, key) : less(rt, key, best_key));
    }
    if (!better) continue;
    best = std::move(item);
    best_key = std::move(key);
  }
  return best.missing() ? rt.undefined("No aggregated item, sequence was empty.") : best;
}

Result<Value> filter_sum(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "sum", args, {"attribute", "start"}));
  AttributePath path;
  PHIAL_TRY(path.parse(rt, bound[0]));
  Value total = bound[1].missing() ? Value(int64_t{0}) : bound[1];
  if (total.is_string()) return rt.raise("sum() can't sum strings [use ''.join(seq) instead]");
  PHIAL_ASSIGN(std::unique_ptr<Iterator> iterator, iterate(rt, self));
  Value item;
  while (true) {
    PHIAL_ASSIGN(const bool more, iterator->next(rt, item));
    if (!more) return total;
    PHIAL_ASSIGN(const Value part, path.get(rt, item));
    PHIAL_ASSIGN(total, binary(rt, BinaryOp::add, total, part));
  }
}

Result<Value> filter_join(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "join", args, {"d", "attribute"}));
  AttributePath path;
  PHIAL_TRY(path.parse(rt, bound[1]));
  std::string separator;
  if (!bound[0].missing()) {
    PHIAL_ASSIGN(separator, to_str(rt, bound[0]));
  }
  PHIAL_ASSIGN(std::unique_ptr<Iterator> iterator, iterate(rt, self));
  Builder out(rt);
  Value item;
  for (bool first = true;; first = false) {
    PHIAL_ASSIGN(const bool more, iterator->next(rt, item));
    if (!more) return rt.string(out.take());
    if (!first) PHIAL_TRY(out.add(separator));
    PHIAL_ASSIGN(const Value part, path.get(rt, item));
    PHIAL_TRY(write_str(rt, out, part));
  }
}

// --- sequences out of sequences

Result<Value> filter_list(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "list", args, {}));
  PHIAL_ASSIGN(std::vector<Value> items, to_vector(rt, self));
  return rt.list(std::move(items));
}

Result<Value> filter_items(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "items", args, {}));
  auto source = std::make_shared<std::optional<LazySource>>();
  return generate(rt, self, [source, self](Runtime& runtime, Value& out) -> Result<bool> {
    if (self.is_undefined()) return false;
    if (!*source) {
      if (self.if_dict() == nullptr) {
        return runtime.raise("Can only get item pairs from a mapping.");
      }
      PHIAL_ASSIGN(Value view, make_view(runtime, self, ViewKind::items));
      source->emplace(std::move(view));
    }
    return (*source)->next(runtime, out);
  });
}

Result<Value> filter_reverse(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto none, bind_arguments(rt, "reverse", args, {}));
  if (self.is_string()) return get_slice(rt, self, {}, {}, Value(int64_t{-1}));
  if (!is_iterable(self)) return rt.raise("argument must be iterable");
  PHIAL_ASSIGN(const std::optional<int64_t> length, length_of(rt, self));
  PHIAL_ASSIGN(std::vector<Value> items, to_vector(rt, self));
  std::reverse(items.begin(), items.end());
  PHIAL_ASSIGN(const Value list, rt.list(std::move(items)));
  if (!length) return list;
  auto source = std::make_shared<LazySource>(list);
  return generate(
      rt, list, [source](Runtime& runtime, Value& out) { return source->next(runtime, out); },
      "list_reverseiterator");
}

// A set of values; raises for what cannot be hashed.
class SeenValues {
 public:
  Result<bool> insert(Runtime& rt, const Value& key) {
    PHIAL_ASSIGN(const uint64_t hash, hash_of_key(rt, key));
    const auto range = seen_.equal_range(hash);
    for (auto it = range.first; it != range.second; ++it) {
      PHIAL_ASSIGN(const bool same, equals(rt, it->second, key));
      if (same) return false;
    }
    seen_.emplace(hash, key);
    return true;
  }

 private:
  std::unordered_multimap<uint64_t, Value> seen_;
};

Result<Value> filter_unique(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound,
               bind_arguments(rt, "unique", args, {"case_sensitive", "attribute"}));
  struct State {
    LazySource source;
    AttributePath path;
    bool case_sensitive;
    SeenValues seen;
  };
  auto state = std::make_shared<State>(State{LazySource(self), {}, truth(bound[0]), {}});
  PHIAL_TRY(state->path.parse(rt, bound[1]));
  return generate(rt, self, [state](Runtime& runtime, Value& out) -> Result<bool> {
    while (true) {
      PHIAL_ASSIGN(const bool more, state->source.next(runtime, out));
      if (!more) return false;
      PHIAL_ASSIGN(Value key, state->path.get(runtime, out));
      PHIAL_ASSIGN(key, fold(runtime, std::move(key), state->case_sensitive));
      PHIAL_ASSIGN(const bool fresh, state->seen.insert(runtime, key));
      if (fresh) return true;
    }
  });
}

Result<Value> filter_batch(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "batch", args, {"linecount", "fill_with"}, 1));
  auto source = std::make_shared<LazySource>(self);
  const Value count = bound[0];
  const Value fill = bound[1];
  return generate(rt, self, [source, count, fill](Runtime& runtime, Value& out) -> Result<bool> {
    // A row of what is no number is never full.
    const int64_t size = count.integral().value_or(-1);
    std::vector<Value> row;
    Value item;
    bool more = true;
    while (size < 1 || static_cast<int64_t>(row.size()) < size) {
      PHIAL_ASSIGN(more, source->next(runtime, item));
      if (!more) break;
      row.push_back(std::move(item));
    }
    if (row.empty()) return false;
    if (!fill.missing() && !fill.is_none() && static_cast<int64_t>(row.size()) < size) {
      const uint64_t missing = static_cast<uint64_t>(size) - row.size();
      PHIAL_TRY(runtime.check_memory(missing < (uint64_t{1} << 40) ? missing * sizeof(Value)
                                                                   : UINT64_MAX));
      row.resize(static_cast<size_t>(size), fill);
    }
    PHIAL_ASSIGN(out, runtime.list(std::move(row)));
    return true;
  });
}

Result<Value> filter_slice(Runtime& rt, const Value& self, Args& args) {
  PHIAL_ASSIGN(const auto bound, bind_arguments(rt, "slice", args, {"slices", "fill_with"}, 1));
  struct State {
    std::optional<std::vector<Value>> items;
    size_t number = 0;
    size_t from = 0;
  };
  auto state = std::make_shared<State>();
  const Value count = bound[0];
  const Value fill = bound[1];
  return generate(
      rt, self, [state, self, count, fill](Runtime& runtime, Value& out) -> Result<bool> {
        if (!state->items) {
          PHIAL_ASSIGN(state->items, to_vector(runtime, self));
        }
        PHIAL_ASSIGN(const int64_t slices, to_integer(runtime, count, "slices"));
        if (slices == 0) return runtime.raise("division by zero");
        if (static_cast<int64_t>(state->number) >= slices) return false;
        PHIAL_TRY(runtime.step());
        const size_t n = static_cast<size_t>(slices);
        const size_t size = state->items->size();
        const bool longer = state->number < size % n;
        const size_t end = state->from + size / n + (longer ? 1 : 0);
        std::vector<Value> part(state->items->begin() + static_cast<ptrdiff_t>(state->from),
                                state->items->begin() + static_cast<ptrdiff_t>(end));
        if (!fill.missing() && !fill.is_none() && !longer) part.push_back(fill);
        state->from = end;
        ++state->number;
        PHIAL_ASSIGN(out, runtime.list(std::move(part)));
        return true;
      });
}

constexpr FilterEntry kFilters[] = {
    {"batch", filter_batch},
    {"dictsort", filter_dictsort},
    {"first", filter_first},
    {"groupby", filter_groupby},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"list", filter_list},
    {"map", filter_map},
    {"max", filter_extreme<true>},
    {"min", filter_extreme<false>},
    {"reject", filter_select<false, true>},
    {"rejectattr", filter_select<true, true>},
    {"reverse", filter_reverse},
    {"select", filter_select<false, false>},
    {"selectattr", filter_select<true, false>},
    {"slice", filter_slice},
    {"sort", filter_sort},
    {"sum", filter_sum},
    {"unique", filter_unique},
};

}  // namespace

const FilterEntry* find_sequence_filter(std::string_view name) {
  for (const FilterEntry& entry : kFilters) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace phial::jinja

// Attributes, items, slices, iteration, and the objects that are iterated: ranges, views of dicts
// and generators.
#include <limits>

#include "base/checked.h"
#include "base/utf8.h"
#include "text/jinja_methods.h"
#include "text/jinja_ops.h"

namespace phial::jinja {
namespace {

class ListIterator final : public Iterator {
 public:
  explicit ListIterator(Value list) : list_(std::move(list)) {}
  Result<bool> next(Runtime& rt, Value& out) override {
    PHIAL_TRY(rt.step());
    const std::vector<Value>& items = list_.if_list()->items;
    if (at_ >= items.size()) return false;
    out = items[at_++];
    return true;
  }

 private:
  Value list_;
  size_t at_ = 0;
};

class StringIterator final : public Iterator {
 public:
  explicit StringIterator(Value string) : string_(std::move(string)) {}
  Result<bool> next(Runtime& rt, Value& out) override {
    PHIAL_TRY(rt.step());
    const std::string_view rest = std::string_view(string_.text()).substr(at_);
    if (rest.empty()) return false;
    const size_t length = utf8::decode(rest).length;
    at_ += length;
    PHIAL_ASSIGN(out, rt.string(std::string(rest.substr(0, length))));
    return true;
  }

 private:
  Value string_;
  size_t at_ = 0;
};

class DictIterator final : public Iterator {
 public:
  DictIterator(Value dict, ViewKind kind) : dict_(std::move(dict)), kind_(kind) {}
  Result<bool> next(Runtime& rt, Value& out) override {
    PHIAL_TRY(rt.step());
    const auto& members = dict_.if_dict()->members;
    if (at_ >= members.size()) return false;
    const DictData::Member& member = members[at_++];
    if (kind_ == ViewKind::keys) {
      out = member.first;
    } else if (kind_ == ViewKind::values) {
      out = member.second;
    } else {
      PHIAL_ASSIGN(out, rt.tuple({member.first, member.second}));
    }
    return true;
  }

 private:
  Value dict_;
  ViewKind kind_;
  size_t at_ = 0;
};

class EmptyIterator final : public Iterator {
 public:
  Result<bool> next(Runtime&, Value&) override { return false; }
};

class DictView final : public Object {
 public:
  DictView(Value dict, ViewKind kind) : dict_(std::move(dict)), kind_(kind) {}
  std::string_view type_name() const override {
    return kind_ == ViewKind::keys     ? "dict_keys"
           : kind_ == ViewKind::values ? "dict_values"
                                       : "dict_items";
  }
  int depth() const override { return dict_.depth() + 1; }
  bool iterable() const override { return true; }
  bool truth() const override { return !dict_.if_dict()->members.empty(); }
  Result<std::unique_ptr<Iterator>> iterate(Runtime&) override {
    return std::unique_ptr<Iterator>(std::make_unique<DictIterator>(dict_, kind_));
  }
  Result<std::optional<int64_t>> length(Runtime&) override {
    return std::optional<int64_t>(static_cast<int64_t>(dict_.if_dict()->members.size()));
  }
  Status write(Runtime& rt, Builder& out, int depth) override {
    PHIAL_TRY(out.add(type_name()));
    PHIAL_ASSIGN(std::vector<Value> items, to_vector(rt, Value(shared_from_this())));
    PHIAL_ASSIGN(const Value list, rt.list(std::move(items)));
    PHIAL_TRY(out.add("("));
    PHIAL_TRY(write_repr(rt, out, list, depth + 1));
    return out.add(")");
  }

 private:
  Value dict_;
  ViewKind kind_;
};

class Range final : public Object {
 public:
  Range(int64_t start, int64_t stop, int64_t step, int64_t count)
      : start_(start), stop_(stop), step_(step), count_(count) {}
  std::string_view type_name() const override { return "range"; }
  bool iterable() const override { return true; }
  bool truth() const override { return count_ > 0; }
  int64_t count() const { return count_; }
  int64_t step_size() const { return step_; }
  int64_t at(int64_t i) const { return start_ + i * step_; }
  Result<std::unique_ptr<Iterator>> iterate(Runtime&) override;
  Result<std::optional<int64_t>> length(Runtime&) override { return std::optional(count_); }
  Result<Value> attribute(Runtime&, std::string_view name) override {
    if (name == "start") return Value(start_);
    if (name == "stop") return Value(stop_);
    if (name == "step") return Value(step_);
    return Value();
  }
  Status write(Runtime&, Builder& out, int) override {
    const std::string step = step_ == 1 ? "" : ", " + std::to_string(step_);
    return out.add("range(" + std::to_string(start_) + ", " + std::to_string(stop_) + step + ")");
  }

 private:
  int64_t start_;
  int64_t stop_;
  int64_t step_;
  int64_t count_;
};

class RangeIterator final : public Iterator {
 public:
  explicit RangeIterator(std::shared_ptr<const Range> range) : range_(std::move(range)) {}
  Result<bool> next(Runtime& rt, Value& out) override {
    PHIAL_TRY(rt.step());
    if (at_ >= range_->count()) return false;
    out = Value(range_->at(at_++));
    return true;
  }

 private:
  std::shared_ptr<const Range> range_;
  int64_t at_ = 0;
};

Result<std::unique_ptr<Iterator>> Range::iterate(Runtime&) {
  auto self = std::static_pointer_cast<const Range>(shared_from_this());
  return std::unique_ptr<Iterator>(std::make_unique<RangeIterator>(std::move(self)));
}

// A generator is its own iterator: what was taken once is gone.
class Generator final : public Object {
 public:
  Generator(std::unique_ptr<Iterator> iterator, int depth, std::string_view type_name)
      : iterator_(std::move(iterator)), depth_(depth), type_name_(type_name) {}
  std::string_view type_name() const override { return type_name_; }
  int depth() const override { return depth_; }
  bool iterable() const override { return true; }
  Result<bool> next(Runtime& rt, Value& out) {
    if (running_) return rt.raise("generator already executing");
    running_ = true;
    Result<bool> more = iterator_->next(rt, out);
    running_ = false;
    return more;
  }
  Result<std::unique_ptr<Iterator>> iterate(Runtime&) override;

 private:
  std::unique_ptr<Iterator> iterator_;
  int depth_;
  std::string_view type_name_;
  bool running_ = false;
};

class GeneratorIterator final : public Iterator {
 public:
  explicit GeneratorIterator(std::shared_ptr<Generator> generator)
      : generator_(std::move(generator)) {}
  Result<bool> next(Runtime& rt, Value& out) override { return generator_->next(rt, out); }

 private:
  std::shared_ptr<Generator> generator_;
};

Result<std::unique_ptr<Iterator>> Generator::iterate(Runtime&) {
  auto self = std::static_pointer_cast<Generator>(shared_from_this());
  return std::unique_ptr<Iterator>(std::make_unique<GeneratorIterator>(std::move(self)));
}

// A Python index into `size` elements, or nothing when it is out of range.
std::optional<size_t> resolve_index(int64_t index, size_t size) {
  const int64_t n = static_cast<int64_t>(size);
  if (index < -n || index >= n) return std::nullopt;
  return static_cast<size_t>(index < 0 ? index + n : index);
}

// The item, or "missing" (in Python: LookupError, or TypeError for a key of a wrong type).
Result<Value> find_item(Runtime& rt, const Value& object, const Value& key) {
  if (const DictData* dict = object.if_dict()) {
    const auto hash = hash_of(key);
    if (!hash) return Value();
    if (key.is_string()) PHIAL_TRY(rt.step_for_bytes(key.text().size()));
    PHIAL_TRY(rt.step());
    PHIAL_ASSIGN(const Value* found, dict->find(rt, key, *hash));
    return found != nullptr ? *found : Value();
  }
  const auto index = key.integral();
  if (!index) return Value();
  if (const ListData* list = object.if_list()) {
    const auto at = resolve_index(*index, list->items.size());
    return at ? list->items[*at] : Value();
  }
  if (const StringData* string = object.if_string()) {
    const auto at = resolve_index(*index, string->length);
    if (!at) return Value();
    if (!string->ascii()) PHIAL_TRY(rt.step_for_scan(string->text.size()));
    const size_t from = byte_offset(*string, *at);
    const std::string_view rest = std::string_view(string->text).substr(from);
    return rt.string(std::string(rest.substr(0, utf8::decode(rest).length)), string->markup);
  }
  if (const Range* range = object.if_a<Range>()) {
    const auto at = resolve_index(*index, static_cast<size_t>(range->count()));
    return at ? Value(range->at(static_cast<int64_t>(*at))) : Value();
  }
  return Value();
}

// The attribute, or "missing".
Result<Value> find_attribute(Runtime& rt, const Value& object, std::string_view name) {
  if (Object* o = object.if_object()) return o->attribute(rt, name);
  if (object.if_list() != nullptr && object.if_list()->group) {
    if (name == "grouper") return object.if_list()->items[0];
    if (name == "list") return object.if_list()->items[1];
  }
  if (is_mutator(object, name)) {
    return rt.undefined("access to attribute '" + std::string(name) + "' of '" +
                        std::string(object.type_name()) + "' object is unsafe.");
  }
  if (const NamedNative* method = find_method(object, name)) {
    return rt.object(std::make_shared<NativeFunction>(method->function, object));
  }
  return Value();
}

Value no_attribute(Runtime& rt, const Value& object, std::string_view name) {
  return rt.undefined("'" + std::string(object.type_name()) + " object' has no attribute '" +
                      std::string(name.substr(0, 200)) + "'");
}

// Start, step and count of the elements that a slice takes of `size` (PySlice_AdjustIndices).
struct SlicePlan {
  int64_t start;
  int64_t step;
  int64_t count;
};

Result<SlicePlan> plan_slice(Runtime& rt, int64_t size, const Value& start, const Value& stop,
                             const Value& step) {
  const auto bound = [&rt](const Value& value, int64_t omitted) -> Result<int64_t> {
    if (value.missing() || value.is_none()) return omitted;
    return to_integer(rt, value, "slice indices");
  };
  PHIAL_ASSIGN(int64_t stride, bound(step, 1));
  if (stride == 0) return rt.raise("slice step cannot be zero");
  stride = std::max(stride, -std::numeric_limits<int64_t>::max());
  const bool back = stride < 0;
  const auto clamp = [size, back](int64_t i) {
    if (i < 0) i += size;
    if (i < 0) return back ? int64_t{-1} : int64_t{0};
    return i >= size ? (back ? size - 1 : size) : i;
  };
  PHIAL_ASSIGN(const int64_t first, bound(start, back ? std::numeric_limits<int64_t>::max() : 0));
  PHIAL_ASSIGN(const int64_t end, bound(stop, back ? std::numeric_limits<int64_t>::min()
                                                   : std::numeric_limits<int64_t>::max()));
  const int64_t from = clamp(first);
  const int64_t to = back && end == std::numeric_limits<int64_t>::min() ? -1 : clamp(end);
  if (back) return SlicePlan{from, stride, to < from ? (from - to - 1) / -stride + 1 : 0};
  return SlicePlan{from, stride, from < to ? (to - from - 1) / stride + 1 : 0};
}

Result<Value> slice_string(Runtime& rt, const StringData& string, const SlicePlan& plan) {
  PHIAL_TRY(rt.step_for_scan(string.text.size()));
  const std::string_view text = string.text;
  if (plan.count == 0) return rt.string({}, string.markup);
  const auto offset = [&](int64_t i) { return byte_offset(string, static_cast<size_t>(i)); };
  if (plan.step == 1) {
    const size_t from = offset(plan.start);
    return rt.string(std::string(text.substr(from, offset(plan.start + plan.count) - from)),
                     string.markup);
  }
  PHIAL_TRY(rt.step_for_characters(string.text.size()));
  std::vector<uint32_t> starts;  // of each character
  for (size_t at = 0; at < text.size(); at += utf8::decode(text.substr(at)).length) {
    starts.push_back(static_cast<uint32_t>(at));
  }
  starts.push_back(static_cast<uint32_t>(text.size()));
  std::string out;
  for (int64_t n = 0; n < plan.count; ++n) {
    const size_t i = static_cast<size_t>(plan.start + n * plan.step);
    out += text.substr(starts[i], starts[i + 1] - starts[i]);
  }
  return rt.string(std::move(out), string.markup);
}

}  // namespace

size_t byte_offset(const StringData& string, size_t index) {
  if (string.ascii()) return index;
  if (index == string.length) return string.text.size();
  // Counts the bytes that begin a character.
  size_t at = 0;
  for (size_t characters = 0;; ++at) {
    if ((static_cast<unsigned char>(string.text[at]) & 0xC0) == 0x80) continue;
    if (characters++ == index) return at;
  }
}

Result<Value> get_attribute(Runtime& rt, const Value& object, std::string_view name) {
  if (object.is_undefined()) return rt.raise(object.undefined_message());
  PHIAL_ASSIGN(Value found, find_attribute(rt, object, name));
  if (!found.missing()) return found;
  if (const DictData* dict = object.if_dict()) {
    const Value* item = dict->find(name);
    if (item != nullptr) return *item;
  }
  return no_attribute(rt, object, name);
}

Result<Value> get_item(Runtime& rt, const Value& object, const Value& key) {
  if (object.is_undefined()) return rt.raise(object.undefined_message());
  PHIAL_ASSIGN(Value found, find_item(rt, object, key));
  if (!found.missing()) return found;
  if (key.is_string()) {
    PHIAL_ASSIGN(found, find_attribute(rt, object, key.text()));
    if (!found.missing()) return found;
    return no_attribute(rt, object, key.text());
  }
  return rt.undefined(std::string(object.type_name()) + " object has no such element");
}

Result<Value> get_slice(Runtime& rt, const Value& object, const Value& start, const Value& stop,
                        const Value& step) {
  if (object.is_undefined()) return rt.raise(object.undefined_message());
  if (const StringData* string = object.if_string()) {
    PHIAL_ASSIGN(const SlicePlan plan,
                 plan_slice(rt, static_cast<int64_t>(string->length), start, stop, step));
    return slice_string(rt, *string, plan);
  }
  if (const ListData* list = object.if_list()) {
    PHIAL_ASSIGN(const SlicePlan plan,
                 plan_slice(rt, static_cast<int64_t>(list->items.size()), start, stop, step));
    PHIAL_TRY(rt.check_memory(static_cast<uint64_t>(plan.count) * sizeof(Value)));
    std::vector<Value> items;
    items.reserve(static_cast<size_t>(plan.count));
    for (int64_t n = 0; n < plan.count; ++n) {
      items.push_back(list->items[static_cast<size_t>(plan.start + n * plan.step)]);
    }
    return list->tuple ? rt.tuple(std::move(items)) : rt.list(std::move(items));
  }
  if (const Range* range = object.if_a<Range>()) {
    PHIAL_ASSIGN(const SlicePlan plan, plan_slice(rt, range->count(), start, stop, step));
    const auto stride = checked_mul(plan.step, range->step_size());
    if (!stride) return rt.over("an integer does not fit 64 bits");
    return rt.object(std::make_shared<Range>(
        range->at(plan.start), range->at(plan.start) + plan.count * *stride, *stride, plan.count));
  }
  return rt.raise("'" + std::string(object.type_name()) + "' object cannot be sliced");
}

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
    case Value::Kind::string:
    case Value::Kind::list:
    case Value::Kind::dict:
      return true;
    case Value::Kind::object:
      return value.if_object()->iterable();
    default:
      return false;
  }
}

Result<std::unique_ptr<Iterator>> iterate(Runtime& rt, const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
      return std::unique_ptr<Iterator>(std::make_unique<EmptyIterator>());
    case Value::Kind::string:
      return std::unique_ptr<Iterator>(std::make_unique<StringIterator>(value));
    case Value::Kind::list:
      return std::unique_ptr<Iterator>(std::make_unique<ListIterator>(value));
    case Value::Kind::dict:
      return std::unique_ptr<Iterator>(std::make_unique<DictIterator>(value, ViewKind::keys));
    default:
      break;
  }
  if (Object* object = value.if_object()) {
    PHIAL_ASSIGN(std::unique_ptr<Iterator> iterator, object->iterate(rt));
    if (iterator != nullptr) return iterator;
  }
  return rt.raise("'" + std::string(value.type_name()) + "' object is not iterable");
}

Result<std::vector<Value>> to_vector(Runtime& rt, const Value& value) {
  if (const ListData* list = value.if_list()) {
    PHIAL_TRY(rt.check_memory(list->items.size() * sizeof(Value)));
    PHIAL_TRY(rt.step(list->items.size() / 16));
    return list->items;
  }
  PHIAL_ASSIGN(std::unique_ptr<Iterator> iterator, iterate(rt, value));
  std::vector<Value> items;
  Value item;
  while (true) {
    PHIAL_ASSIGN(const bool more, iterator->next(rt, item));
    if (!more) return items;
    items.push_back(std::move(item));
  }
}

Result<std::optional<int64_t>> length_of(Runtime& rt, const Value& value) {
  switch (value.kind()) {
    case Value::Kind::undefined:
      return std::optional<int64_t>(0);
    case Value::Kind::string:
      return std::optional<int64_t>(static_cast<int64_t>(value.if_string()->length));
    case Value::Kind::list:
      return std::optional<int64_t>(static_cast<int64_t>(value.if_list()->items.size()));
    case Value::Kind::dict:
      return std::optional<int64_t>(static_cast<int64_t>(value.if_dict()->members.size()));
    case Value::Kind::object:
      return value.if_object()->length(rt);
    default:
      return std::optional<int64_t>();
  }
}

Result<uint64_t> hash_of_key(Runtime& rt, const Value& value) {
  const std::optional<uint64_t> hash = hash_of(value);
  if (hash) return *hash;
  return rt.raise("unhashable type: '" + std::string(value.type_name()) + "'");
}

Result<bool> contains(Runtime& rt, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (item.is_string()) {
      PHIAL_TRY(rt.step_for_bytes(container.text().size() + 4 * item.text().size()));
      return find_text(container.text(), item.text()) != std::string_view::npos;
    }
    return rt.raise("'in <string>' requires string as left operand, not " +
                    std::string(item.type_name()));
  }
  if (const DictData* dict = container.if_dict()) {
    PHIAL_ASSIGN(const uint64_t hash, hash_of_key(rt, item));
    if (item.is_string()) PHIAL_TRY(rt.step_for_bytes(item.text().size()));
    PHIAL_ASSIGN(const Value* found, dict->find(rt, item, hash));
    return found != nullptr;
  }
  if (!is_iterable(container)) {
    return rt.raise("argument of type '" + std::string(container.type_name()) +
                    "' is not iterable");
  }
  PHIAL_ASSIGN(std::unique_ptr<Iterator> iterator, iterate(rt, container));
  Value candidate;
  while (true) {
    PHIAL_ASSIGN(const bool more, iterator->next(rt, candidate));
    if (!more) return false;
    PHIAL_ASSIGN(const bool same, equals(rt, candidate, item));
    if (same) return true;
  }
}

Result<Value> call(Runtime& rt, const Value& function, CallArgs& args) {
  if (function.is_undefined()) return rt.raise(function.undefined_message());
  if (Object* object = function.if_object()) return object->call(rt, args);
  return rt.raise("'" + std::string(function.type_name()) + "' object is not callable");
}

Result<Value> make_range(Runtime& rt, int64_t start, int64_t stop, int64_t step) {
  // In 128 bits nothing of this overflows.
  const __int128 distance =
      step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 stride = step > 0 ? static_cast<__int128>(step) : -static_cast<__int128>(step);
  const __int128 count = distance > 0 ? (distance + stride - 1) / stride : 0;
  if (count > static_cast<__int128>(rt.limits().max_range)) {
    return rt.over("range() of more than " + std::to_string(rt.limits().max_range) + " elements");
  }
  const __int128 end = start + count * static_cast<__int128>(step);
  if (end > std::numeric_limits<int64_t>::max() || end < std::numeric_limits<int64_t>::min()) {
    return rt.over("an integer does not fit 64 bits");
  }
  return rt.object(std::make_shared<Range>(start, stop, step, static_cast<int64_t>(count)));
}

Result<Value> make_view(Runtime& rt, const Value& dict, ViewKind kind) {
  return rt.object(std::make_shared<DictView>(dict, kind));
}

Result<Value> make_generator(Runtime& rt, std::unique_ptr<Iterator> iterator, const Value& source,
                             std::string_view type_name) {
  return rt.object(std::make_shared<Generator>(std::move(iterator), source.depth() + 1, type_name));
}

}  // namespace phial::jinja

#include "text/jinja_runtime.h"

#include <algorithm>

#include "text/jinja_lexer.h"
#include "text/jinja_ops.h"
#include "text/jinja_unicode.h"

namespace phial::jinja {
namespace {

// Values may hold this many times the size of the largest string.
constexpr uint64_t kLiveFactor = 16;
// A shared block with its counters and allocator overhead, roughly.
constexpr uint64_t kBlockBytes = 96;

}  // namespace

Runtime::~Runtime() {
  for (const auto& object : adopted_) object->clear();
}

Error Runtime::raise(std::string_view message) const {
  return template_error(at_line(name_, line_), message);
}

Error Runtime::over(std::string_view message) const {
  return over_limit(at_line(name_, line_), message);
}

Error Runtime::out_of_fuel() const { return over("the template takes too many steps"); }

Status Runtime::check_string_size(uint64_t bytes) const {
  if (bytes <= limits_.max_output_bytes) return {};
  return over("the template builds a text of more than " +
              std::to_string(limits_.max_output_bytes) + " bytes");
}

Status Runtime::check_memory(uint64_t bytes) const {
  const uint64_t most = kLiveFactor * limits_.max_output_bytes;
  if (bytes <= most && live_bytes_ <= most - bytes) return {};
  return over("the values of the template need more than " + std::to_string(most) + " bytes");
}

Status Runtime::check_depth(int depth) const {
  if (depth <= limits_.max_depth) return {};
  return over("values are nested deeper than " + std::to_string(limits_.max_depth));
}

Result<Value> Runtime::string(std::string text, bool markup) {
  PHIAL_TRY(check_string_size(text.size()));
  PHIAL_TRY(check_memory(text.size() + kBlockBytes));
  PHIAL_TRY(step_for_bytes(text.size()));
  auto data = std::make_shared<StringData>();
  data->length = count_characters(text);
  data->charge = Charge(&live_bytes_, text.size() + kBlockBytes);
  data->text = std::move(text);
  data->markup = markup;
  return Value(std::shared_ptr<const StringData>(std::move(data)));
}

Result<Value> Runtime::sequence(std::vector<Value> items, bool tuple, bool group) {
  const uint64_t bytes = items.size() * sizeof(Value) + kBlockBytes;
  PHIAL_TRY(check_memory(bytes));
  PHIAL_TRY(step(items.size() / 16));
  auto data = std::make_shared<ListData>();
  uint64_t hash = 0xcbf29ce484222325u;
  bool hashable = tuple;
  for (const Value& item : items) {
    data->depth = std::max(data->depth, item.depth() + 1);
    if (!hashable) continue;
    const auto part = hash_of(item);
    hashable = part.has_value();
    hash = (hash ^ part.value_or(0)) * 1099511628211u;
  }
  PHIAL_TRY(check_depth(data->depth));
  if (hashable) data->hash = hash;
  data->tuple = tuple;
  data->group = group;
  data->items = std::move(items);
  data->charge = Charge(&live_bytes_, bytes);
  return Value(std::shared_ptr<const ListData>(std::move(data)));
}

Result<Value> Runtime::list(std::vector<Value> items) {
  return sequence(std::move(items), false, false);
}

Result<Value> Runtime::tuple(std::vector<Value> items) {
  return sequence(std::move(items), true, false);
}

Result<Value> Runtime::group(Value grouper, Value members) {
  std::vector<Value> pair;
  pair.push_back(std::move(grouper));
  pair.push_back(std::move(members));
  return sequence(std::move(pair), true, true);
}

Result<Value> Runtime::dict(std::vector<DictData::Member> members) {
  const uint64_t bytes = members.size() * (sizeof(DictData::Member) + 48) + kBlockBytes;
  PHIAL_TRY(check_memory(bytes));
  PHIAL_TRY(step(members.size()));
  auto data = std::make_shared<DictData>();
  data->members.reserve(members.size());
  // Found by hash while building, whatever the size: a long list of pairs takes linear time.
  std::unordered_multimap<uint64_t, size_t> seen;
  for (DictData::Member& member : members) {
    PHIAL_ASSIGN(const uint64_t hash, hash_of_key(*this, member.first));
    if (member.first.is_string()) PHIAL_TRY(step_for_bytes(member.first.text().size()));
    data->depth = std::max({data->depth, member.second.depth() + 1, member.first.depth() + 1});
    DictData::Member* same = nullptr;
    const auto range = seen.equal_range(hash);
    for (auto it = range.first; it != range.second && same == nullptr; ++it) {
      PHIAL_ASSIGN(const bool equal, equals(*this, data->members[it->second].first, member.first));
      if (equal) same = &data->members[it->second];
    }
    if (same != nullptr) {
      same->second = std::move(member.second);
    } else {
      seen.emplace(hash, data->members.size());
      data->members.push_back(std::move(member));
    }
  }
  PHIAL_TRY(check_depth(data->depth));
  data->build_index();
  data->charge = Charge(&live_bytes_, bytes);
  return Value(std::shared_ptr<const DictData>(std::move(data)));
}

Result<Value> Runtime::object(std::shared_ptr<Object> object, uint64_t bytes) {
  PHIAL_TRY(check_memory(bytes + kBlockBytes));
  PHIAL_TRY(check_depth(object->depth()));
  object->charge = Charge(&live_bytes_, bytes + kBlockBytes);
  return Value(std::move(object));
}

Value Runtime::undefined(std::string message) {
  return Value(std::shared_ptr<const UndefinedData>(
      std::make_shared<UndefinedData>(UndefinedData{std::move(message)})));
}

Result<std::vector<Value>> bind_arguments(Runtime& rt, std::string_view function, CallArgs& args,
                                          std::initializer_list<std::string_view> names,
                                          size_t required) {
  const std::string call = std::string(function) + "() ";
  if (args.positional.size() > names.size()) {
    return rt.raise(call + "takes at most " + std::to_string(names.size()) + " argument(s), got " +
                    std::to_string(args.positional.size()));
  }
  std::vector<Value> bound = std::move(args.positional);
  bound.resize(names.size());
  for (auto& [name, value] : args.named) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end() || name.empty()) {
      return rt.raise(call + "got an unexpected keyword argument '" + name + "'");
    }
    Value& slot = bound[static_cast<size_t>(at - names.begin())];
    if (!slot.missing()) return rt.raise(call + "got multiple values for argument '" + name + "'");
    slot = std::move(value);
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i].missing()) {
      return rt.raise(call + "misses argument " + std::to_string(i + 1) + " of " +
                      std::to_string(required));
    }
  }
  return bound;
}

}  // namespace phial::jinja

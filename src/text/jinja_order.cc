#include "text/jinja_order.h"

#include <algorithm>
#include <utility>

#include "text/jinja_attribute_path.h"
#include "text/jinja_ops.h"

namespace phial::jinja {
namespace {

// Sorts `items` by `keys`, which belong to them one to one.
Status sort_by_keys(Runtime& rt, std::vector<Value>& items, const std::vector<Value>& keys,
                    bool reverse) {
  std::vector<Value> order;
  for (size_t i = 0; i < items.size(); ++i) order.emplace_back(static_cast<int64_t>(i));
  // Equal items keep their order in both directions.
  if (reverse) std::reverse(order.begin(), order.end());
  PHIAL_TRY(stable_sort(rt, order, [&](const Value& a, const Value& b) {
    return less(rt, keys[static_cast<size_t>(*a.integral())],
                keys[static_cast<size_t>(*b.integral())]);
  }));
  if (reverse) std::reverse(order.begin(), order.end());
  std::vector<Value> sorted;
  sorted.reserve(items.size());
  for (const Value& i : order) sorted.push_back(items[static_cast<size_t>(*i.integral())]);
  items = std::move(sorted);
  return {};
}

// Python's sort wants an int here; "missing" is false.
Result<bool> reverse_argument(Runtime& rt, const Value& value) {
  if (value.missing()) return false;
  PHIAL_ASSIGN(const int64_t number, to_integer(rt, value, "reverse"));
  return number != 0;
}

}  // namespace

Result<Value> filter_sort(Runtime& rt, const Value& self, CallArgs& args) {
  PHIAL_ASSIGN(const auto bound,
               bind_arguments(rt, "sort", args, {"reverse", "case_sensitive", "attribute"}));
  std::vector<AttributePath> paths;
  if (bound[2].is_string()) {
    std::string_view rest = bound[2].text();
    while (true) {
      const size_t comma = std::min(rest.find(','), rest.size());
      PHIAL_TRY(paths.emplace_back().parse_text(rt, rest.substr(0, comma)));
      if (comma == rest.size()) break;
      rest = rest.substr(comma + 1);
    }
  } else {
    PHIAL_TRY(paths.emplace_back().parse(rt, bound[2]));
  }
  PHIAL_ASSIGN(std::vector<Value> items, to_vector(rt, self));
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const AttributePath& path : paths) {
      PHIAL_TRY(rt.step());
      PHIAL_ASSIGN(Value part, path.get(rt, item));
      PHIAL_ASSIGN(part, fold(rt, std::move(part), truth(bound[1])));
      parts.push_back(std::move(part));
    }
    PHIAL_ASSIGN(Value key, rt.list(std::move(parts)));
    keys.push_back(std::move(key));
  }
  PHIAL_ASSIGN(const bool reverse, reverse_argument(rt, bound[0]));
  PHIAL_TRY(sort_by_keys(rt, items, keys, reverse));
  return rt.list(std::move(items));
}

Result<Value> filter_dictsort(Runtime& rt, const Value& self, CallArgs& args) {
  PHIAL_ASSIGN(const auto bound,
               bind_arguments(rt, "dictsort", args, {"case_sensitive", "by", "reverse"}));
  std::string_view by = "key";
  if (!bound[1].missing()) {
    PHIAL_ASSIGN(by, expect_string(rt, bound[1], "by"));
  }
  if (by != "key" && by != "value") {
    return rt.raise("You can only sort by either \"key\" or \"value\"");
  }
  if (self.is_undefined()) return rt.raise(self.undefined_message());
  if (self.if_dict() == nullptr) {
    return rt.raise("'" + std::string(self.type_name()) + "' object has no attribute 'items'");
  }
  std::vector<Value> items;
  std::vector<Value> keys;
  for (const auto& [key, value] : self.if_dict()->members) {
    PHIAL_ASSIGN(Value pair, rt.tuple({key, value}));
    PHIAL_ASSIGN(Value sort_key, fold(rt, by == "key" ? key : value, truth(bound[0])));
    items.push_back(std::move(pair));
    keys.push_back(std::move(sort_key));
  }
  PHIAL_ASSIGN(const bool reverse, reverse_argument(rt, bound[2]));
  PHIAL_TRY(sort_by_keys(rt, items, keys, reverse));
  return rt.list(std::move(items));
}

Result<Value> filter_groupby(Runtime& rt, const Value& self, CallArgs& args) {
  PHIAL_ASSIGN(const auto bound,
               bind_arguments(rt, "groupby", args, {"attribute", "default", "case_sensitive"}, 1));
  AttributePath path;
  PHIAL_TRY(path.parse(rt, bound[0]));
  PHIAL_ASSIGN(std::vector<Value> items, to_vector(rt, self));
  const auto key_of = [&](const Value& item, bool exact) -> Result<Value> {
    PHIAL_ASSIGN(Value key, path.get(rt, item, bound[1]));
    return fold(rt, std::move(key), exact || truth(bound[2]));
  };
  std::vector<Value> keys;
  for (const Value& item : items) {
    PHIAL_ASSIGN(Value key, key_of(item, false));
    keys.push_back(std::move(key));
  }
  PHIAL_TRY(sort_by_keys(rt, items, keys, false));
  std::vector<Value> groups;
  std::vector<Value> members;
  Value current;
  const auto close = [&]() -> Status {
    if (members.empty()) return {};
    PHIAL_ASSIGN(Value name, key_of(members[0], true));
    PHIAL_ASSIGN(Value list, rt.list(std::exchange(members, {})));
    PHIAL_ASSIGN(Value group, rt.group(std::move(name), std::move(list)));
    groups.push_back(std::move(group));
    return {};
  };
  for (Value& item : items) {
    PHIAL_ASSIGN(Value key, key_of(item, false));
    bool same = false;
    if (!members.empty()) {
      PHIAL_ASSIGN(same, equals(rt, key, current));
    }
    if (!same) PHIAL_TRY(close());
    current = std::move(key);
    members.push_back(std::move(item));
  }
  PHIAL_TRY(close());
  return rt.list(std::move(groups));
}

}  // namespace phial::jinja

#include "eval/bench_floors.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

namespace phial {
namespace {

// Where a report says what a condition is about.
struct Condition {
  std::string_view name, section;
};
constexpr Condition kConditions[] = {
    {"isa", "settings"},       {"compute", "settings"},  {"kv", "settings"},
    {"name", "model"},         {"grid", "model"},        {"architecture", "model"},
    {"int8_method", "probes"}, {"fma_method", "probes"}, {"bf16_method", "probes"},
};

const Condition* find_condition(std::string_view name) {
  const auto found = std::find_if(std::begin(kConditions), std::end(kConditions),
                                  [&](const Condition& c) { return c.name == name; });
  return found == std::end(kConditions) ? nullptr : found;
}

bool holds(const Json::Member& condition, const Json& report) {
  const Json* section = report.find(find_condition(condition.first)->section);
  const Json* found = section == nullptr ? nullptr : section->find(condition.first);
  if (found == nullptr) return false;
  const Json::Array* list = condition.second.if_array();
  return list == nullptr ? *found == condition.second
                         : std::find(list->begin(), list->end(), *found) != list->end();
}

const Json* find_row(const Json& report, std::string_view name) {
  for (const Json& row : *report.find("rows")->if_array()) {
    if (*row.find("name") == Json(name)) return &row;
  }
  return nullptr;
}

}  // namespace

Result<BenchFloors> BenchFloors::parse(std::string_view text, std::string_view where) {
  PHIAL_ASSIGN(const Json json, parse_json(text, where));
  const Json* sets = json.find("sets");
  if (sets == nullptr || sets->if_array() == nullptr) {
    return damaged(where, "expected an object with a list of \"sets\"");
  }
  BenchFloors floors;
  floors.where_ = where;
  for (const Json& set : *sets->if_array()) {
    PHIAL_ASSIGN(Set parsed, parse_set(set, where));
    floors.sets_.push_back(std::move(parsed));
  }
  return floors;
}

Result<BenchFloors::Set> BenchFloors::parse_set(const Json& json, std::string_view where) {
  Set set;
  if (const Json* when = json.find("when"); when != nullptr) {
    if (when->if_object() == nullptr) return damaged(where, "\"when\" is not an object");
    for (const Json::Member& condition : *when->if_object()) {
      if (find_condition(condition.first) == nullptr) {
        return damaged(
            where, fmt::format("\"when\" has no condition \"{}\"", printable(condition.first, 40)));
      }
      set.when.push_back(condition);
    }
  }
  const Json* floors = json.find("floors");
  if (floors == nullptr || floors->if_object() == nullptr) {
    return damaged(where, "a set has no object of \"floors\"");
  }
  for (const auto& [name, floor] : *floors->if_object()) {
    const std::optional<double> percent = floor.number();
    if (!percent) {
      return damaged(where,
                     fmt::format("the floor of \"{}\" is not a number", printable(name, 40)));
    }
    set.floors.emplace_back(name, *percent);
  }
  const Json* required = json.find("required");
  set.required = required != nullptr && *required == Json(true);
  return set;
}

Result<Json> BenchFloors::check(const Json& report) const {
  Json checked{Json::Array()};
  bool any = false;
  for (const Set& set : sets_) {
    if (!std::all_of(set.when.begin(), set.when.end(),
                     [&](const Json::Member& condition) { return holds(condition, report); })) {
      continue;
    }
    any = true;
    for (const auto& [name, floor] : set.floors) {
      const Json* row = find_row(report, name);
      if (row == nullptr && !set.required) continue;
      if (row == nullptr) {
        return usage_error(where_, fmt::format("\"{}\" was not measured", printable(name, 40)));
      }
      const std::optional<double> percent = row->find("percent_of_probe")->number();
      if (!percent) {
        return usage_error(where_, fmt::format("\"{}\" is no share of a probe", name));
      }
      Json entry;
      entry.set("name", name);
      entry.set("percent_of_probe", *percent);
      entry.set("floor", floor);
      entry.set("holds", *percent >= floor);
      checked.push(std::move(entry));
    }
  }
  if (!any) {
    return usage_error(where_, "none of its sets applies to this run",
                       "compare \"when\" with \"settings\" and \"model\" in the report");
  }
  return checked;
}

}  // namespace phial

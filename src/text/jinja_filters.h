// The filters and tests of Jinja, by name.
#pragma once

#include <string_view>

#include "text/jinja_runtime.h"

namespace phial::jinja {

// `self` is the value that is piped in.
struct FilterEntry {
  std::string_view name;
  Native function;
};
struct TestEntry {
  std::string_view name;
  Result<bool> (*function)(Runtime& rt, const Value& self, CallArgs& args);
};

// Null when there is none of that name.
const FilterEntry* find_filter(std::string_view name);
const TestEntry* find_test(std::string_view name);

}  // namespace phial::jinja

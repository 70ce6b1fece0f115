// Methods of str, dict, list and tuple.
#pragma once

#include <string_view>

#include "text/jinja_runtime.h"

namespace phial::jinja {

// Null when the type has no such method, or the sandbox hides it.
const NamedNative* find_method(const Value& self, std::string_view name);
// Methods that would change a list or dict: the sandbox makes them undefined.
bool is_mutator(const Value& self, std::string_view name);

}  // namespace phial::jinja

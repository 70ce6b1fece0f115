// Python's two ways to format: `text % values` and text.format(...).
#pragma once

#include <string_view>

#include "text/jinja_runtime.h"

namespace phial::jinja {

// `format % values`: values is a tuple, a dict or one value. REQUIRES: format.is_string()
Result<Value> format_percent(Runtime& rt, const Value& format, const Value& values);

// format.format(*args.positional, **args.named)
Result<Value> format_braces(Runtime& rt, const Value& format, const CallArgs& args);

}  // namespace phial::jinja

// The paths that Jinja's filters follow into the items of a sequence.
#pragma once

#include <string_view>
#include <vector>

#include "text/jinja_runtime.h"

namespace phial::jinja {

// "a.b.0" or 0.
class AttributePath {
 public:
  // Missing or none: the item itself.
  Status parse(Runtime& rt, const Value& attribute);
  Status parse_text(Runtime& rt, std::string_view text);

  // `fallback` replaces undefined values on the way, unless it is "missing" or none.
  Result<Value> get(Runtime& rt, Value item, const Value& fallback = {}) const;

 private:
  std::vector<Value> parts_;
};

// Text compares in lower case unless asked otherwise.
Result<Value> fold(Runtime& rt, Value value, bool case_sensitive);

}  // namespace phial::jinja

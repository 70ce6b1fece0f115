// Python's format specification mini language: how one value is laid out.
// Source: CPython 3.11, Python/formatter_unicode.c.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja_runtime.h"

namespace phial::jinja {

// The union of what "%" and format() can ask for.
struct FormatSpec {
  std::string fill = " ";
  char align = '\0';  // '<', '>', '^', '=' (between sign and digits); 0: as the type has it
  char sign = '\0';   // '+', ' ', '-'; 0: not given, as '-'
  bool no_minus_zero = false;
  bool alternate = false;
  size_t width = 0;
  char grouping = '\0';  // ',' or '_'
  int precision = -1;
  char type = '\0';
};

// A run of digits at `at`, which moves behind it, as a number; a large number for larger ones.
size_t read_digits(std::string_view text, size_t& at);

// Padded to the width. `spec.precision` cuts a text; of an integer it is the least digits, whose
// number the caller has checked to be a size that a string may have.
// REQUIRES for reals: precision <= kMaxPrecision
Status write_text(Runtime& rt, Builder& out, FormatSpec spec, std::string_view text);
Status write_integer(Runtime& rt, Builder& out, const FormatSpec& spec, int64_t value);
Status write_real(Runtime& rt, Builder& out, const FormatSpec& spec, double value);

// format(value, spec)
Status format_value(Runtime& rt, Builder& out, const Value& value, std::string_view spec);

}  // namespace phial::jinja

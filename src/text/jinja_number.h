// Numbers as Python reads and writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace phial::jinja {

// repr(value): the shortest digits that read back as the same number; "inf", "-inf", "nan".
std::string python_repr(double value);

// float(text): white space around it, single underscores between digits, inf and nan are fine.
std::optional<double> parse_python_float(std::string_view text);

struct ParsedInt {
  enum class State { ok, invalid, too_large } state = State::invalid;
  int64_t value = 0;
};
// int(text, base): base 0 or 2..36; "too_large" is a valid number beyond 64 bits.
ParsedInt parse_python_int(std::string_view text, int64_t base);

// round(value, digits) for floats: correctly rounded half to even of the exact decimal value.
double python_round(double value, int64_t digits);

// a / b of integers, rounded once. REQUIRES: b != 0
double divide_integers(int64_t a, int64_t b);

// "%.{precision}{type}" of a finite number; type is 'e' or 'f'. REQUIRES: precision <=
// kMaxPrecision
inline constexpr int kMaxPrecision = 400;
std::string format_real(double value, char type, int precision);

}  // namespace phial::jinja

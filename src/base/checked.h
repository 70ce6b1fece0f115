// Arithmetic on sizes that come from files or callers: overflow is a value, not a surprise.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

namespace phial {

template <std::integral T>
constexpr std::optional<T> checked_add(T a, T b) {
  T out;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <std::integral T>
constexpr std::optional<T> checked_mul(T a, T b) {
  T out;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

// `value` rounded up to a multiple of `unit`. REQUIRES: value >= 0, unit > 0
template <std::integral T>
constexpr std::optional<T> checked_round_up(T value, T unit) {
  const std::optional<T> sum = checked_add<T>(value, unit - 1);
  if (!sum) return std::nullopt;
  return *sum / unit * unit;
}

// Whether [offset, offset + size) lies inside [0, total).
constexpr bool range_fits(uint64_t offset, uint64_t size, uint64_t total) {
  return offset <= total && size <= total - offset;
}

// a / b rounded up; cannot overflow. REQUIRES: a >= 0, b > 0
template <std::integral T>
constexpr T ceil_div(T a, T b) {
  return static_cast<T>(a / b + (a % b != 0));
}

}  // namespace phial

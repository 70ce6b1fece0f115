#include "tensor/numbers.h"

#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace phial {
namespace {

// The magnitude of `value` in a format of `fraction` fraction bits whose normal numbers begin at
// 2^`lowest`, counted in steps: the bits of the format without sign, where a carry out of the
// fraction moves on to the next exponent. REQUIRES: the result fits 8 bits; value is not NaN.
uint32_t narrow_magnitude(float value, int fraction, int lowest) {
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude == 0) return 0;
  int exponent = std::ilogb(magnitude);
  if (exponent < lowest) exponent = lowest;
  // Exact: a float32 has 24 bits, and nearbyint rounds ties to even.
  const double steps = std::nearbyint(std::ldexp(magnitude, fraction - exponent));
  return (static_cast<uint32_t>(exponent - lowest) << fraction) + static_cast<uint32_t>(steps);
}

}  // namespace

// binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits; binary32: 1, 8 (bias 127), 23.

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 31u;
  const uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  if (exponent == 31) {
    const uint32_t quiet = fraction ? 0x400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | fraction << 13);
  }
  return std::bit_cast<float>(sign | (exponent + (127 - 15)) << 23 | fraction << 13);
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  // 65520 is halfway between the largest half, 65504, and the next that would be: it rounds up.
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Below 2^-14 a half counts in steps of 2^-24, which is the last place of floats in [0.5, 1).
    const float steps = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(steps) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - ((127u - 15u) << 23)) >> 13));
}

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// e4m3: 1 sign, 4 exponent (bias 7), 3 fraction bits. Moved to the place of a float32's exponent
// and fraction they mean 2^(7 - 127) times as much, also where they are subnormal. All 256 are
// computed once: a look-up is faster than two choices.
constexpr std::array<float, 256> kF8E4m3Values = [] {
  std::array<float, 256> values = {};
  for (uint32_t bits = 0; bits < 256; ++bits) {
    const uint32_t magnitude = bits & 0x7fu;
    const float value = std::bit_cast<float>(magnitude << 20) * 0x1p120f;
    values[bits] = magnitude == 0x7f ? std::numeric_limits<float>::quiet_NaN()
                   : bits & 0x80u    ? -value
                                     : value;
  }
  return values;
}();

uint8_t f32_to_f8_e4m3(float value) {
  const uint32_t sign = std::signbit(value) ? 0x80u : 0u;
  // 464 is halfway between 448 and the next that would be, 480: it rounds to the even one, 448.
  if (!(std::fabs(value) <= 464.0f)) return static_cast<uint8_t>(sign | 0x7fu);
  return static_cast<uint8_t>(sign | narrow_magnitude(value, 3, -6));
}

float f8_e5m2_to_f32(uint8_t bits) { return f16_to_f32(static_cast<uint16_t>(bits << 8)); }

uint8_t f32_to_f8_e5m2(float value) {
  const uint32_t sign = std::signbit(value) ? 0x80u : 0u;
  if (std::isnan(value)) return static_cast<uint8_t>(sign | 0x7fu);
  // 61440 is halfway between 57344 and infinity's place, 65536, which is even.
  if (std::fabs(value) >= 61440.0f) return static_cast<uint8_t>(sign | 0x7cu);
  return static_cast<uint8_t>(sign | narrow_magnitude(value, 2, -14));
}

float e8m0_to_f32(uint8_t bits) {
  if (bits == 0xff) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(bits == 0 ? 0x400000u : static_cast<uint32_t>(bits) << 23);
}

}  // namespace phial

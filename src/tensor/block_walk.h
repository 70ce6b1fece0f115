// What the block formats share: walking unaligned blocks, and the arithmetic of simple encoders.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace phial {

// Calls decode(block, out) for each of `blocks` blocks of `values` values.
template <class Block, class Decode>
void decode_blocks(const uint8_t* codes, int64_t blocks, int values, float* out,
                   const Decode& decode) {
  for (int64_t b = 0; b < blocks; ++b, codes += sizeof(Block), out += values) {
    Block block;
    std::memcpy(&block, codes, sizeof(block));
    decode(block, out);
  }
}

// Calls encode(values, block) for each of `blocks` blocks of `values` values; blocks begin as zero.
template <class Block, class Encode>
void encode_blocks(const float* values, int64_t blocks, int block_values, uint8_t* codes,
                   const Encode& encode) {
  for (int64_t b = 0; b < blocks; ++b, codes += sizeof(Block), values += block_values) {
    Block block = {};
    encode(values, block);
    std::memcpy(codes, &block, sizeof(block));
  }
}

// 1 / scale; 0 where that is not finite, which gives a block of tiny values zero codes.
inline float reciprocal(float scale) {
  const float inverse = 1.0f / scale;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// The lowest and the highest of some values, by the order of floats with -0 below 0. As integers
// that keep this order, since compilers make vectors of their minimums and not of those of floats.
// REQUIRES: count > 0; no NaN
struct Range {
  float low, high;
};
inline Range ordered_range(const float* values, int count) {
  const auto swapped = [](int32_t bits) { return bits ^ (bits >> 31 & 0x7fffffff); };
  int32_t low = INT32_MAX, high = INT32_MIN;
  for (int i = 0; i < count; ++i) {
    const int32_t key = swapped(std::bit_cast<int32_t>(values[i]));
    low = std::min(low, key);
    high = std::max(high, key);
  }
  return {std::bit_cast<float>(swapped(low)), std::bit_cast<float>(swapped(high))};
}

// The same; the first of several, as of a zero of either sign.
inline Range range_of(const float* values, int count) {
  Range out = ordered_range(values, count);
  if (out.low == 0) out.low = *std::find(values, values + count - 1, 0.0f);
  if (out.high == 0) out.high = *std::find(values, values + count - 1, 0.0f);
  return out;
}

// The value of largest magnitude, with its sign; the first of several. REQUIRES: no NaN
inline float largest_value(const float* values, int count) {
  const auto [low, high] = ordered_range(values, count);
  if (high > -low) return high;
  if (-low > high) return low;
  if (high == 0) return 0;
  return *std::find_if(values, values + count - 1,
                       [high = high](float value) { return std::fabs(value) == high; });
}

// Floats in [2^23, 2^24) are the integers: adding rounds a small number, and taking it away again
// is exact. No call is made, and compilers make vectors of it.
inline constexpr float kRoundingShift = 0x1.8p23f;

// `value` rounded to the nearest integer in [low, high], ties to even; `low` for NaN.
// REQUIRES: low and high are below 2^22 in magnitude
inline int nearest_code(float value, int low, int high) {
  const auto least = static_cast<float>(low), most = static_cast<float>(high);
  const float above = value > least ? value : least;
  const float within = above < most ? above : most;
  return static_cast<int>((within + kRoundingShift) - kRoundingShift);
}

// `value` rounded to the nearest integer, ties away from zero, as std::round does. The largest
// number below a half is added and the rest cut off: a half itself would round its lower neighbour
// up. REQUIRES: |value| < 2^22
inline int rounded_away(float value) {
  return static_cast<int>(value + std::copysign(0x1.fffffep-2f, value));
}

}  // namespace phial

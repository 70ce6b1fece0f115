// What the block formats share: walking unaligned blocks, and the arithmetic of simple encoders.
#pragma once

#include <algorithm>
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

// The value of largest magnitude, with its sign; the first of several.
inline float largest_value(const float* values, int count) {
  float largest = 0.0f;
  for (int i = 0; i < count; ++i) {
    if (std::fabs(values[i]) > std::fabs(largest)) largest = values[i];
  }
  return largest;
}

// `value` rounded to the nearest integer in [low, high]. REQUIRES: value is not NaN.
inline int nearest_code(float value, int low, int high) {
  return static_cast<int>(
      std::clamp(std::nearbyint(value), static_cast<float>(low), static_cast<float>(high)));
}

}  // namespace phial

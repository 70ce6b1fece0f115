#include "tensor/block_legacy.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/grid.h"

namespace phial {
namespace {

constexpr int kHalf = kLegacyBlockValues / 2;

// The factor from values to codes.
float reciprocal(float scale) {
  const float inverse = 1.0f / scale;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

}  // namespace

void decode_q4_1(const uint8_t* codes, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, out += kLegacyBlockValues) {
    BlockQ4_1 block;
    std::memcpy(&block, codes + b * static_cast<int64_t>(sizeof(block)), sizeof(block));
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    for (int i = 0; i < kHalf; ++i) {
      out[i] = d * static_cast<float>(block.qs[i] & 15) + m;
      out[i + kHalf] = d * static_cast<float>(block.qs[i] >> 4) + m;
    }
  }
}

void decode_q8_0(const uint8_t* codes, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, out += kLegacyBlockValues) {
    BlockQ8_0 block;
    std::memcpy(&block, codes + b * static_cast<int64_t>(sizeof(block)), sizeof(block));
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kLegacyBlockValues; ++i) out[i] = d * static_cast<float>(block.qs[i]);
  }
}

void encode_q4_1(const float* values, int64_t blocks, uint8_t* codes) {
  for (int64_t b = 0; b < blocks; ++b, values += kLegacyBlockValues) {
    const float low = *std::min_element(values, values + kLegacyBlockValues);
    const float high = *std::max_element(values, values + kLegacyBlockValues);
    const float d = (high - low) / 15.0f;
    const float inverse = reciprocal(d);
    const auto code = [&](float value) {
      return std::min(15, static_cast<int>((value - low) * inverse + 0.5f));
    };
    BlockQ4_1 block{f32_to_f16(d), f32_to_f16(low), {}};
    for (int i = 0; i < kHalf; ++i) {
      block.qs[i] = static_cast<uint8_t>(code(values[i]) | code(values[i + kHalf]) << 4);
    }
    std::memcpy(codes + b * static_cast<int64_t>(sizeof(block)), &block, sizeof(block));
  }
}

void encode_q8_0(const float* values, int64_t blocks, uint8_t* codes) {
  for (int64_t b = 0; b < blocks; ++b, values += kLegacyBlockValues) {
    float largest = 0.0f;
    for (int i = 0; i < kLegacyBlockValues; ++i) largest = std::max(largest, std::fabs(values[i]));
    const float d = largest / 127.0f;
    const float inverse = reciprocal(d);
    BlockQ8_0 block{f32_to_f16(d), {}};
    for (int i = 0; i < kLegacyBlockValues; ++i) {
      block.qs[i] = static_cast<int8_t>(std::round(values[i] * inverse));
    }
    std::memcpy(codes + b * static_cast<int64_t>(sizeof(block)), &block, sizeof(block));
  }
}

}  // namespace phial

// The 32-value blocks of GGUF's first quantized types (ggml-common.h: block_q4_1, block_q8_0).
// All fields are little-endian; blocks lie unaligned in files.
//
//   q4_1, 5 bits per weight: value j = d * code j + m
//
//     byte  0   2   4                                                  20
//           | d | m | qs[0] ... qs[15]                                 |
//     qs[i] low nibble = code i, high nibble = code i + 16
//
//   q8_0, 8.5 bits per weight: value j = d * code j
//
//     byte  0   2                                                      34
//           | d | qs[0] ... qs[31]                                     |
//     qs[i] = code i, two's complement, -127 ... 127
#pragma once

#include <cstdint>

namespace phial {

inline constexpr int kLegacyBlockValues = 32;

struct BlockQ4_1 {
  uint16_t d;  // scale, f16
  uint16_t m;  // minimum, f16
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 2);

struct BlockQ8_0 {
  uint16_t d;  // scale, f16
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 2);

// Decode `blocks` blocks at `codes` (unaligned) to 32 values each. Every value is one product
// (exact in float32: 11 + 8 bits) and at most one rounded sum.
void decode_q4_1(const uint8_t* codes, int64_t blocks, float* out);
void decode_q8_0(const uint8_t* codes, int64_t blocks, float* out);

// Encode by ggml's reference quantizers (quantize_row_q4_1_ref, quantize_row_q8_0_ref): codes are
// chosen with the float32 scale, which is then rounded to f16. A block whose scale is so small that
// its reciprocal is not finite gets zero codes. Values are finite; a scale or minimum beyond f16's
// range becomes infinite.
void encode_q4_1(const float* values, int64_t blocks, uint8_t* codes);
void encode_q8_0(const float* values, int64_t blocks, uint8_t* codes);

}  // namespace phial

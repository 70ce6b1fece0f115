// The 32-value blocks of GGUF's first quantized types (ggml-common.h: block_q4_0 ... block_q8_0).
// All fields are little-endian; blocks lie unaligned in files. In the types of 4 and 5 bits a byte
// holds code i in its low nibble and code i + 16 in its high one; a fifth bit lies in qh, bit i for
// code i.
//
//   q4_0, 4.5 bits per weight: value i = d * (code i - 8)
//     byte  0   2                                                      18
//           | d | qs[0] ... qs[15]                                     |
//
//   q4_1, 5 bits per weight: value i = d * code i + m
//     byte  0   2   4                                                  20
//           | d | m | qs[0] ... qs[15]                                 |
//
//   q5_0, 5.5 bits per weight: value i = d * (code i - 16)
//     byte  0   2    6                                                 22
//           | d | qh | qs[0] ... qs[15]                                |
//
//   q5_1, 6 bits per weight: value i = d * code i + m
//     byte  0   2   4    8                                             24
//           | d | m | qh | qs[0] ... qs[15]                            |
//
//   q8_0, 8.5 bits per weight: value i = d * code i
//     byte  0   2                                                      34
//           | d | qs[0] ... qs[31]                                     |
//     qs[i] = code i, two's complement; encoders write -127 ... 127
#pragma once

#include <cstdint>

namespace phial {

inline constexpr int kLegacyBlockValues = 32;

struct BlockQ4_0 {
  uint16_t d;  // scale, f16
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 2);

struct BlockQ4_1 {
  uint16_t d;  // scale, f16
  uint16_t m;  // minimum, f16
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 2);

struct BlockQ5_0 {
  uint16_t d;  // scale, f16
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 2);

struct BlockQ5_1 {
  uint16_t d;  // scale, f16
  uint16_t m;  // minimum, f16
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 2);

struct BlockQ8_0 {
  uint16_t d;  // scale, f16
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 2);

// Decode `blocks` blocks at `codes` (unaligned) to 32 values each. Every value is one product
// (exact in float32: 11 + 8 bits) and at most one rounded sum.
void decode_q4_0(const uint8_t* codes, int64_t blocks, float* out);
void decode_q4_1(const uint8_t* codes, int64_t blocks, float* out);
void decode_q5_0(const uint8_t* codes, int64_t blocks, float* out);
void decode_q5_1(const uint8_t* codes, int64_t blocks, float* out);
void decode_q8_0(const uint8_t* codes, int64_t blocks, float* out);

// Encode by ggml's reference quantizers (quantize_row_q4_0_ref ...): codes are chosen with the
// float32 scale, which is then rounded to f16. q4_0 and q5_0 map the value of largest magnitude to
// the lowest code, so that d may be negative. A block whose scale is so small that its reciprocal
// is not finite gets the codes of zero. Values are finite; a scale or minimum beyond f16's range
// becomes infinite.
void encode_q4_0(const float* values, int64_t blocks, uint8_t* codes);
void encode_q4_1(const float* values, int64_t blocks, uint8_t* codes);
void encode_q5_0(const float* values, int64_t blocks, uint8_t* codes);
void encode_q5_1(const float* values, int64_t blocks, uint8_t* codes);
void encode_q8_0(const float* values, int64_t blocks, uint8_t* codes);

}  // namespace phial

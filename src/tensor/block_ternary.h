// GGUF's ternary blocks (ggml-common.h: block_tq1_0, block_tq2_0): 256 values that are -1, 0 or 1
// times a scale, value = d * (trit - 1). All fields are little-endian; blocks lie unaligned.
//
//   tq1_0, 1.6875 bits per weight
//     byte  0                 48              52  54
//           | qs[0] ... qs[47] | qh[0] ... qh[3] | d |
//     A byte holds 5 trits (qh: 4) as a fraction of 256: with t the trits, the first the most
//     significant, ceil(256 (81 t0 + 27 t1 + 9 t2 + 3 t3 + t4) / 243). Trit n is the upper part of
//     3 * (byte * 3^n mod 256). Byte l of qs[0..31] holds values l, 32 + l ... 128 + l; byte 32 + l
//     holds 160 + l, 176 + l ... 224 + l; qh[l] holds 240 + l, 244 + l ... 252 + l.
//
//   tq2_0, 2.0625 bits per weight
//     byte  0                  64  66
//           | qs[0] ... qs[63] | d |
//     value 128 h + 32 j + l lies in bits 2 j of qs[32 h + l]
#pragma once

#include <cstdint>

namespace phial {

struct BlockTQ1_0 {
  uint8_t qs[48];
  uint8_t qh[4];
  uint16_t d;  // f16
};
static_assert(sizeof(BlockTQ1_0) == 54 && alignof(BlockTQ1_0) == 2);

struct BlockTQ2_0 {
  uint8_t qs[64];
  uint16_t d;  // f16
};
static_assert(sizeof(BlockTQ2_0) == 66 && alignof(BlockTQ2_0) == 2);

// Decode `blocks` blocks at `codes` (unaligned) to 256 values each, exactly.
void decode_tq1_0(const uint8_t* codes, int64_t blocks, float* out);
void decode_tq2_0(const uint8_t* codes, int64_t blocks, float* out);

// Encode by ggml's reference quantizers: d is the largest magnitude.
void encode_tq1_0(const float* values, int64_t blocks, uint8_t* codes);
void encode_tq2_0(const float* values, int64_t blocks, uint8_t* codes);

}  // namespace phial

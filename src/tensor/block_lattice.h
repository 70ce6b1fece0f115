// GGUF's blocks of 1 to 3.5 bits (ggml-common.h: block_iq1_s ... block_iq3_s): 256 values, whose
// codes name points of a codebook: 8 (iq1, iq2) or 4 (iq3) magnitudes at once. phial decodes them;
// choosing points is a search that needs to know which weights matter. All fields are
// little-endian; blocks lie unaligned in files.
//
// The codebooks are sets of lattice points (lattice_points.inl): every coordinate is one of 3 (iq1:
// -1 0 1; iq2: 8 25 43) or 8 numbers (iq3_xxs: 4 12 ... 52 62; iq3_s: 1 3 ... 15). Point number n
// is the n-th in ascending order, read as numbers whose least significant digit comes first.
// "signs7" is 7 sign bits (1: minus) of 8 values; the sign of the eighth makes the number of minus
// signs even.
//
//   iq1_s, 1.5625 bits per weight, groups of 32: value = d (2 sc + 1) (point + delta)
//     byte  0   2                  34                     50
//           | d | qs[0] ... qs[31] | qh[0] ... qh[7], u16 |
//     qs[4 g + j], with bits 3 j ... 3 j + 2 of qh[g] above it, is the point of values 32 g + 8 j
//     and on; sc is bits 12 to 14 of qh[g], delta is -1/8 where its bit 15 is set, else 1/8.
//
//   iq1_m, 1.75 bits per weight, groups of 16: value = d (2 sc + 1) (point + delta)
//     byte  0                  32                 48                          56
//           | qs[0] ... qs[31] | qh[0] ... qh[15] | scales[0] ... scales[3], u16 |
//     The point of values 8 j and on is qs[j] with 3 bits above it: of the low nibble of qh[j / 2]
//     for even j, else of the high one; the nibble's top bit is the sign of delta. sc of group g is
//     bits 3 (g % 4) of scales[g / 4]; the top nibbles of scales[0 ... 3] are those of d, lowest
//     first.
//
//   iq2_xxs, 2.0625 bits per weight, groups of 32: value = d (sc + 1/2) / 4 * point
//     byte  0   2                                                      66
//           | d | 8 times: 4 points, u8; 4 signs7 and 4 bits sc, u32   |
//
//   iq2_xs, 2.3125 bits per weight, groups of 16: value = d (sc + 1/2) / 4 * point
//     byte  0   2                       66                         74
//           | d | qs[0] ... qs[31], u16 | scales[0] ... scales[7] |
//     qs: 9 bits point, then signs7; sc of group g is a nibble of scales[g / 2], low for even g.
//
//   iq2_s, 2.5625 bits per weight, groups of 16: value = d (sc + 1/2) / 4 * point
//     byte  0   2                  34                       66                74             82
//           | d | qs[0] ... qs[31] | signs[0] ... signs[31] | qh[0] ... qh[7] | scales[0] ... |
//     qs[j], with bits 2 (j % 4) of qh[j / 4] above it, is the point of values 8 j and on; signs[j]
//     are their signs; sc as in iq2_xs.
//
//   iq3_xxs, 3.0625 bits per weight, groups of 32: value = d (sc + 1/2) / 2 * point
//     byte  0   2                  66                                        98
//           | d | qs[0] ... qs[63] | 8 times: 4 signs7 and 4 bits sc, u32    |
//
//   iq3_s, 3.4375 bits per weight, groups of 32: value = d (2 sc + 1) * point
//     byte  0   2                  66                74                       106            110
//           | d | qs[0] ... qs[63] | qh[0] ... qh[7] | signs[0] ... signs[31] | scales[0] ... |
//     qs[j], with bit j % 8 of qh[j / 8] above it, is the point of values 4 j and on; signs[j] are
//     those of values 8 j and on; sc of group g is a nibble of scales[g / 2], low for even g.
#pragma once

#include <cstdint>

namespace phial {

struct BlockIQ1_S {
  uint16_t d;  // f16
  uint8_t qs[32];
  uint16_t qh[8];
};
static_assert(sizeof(BlockIQ1_S) == 50 && alignof(BlockIQ1_S) == 2);

struct BlockIQ1_M {
  uint8_t qs[32];
  uint8_t qh[16];
  uint16_t scales[4];
};
static_assert(sizeof(BlockIQ1_M) == 56 && alignof(BlockIQ1_M) == 2);

struct BlockIQ2_XXS {
  uint16_t d;  // f16
  uint8_t groups[8][8];
};
static_assert(sizeof(BlockIQ2_XXS) == 66 && alignof(BlockIQ2_XXS) == 2);

struct BlockIQ2_XS {
  uint16_t d;  // f16
  uint16_t qs[32];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_XS) == 74 && alignof(BlockIQ2_XS) == 2);

struct BlockIQ2_S {
  uint16_t d;  // f16
  uint8_t qs[32];
  uint8_t signs[32];
  uint8_t qh[8];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_S) == 82 && alignof(BlockIQ2_S) == 2);

struct BlockIQ3_XXS {
  uint16_t d;  // f16
  uint8_t qs[64];
  uint8_t groups[8][4];
};
static_assert(sizeof(BlockIQ3_XXS) == 98 && alignof(BlockIQ3_XXS) == 2);

struct BlockIQ3_S {
  uint16_t d;  // f16
  uint8_t qs[64];
  uint8_t qh[8];
  uint8_t signs[32];
  uint8_t scales[4];
};
static_assert(sizeof(BlockIQ3_S) == 110 && alignof(BlockIQ3_S) == 2);

// Decode `blocks` blocks at `codes` (unaligned) to 256 values each: products that are exact in
// float32.
void decode_iq1_s(const uint8_t* codes, int64_t blocks, float* out);
void decode_iq1_m(const uint8_t* codes, int64_t blocks, float* out);
void decode_iq2_xxs(const uint8_t* codes, int64_t blocks, float* out);
void decode_iq2_xs(const uint8_t* codes, int64_t blocks, float* out);
void decode_iq2_s(const uint8_t* codes, int64_t blocks, float* out);
void decode_iq3_xxs(const uint8_t* codes, int64_t blocks, float* out);
void decode_iq3_s(const uint8_t* codes, int64_t blocks, float* out);

}  // namespace phial

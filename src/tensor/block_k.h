// The K blocks of GGUF (ggml-common.h: block_q2_K ... block_q8_K): 256 values in groups of 16 or
// 32, whose scales are small integers times a scale of the superblock. All fields are
// little-endian; blocks lie unaligned in files.
//
//   q2_k, 2.625 bits per weight, 16 groups of 16: value = d * sc * code - dmin * m
//     byte  0                          16                 80  82     84
//           | scales[0] ... scales[15] | qs[0] ... qs[63] | d | dmin |
//     scales[g]: sc in the low nibble, m in the high one
//
//   q3_k, 3.4375 bits per weight, 16 groups of 16: value = d * (sc - 32) * (code - 4)
//     byte  0                         32                 96                         108 110
//           | hmask[0] ... hmask[31] | qs[0] ... qs[63] | scales[0] ... scales[11] | d |
//     sc of group g, 6 bits: the low 4 are a nibble of scales[g % 8], low for g < 8 and else high;
//     the upper 2 are bits 2 (g / 4) of scales[8 + g % 4]. A code is 2 bits of qs and a third of
//     hmask: bit c of hmask[l] belongs to value 32 c + l.
//
//   q4_k, 4.5 bits per weight, 8 groups of 32: value = d * sc * code - dmin * m
//     byte  0   2      4                          16                         144
//           | d | dmin | scales[0] ... scales[11] | qs[0] ... qs[127]        |
//     sc and m, 6 bits each: of group g < 4 they are the low 6 bits of scales[g] and scales[g + 4];
//     of group g >= 4 the nibbles of scales[g + 4], sc low and m high, below the upper 2 bits of
//     scales[g - 4] and scales[g]. qs[32 c + l] holds value 64 c + l low and 64 c + 32 + l high.
//
//   q5_k, 5.5 bits per weight: as q4_k, and bit c of qh[l] is the fifth bit of value 32 c + l
//     byte  0   2      4                          16                 48              176
//           | d | dmin | scales[0] ... scales[11] | qh[0] ... qh[31] | qs[0] ...     |
//
//   q6_k, 6.5625 bits per weight, 16 groups of 16: value = d * sc * (code - 32)
//     byte  0                   128                 192                        208 210
//           | ql[0] ... ql[127] | qh[0] ... qh[63] | scales[0] ... scales[15] | d |
//     Per 128 values, 64 bytes of ql and 32 of qh: value 32 j + l has its low nibble in
//     ql[32 (j % 2) + l], low for j < 2 and else high, and its upper 2 bits at bit 2 j of qh[l].
//
//   q8_k, 9.125 bits per weight: value = d * code; made for sums, not for files
//     byte  0        4                   260                            292
//           | d, f32 | qs[0] ... qs[255] | bsums[0] ... bsums[15], i16 |
//     bsums[g] is the sum of the codes 16 g ... 16 g + 15
//
// In q2_k and q3_k value 128 h + 32 j + l lies in bits 2 j of qs[32 h + l].
#pragma once

#include <cstdint>

namespace phial {

inline constexpr int kSuperblockValues = 256;

struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d, dmin;  // f16
};
static_assert(sizeof(BlockQ2_K) == 84 && alignof(BlockQ2_K) == 2);

struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;  // f16
};
static_assert(sizeof(BlockQ3_K) == 110 && alignof(BlockQ3_K) == 2);

struct BlockQ4_K {
  uint16_t d, dmin;  // f16
  uint8_t scales[12];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144 && alignof(BlockQ4_K) == 2);

struct BlockQ5_K {
  uint16_t d, dmin;  // f16
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176 && alignof(BlockQ5_K) == 2);

struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;  // f16
};
static_assert(sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 2);

struct BlockQ8_K {
  float d;
  int8_t qs[256];
  int16_t bsums[16];
};
static_assert(sizeof(BlockQ8_K) == 292 && alignof(BlockQ8_K) == 4);

// Decode `blocks` superblocks at `codes` (unaligned) to 256 values each. A scale times its integer
// is exact in float32 (11 + 8 bits); then one rounded product (exact but for q6_k) and at most one
// rounded difference follow.
void decode_q2_k(const uint8_t* codes, int64_t blocks, float* out);
void decode_q3_k(const uint8_t* codes, int64_t blocks, float* out);
void decode_q4_k(const uint8_t* codes, int64_t blocks, float* out);
void decode_q5_k(const uint8_t* codes, int64_t blocks, float* out);
void decode_q6_k(const uint8_t* codes, int64_t blocks, float* out);
void decode_q8_k(const uint8_t* codes, int64_t blocks, float* out);

// Encode by round to nearest, without the searches of ggml's quantizers: a group's scale (and
// minimum, at most 0) follows from its range, the superblock's from its largest group, and codes
// are chosen with the scales as they are stored. q3_k, q6_k and q8_k map the value of largest
// magnitude of a group to its lowest code, so that scales may be negative.
void encode_q2_k(const float* values, int64_t blocks, uint8_t* codes);
void encode_q3_k(const float* values, int64_t blocks, uint8_t* codes);
void encode_q4_k(const float* values, int64_t blocks, uint8_t* codes);
void encode_q5_k(const float* values, int64_t blocks, uint8_t* codes);
void encode_q6_k(const float* values, int64_t blocks, uint8_t* codes);
void encode_q8_k(const float* values, int64_t blocks, uint8_t* codes);

}  // namespace phial

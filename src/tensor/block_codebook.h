// GGUF blocks whose 4-bit codes are places in a table of 16 numbers (ggml-common.h: block_iq4_nl,
// block_iq4_xs, block_mxfp4). All fields are little-endian; blocks lie unaligned in files. A byte
// of qs holds code i of 32 in its low nibble and code i + 16 in its high one.
//
//   iq4_nl, 4.5 bits per weight: value i = d * kIq4Levels[code i]
//     byte  0   2                                                      18
//           | d | qs[0] ... qs[15]                                     |
//
//   iq4_xs, 4.25 bits per weight, 8 groups of 32: value = d * (sc - 32) * kIq4Levels[code]
//     byte  0   2          4                              8                     136
//           | d | scales_h | scales_l[0] ... scales_l[3] | qs[0] ... qs[127]   |
//     sc of group g, 6 bits: the low 4 are a nibble of scales_l[g / 2], low for even g; the upper
//     2 are bits 2 g of scales_h. Group g has the bytes qs[16 g] ... qs[16 g + 15].
//
//   mxfp4, 4.25 bits per weight: value i = 2^(e - 127) * kMxfp4Levels[code i] / 2
//     byte  0   1                                                      17
//           | e | qs[0] ... qs[15]                                     |
//     (OCP Microscaling Formats 1.0: E8M0 scale, E2M1 elements. e = 255 is NaN there and here.)
#pragma once

#include <cstdint>

namespace phial {

inline constexpr int kBookBlockValues = 32;

inline constexpr int8_t kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};
// Twice the numbers of E2M1, so that they are whole. Code 8 is -0, which decodes to 0 as in ggml.
inline constexpr int8_t kMxfp4Levels[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

struct BlockIQ4_NL {
  uint16_t d;  // f16
  uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18 && alignof(BlockIQ4_NL) == 2);

struct BlockIQ4_XS {
  uint16_t d;  // f16
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136 && alignof(BlockIQ4_XS) == 2);

struct BlockMXFP4 {
  uint8_t e;
  uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17 && alignof(BlockMXFP4) == 1);

// Decode `blocks` blocks at `codes` (unaligned): products that are exact in float32.
void decode_iq4_nl(const uint8_t* codes, int64_t blocks, float* out);
void decode_iq4_xs(const uint8_t* codes, int64_t blocks, float* out);
void decode_mxfp4(const uint8_t* codes, int64_t blocks, float* out);

// Half of 2^(e - 127), the scale of kMxfp4Levels; NaN for 255.
float mxfp4_scale(uint8_t e);

// mxfp4 is encoded as by ggml's reference (quantize_row_mxfp4_ref): the exponent of the largest
// magnitude, less 2. The others without the searches of ggml's quantizers: the value of largest
// magnitude of a group goes to level -127, every value to its nearest level, with the scales as
// they are stored.
void encode_iq4_nl(const float* values, int64_t blocks, uint8_t* codes);
void encode_iq4_xs(const float* values, int64_t blocks, uint8_t* codes);
void encode_mxfp4(const float* values, int64_t blocks, uint8_t* codes);

}  // namespace phial

#include "tensor/block_codebook.h"

#include <bit>
#include <limits>

#include "tensor/block_k.h"
#include "tensor/block_pack.h"
#include "tensor/block_walk.h"
#include "tensor/numbers.h"
#include "tensor/two_level.h"

namespace phial {
namespace {

constexpr int kValues = kBookBlockValues;
constexpr int kHalf = kValues / 2;
constexpr int kGroups = kSuperblockValues / kValues;

void decode_nibbles(const int8_t (&levels)[16], float scale, const uint8_t* qs, float* y) {
  for (int i = 0; i < kHalf; ++i) {
    y[i] = scale * static_cast<float>(levels[qs[i] & 15]);
    y[i + kHalf] = scale * static_cast<float>(levels[qs[i] >> 4]);
  }
}

// The code whose level times `scale` is nearest; the first of several.
int nearest_level(const int8_t (&levels)[16], float scale, float value) {
  int best = 0;
  float smallest = std::numeric_limits<float>::infinity();
  for (int code = 0; code < 16; ++code) {
    const float error = std::fabs(scale * static_cast<float>(levels[code]) - value);
    if (error < smallest) {
      smallest = error;
      best = code;
    }
  }
  return best;
}

void choose_levels(const int8_t (&levels)[16], float scale, const float* x, uint8_t* codes) {
  for (int i = 0; i < kValues; ++i) {
    codes[i] = static_cast<uint8_t>(nearest_level(levels, scale, x[i]));
  }
}

void pack_nibbles(const uint8_t* codes, uint8_t* qs) {
  for (int i = 0; i < kHalf; ++i) qs[i] = static_cast<uint8_t>(codes[i] | codes[i + kHalf] << 4);
}

int unpack_scale(const BlockIQ4_XS& block, int g) {
  return (block.scales_l[g / 2] >> g % 2 * 4 & 15) | (block.scales_h >> 2 * g & 3) << 4;
}

}  // namespace

float mxfp4_scale(uint8_t e) {
  if (e == 255) return std::numeric_limits<float>::quiet_NaN();
  // 2^-128 and 2^-127 are subnormal.
  return std::bit_cast<float>(e < 2 ? 0x200000u << e : static_cast<uint32_t>(e - 1) << 23);
}

void decode_iq4_nl(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockIQ4_NL>(codes, blocks, kValues, out, [](const BlockIQ4_NL& block, float* y) {
    decode_nibbles(kIq4Levels, f16_to_f32(block.d), block.qs, y);
  });
}

void decode_iq4_xs(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockIQ4_XS>(
      codes, blocks, kSuperblockValues, out, [](const BlockIQ4_XS& block, float* y) {
        const float d = f16_to_f32(block.d);
        for (int g = 0; g < kGroups; ++g) {
          const float scale = d * static_cast<float>(unpack_scale(block, g) - 32);
          decode_nibbles(kIq4Levels, scale, block.qs + g * kHalf, y + g * kValues);
        }
      });
}

void decode_mxfp4(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockMXFP4>(codes, blocks, kValues, out, [](const BlockMXFP4& block, float* y) {
    decode_nibbles(kMxfp4Levels, mxfp4_scale(block.e), block.qs, y);
  });
}

void pack(const BlockCodes& codes, BlockIQ4_NL& out) {
  out.d = codes.d;
  pack_nibbles(codes.codes, out.qs);
}

void pack(const BlockCodes& codes, BlockIQ4_XS& out) {
  out = {};
  out.d = codes.d;
  for (int g = 0; g < kGroups; ++g) {
    const int sc = codes.scales[g] + 32;
    uint8_t& low = out.scales_l[g / 2];
    low = static_cast<uint8_t>(low | (sc & 15) << g % 2 * 4);
    out.scales_h = static_cast<uint16_t>(out.scales_h | (sc >> 4) << 2 * g);
    pack_nibbles(codes.codes + g * kValues, out.qs + g * kHalf);
  }
}

void encode_iq4_nl(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockIQ4_NL>(
      values, blocks, kValues, codes, [](const float* x, BlockIQ4_NL& block) {
        BlockCodes out;
        out.d = f32_to_f16(largest_value(x, kValues) / static_cast<float>(kIq4Levels[0]));
        choose_levels(kIq4Levels, f16_to_f32(out.d), x, out.codes);
        pack(out, block);
      });
}

void encode_iq4_xs(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockIQ4_XS>(
      values, blocks, kSuperblockValues, codes, [](const float* x, BlockIQ4_XS& block) {
        float scales[kGroups];
        for (int g = 0; g < kGroups; ++g) {
          scales[g] = largest_value(x + g * kValues, kValues) / static_cast<float>(kIq4Levels[0]);
        }
        BlockCodes out;
        out.d = fit_scales(scales, kGroups, -32, 31, out.scales);
        for (int g = 0; g < kGroups; ++g) {
          const float scale = f16_to_f32(out.d) * static_cast<float>(out.scales[g]);
          choose_levels(kIq4Levels, scale, x + g * kValues, out.codes + g * kValues);
        }
        pack(out, block);
      });
}

void encode_mxfp4(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockMXFP4>(values, blocks, kValues, codes, [](const float* x, BlockMXFP4& block) {
    const float largest = std::fabs(largest_value(x, kValues));
    // In float32, as the reference does: just below a power of two the logarithm rounds up to it.
    const float exponent = largest > 0 ? std::floor(std::log2(largest)) - 2 + 127 : 0;
    block.e = static_cast<uint8_t>(std::max(exponent, 0.0f));
    uint8_t chosen[kValues];
    choose_levels(kMxfp4Levels, mxfp4_scale(block.e), x, chosen);
    pack_nibbles(chosen, block.qs);
  });
}

}  // namespace phial

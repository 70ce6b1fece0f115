#include "tensor/block_k.h"

#include "tensor/block_pack.h"
#include "tensor/block_walk.h"
#include "tensor/numbers.h"
#include "tensor/two_level.h"

namespace phial {
namespace {

constexpr int kValues = kSuperblockValues;

struct ScaleAndMinimum {
  int sc, m;
};

// Of group g of q4_k and q5_k.
ScaleAndMinimum unpack_6_bits(const uint8_t* scales, int g) {
  if (g < 4) return {scales[g] & 63, scales[g + 4] & 63};
  return {(scales[g + 4] & 15) | (scales[g - 4] >> 6) << 4, scales[g + 4] >> 4 | (scales[g] >> 6)
                                                                                     << 4};
}

void pack_6_bits(int g, ScaleAndMinimum group, uint8_t* scales) {
  const auto set = [&](int at, int bits) { scales[at] = static_cast<uint8_t>(scales[at] | bits); };
  if (g < 4) {
    set(g, group.sc);
    set(g + 4, group.m);
  } else {
    set(g + 4, (group.sc & 15) | (group.m & 15) << 4);
    set(g - 4, group.sc >> 4 << 6);
    set(g, group.m >> 4 << 6);
  }
}

// The scale of group g of q3_k, 0 to 63.
int unpack_q3_scale(const uint8_t* scales, int g) {
  const int low = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4;
  return low | (scales[8 + g % 4] >> 2 * (g / 4) & 3) << 4;
}

void pack_q3_scale(int g, int scale, uint8_t* scales) {
  uint8_t& low = scales[g % 8];
  low = static_cast<uint8_t>(low | (scale & 15) << (g < 8 ? 0 : 4));
  uint8_t& high = scales[8 + g % 4];
  high = static_cast<uint8_t>(high | (scale >> 4) << 2 * (g / 4));
}

// Where value i of a superblock has its 2 bits in q2_k and q3_k.
constexpr int two_bit_byte(int i) { return i / 128 * 32 + i % 32; }
constexpr int two_bit_shift(int i) { return i % 128 / 32 * 2; }
// Where it has its nibble in q4_k and q5_k, and in q6_k.
constexpr int nibble_byte(int i) { return i / 64 * 32 + i % 32; }
constexpr int nibble_shift(int i) { return i % 64 / 32 * 4; }
constexpr int q6_byte(int i) { return i / 128 * 64 + i % 64; }
constexpr int q6_shift(int i) { return i % 128 / 64 * 4; }

void put(uint8_t* bytes, int at, int code, int shift) {
  bytes[at] = static_cast<uint8_t>(bytes[at] | code << shift);
}

// y = d * sc * code - dmin * m over groups of kGroup values.
template <int kGroup, class Group, class Code>
void decode_with_minimums(float d, float dmin, const Group& group_of, const Code& code_of,
                          float* y) {
  for (int g = 0; g < kValues / kGroup; ++g) {
    const ScaleAndMinimum group = group_of(g);
    const float scale = d * static_cast<float>(group.sc);
    const float minimum = dmin * static_cast<float>(group.m);
    for (int i = g * kGroup; i < (g + 1) * kGroup; ++i) {
      y[i] = scale * static_cast<float>(code_of(i)) - minimum;
    }
  }
}

template <int kGroup>
BlockCodes encode_with_minimums(const float* x, int top_scale, int top_code) {
  constexpr int kGroups = kValues / kGroup;
  float scales[kGroups], minimums[kGroups];
  for (int g = 0; g < kGroups; ++g) {
    const float* group = x + g * kGroup;
    const float low = std::min(0.0f, *std::min_element(group, group + kGroup));
    const float high = std::max(low, *std::max_element(group, group + kGroup));
    scales[g] = (high - low) / static_cast<float>(top_code);
    minimums[g] = -low;
  }
  BlockCodes out;
  out.d = fit_scales(scales, kGroups, 0, top_scale, out.scales);
  out.m = fit_scales(minimums, kGroups, 0, top_scale, out.minimums);
  for (int g = 0; g < kGroups; ++g) {
    const float minimum = f16_to_f32(out.m) * static_cast<float>(out.minimums[g]);
    const float inverse = reciprocal(f16_to_f32(out.d) * static_cast<float>(out.scales[g]));
    for (int i = g * kGroup; i < (g + 1) * kGroup; ++i) {
      out.codes[i] = static_cast<uint8_t>(nearest_code((x[i] + minimum) * inverse, 0, top_code));
    }
  }
  return out;
}

// Groups of 16 without minimums; codes stand for [-zero, zero - 1].
BlockCodes encode_signed(const float* x, int lowest_scale, int zero) {
  constexpr int kGroup = 16, kGroups = kValues / kGroup;
  float scales[kGroups];
  for (int g = 0; g < kGroups; ++g) {
    scales[g] = largest_value(x + g * kGroup, kGroup) / static_cast<float>(-zero);
  }
  BlockCodes out;
  out.d = fit_scales(scales, kGroups, lowest_scale, -lowest_scale - 1, out.scales);
  for (int g = 0; g < kGroups; ++g) {
    const float inverse = reciprocal(f16_to_f32(out.d) * static_cast<float>(out.scales[g]));
    for (int i = g * kGroup; i < (g + 1) * kGroup; ++i) {
      out.codes[i] = static_cast<uint8_t>(nearest_code(x[i] * inverse, -zero, zero - 1) + zero);
    }
  }
  return out;
}

}  // namespace

void decode_q2_k(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ2_K>(codes, blocks, kValues, out, [](const BlockQ2_K& block, float* y) {
    decode_with_minimums<16>(
        f16_to_f32(block.d), f16_to_f32(block.dmin),
        [&](int g) {
          return ScaleAndMinimum{block.scales[g] & 15, block.scales[g] >> 4};
        },
        [&](int i) { return block.qs[two_bit_byte(i)] >> two_bit_shift(i) & 3; }, y);
  });
}

void decode_q3_k(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ3_K>(codes, blocks, kValues, out, [](const BlockQ3_K& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kValues; ++i) {
      const float scale = d * static_cast<float>(unpack_q3_scale(block.scales, i / 16) - 32);
      const int low = block.qs[two_bit_byte(i)] >> two_bit_shift(i) & 3;
      const int code = low | (block.hmask[i % 32] >> i / 32 & 1) << 2;
      y[i] = scale * static_cast<float>(code - 4);
    }
  });
}

void decode_q4_k(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ4_K>(codes, blocks, kValues, out, [](const BlockQ4_K& block, float* y) {
    decode_with_minimums<32>(
        f16_to_f32(block.d), f16_to_f32(block.dmin),
        [&](int g) { return unpack_6_bits(block.scales, g); },
        [&](int i) { return block.qs[nibble_byte(i)] >> nibble_shift(i) & 15; }, y);
  });
}

void decode_q5_k(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ5_K>(codes, blocks, kValues, out, [](const BlockQ5_K& block, float* y) {
    decode_with_minimums<32>(
        f16_to_f32(block.d), f16_to_f32(block.dmin),
        [&](int g) { return unpack_6_bits(block.scales, g); },
        [&](int i) {
          return (block.qs[nibble_byte(i)] >> nibble_shift(i) & 15) |
                 (block.qh[i % 32] >> i / 32 & 1) << 4;
        },
        y);
  });
}

void decode_q6_k(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ6_K>(codes, blocks, kValues, out, [](const BlockQ6_K& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kValues; ++i) {
      const float scale = d * static_cast<float>(block.scales[i / 16]);
      const int low = block.ql[q6_byte(i)] >> q6_shift(i) & 15;
      const int code = low | (block.qh[two_bit_byte(i)] >> two_bit_shift(i) & 3) << 4;
      y[i] = scale * static_cast<float>(code - 32);
    }
  });
}

void decode_q8_k(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ8_K>(codes, blocks, kValues, out, [](const BlockQ8_K& block, float* y) {
    for (int i = 0; i < kValues; ++i) y[i] = block.d * static_cast<float>(block.qs[i]);
  });
}

void pack(const BlockCodes& codes, BlockQ2_K& out) {
  out = {};
  out.d = codes.d;
  out.dmin = codes.m;
  for (int g = 0; g < 16; ++g) put(out.scales, g, codes.scales[g] | codes.minimums[g] << 4, 0);
  for (int i = 0; i < kValues; ++i) put(out.qs, two_bit_byte(i), codes.codes[i], two_bit_shift(i));
}

void pack(const BlockCodes& codes, BlockQ3_K& out) {
  out = {};
  out.d = codes.d;
  for (int g = 0; g < 16; ++g) pack_q3_scale(g, codes.scales[g] + 32, out.scales);
  for (int i = 0; i < kValues; ++i) {
    put(out.qs, two_bit_byte(i), codes.codes[i] & 3, two_bit_shift(i));
    put(out.hmask, i % 32, codes.codes[i] >> 2, i / 32);
  }
}

void pack(const BlockCodes& codes, BlockQ4_K& out) {
  out = {};
  out.d = codes.d;
  out.dmin = codes.m;
  for (int g = 0; g < 8; ++g) pack_6_bits(g, {codes.scales[g], codes.minimums[g]}, out.scales);
  for (int i = 0; i < kValues; ++i) put(out.qs, nibble_byte(i), codes.codes[i], nibble_shift(i));
}

void pack(const BlockCodes& codes, BlockQ5_K& out) {
  out = {};
  out.d = codes.d;
  out.dmin = codes.m;
  for (int g = 0; g < 8; ++g) pack_6_bits(g, {codes.scales[g], codes.minimums[g]}, out.scales);
  for (int i = 0; i < kValues; ++i) {
    put(out.qs, nibble_byte(i), codes.codes[i] & 15, nibble_shift(i));
    put(out.qh, i % 32, codes.codes[i] >> 4, i / 32);
  }
}

void pack(const BlockCodes& codes, BlockQ6_K& out) {
  out = {};
  out.d = codes.d;
  for (int g = 0; g < 16; ++g) out.scales[g] = static_cast<int8_t>(codes.scales[g]);
  for (int i = 0; i < kValues; ++i) {
    put(out.ql, q6_byte(i), codes.codes[i] & 15, q6_shift(i));
    put(out.qh, two_bit_byte(i), codes.codes[i] >> 4, two_bit_shift(i));
  }
}

void encode_q2_k(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ2_K>(values, blocks, kValues, codes, [](const float* x, BlockQ2_K& block) {
    pack(encode_with_minimums<16>(x, 15, 3), block);
  });
}

void encode_q3_k(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ3_K>(values, blocks, kValues, codes, [](const float* x, BlockQ3_K& block) {
    pack(encode_signed(x, -32, 4), block);
  });
}

void encode_q4_k(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ4_K>(values, blocks, kValues, codes, [](const float* x, BlockQ4_K& block) {
    pack(encode_with_minimums<32>(x, 63, 15), block);
  });
}

void encode_q5_k(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ5_K>(values, blocks, kValues, codes, [](const float* x, BlockQ5_K& block) {
    pack(encode_with_minimums<32>(x, 63, 31), block);
  });
}

void encode_q6_k(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ6_K>(values, blocks, kValues, codes, [](const float* x, BlockQ6_K& block) {
    pack(encode_signed(x, -128, 32), block);
  });
}

void encode_q8_k(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ8_K>(values, blocks, kValues, codes, [](const float* x, BlockQ8_K& block) {
    block.d = largest_value(x, kValues) / -127.0f;
    const float inverse = reciprocal(block.d);
    for (int i = 0; i < kValues; ++i) {
      block.qs[i] = static_cast<int8_t>(nearest_code(x[i] * inverse, -127, 127));
      block.bsums[i / 16] = static_cast<int16_t>(block.bsums[i / 16] + block.qs[i]);
    }
  });
}

}  // namespace phial

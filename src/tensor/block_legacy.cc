#include "tensor/block_legacy.h"

#include "tensor/block_pack.h"
#include "tensor/block_walk.h"
#include "tensor/numbers.h"

namespace phial {
namespace {

constexpr int kValues = kLegacyBlockValues;
constexpr int kHalf = kValues / 2;

// Codes i and i + 16 from their nibbles and fifth bits.
struct CodePair {
  int low, high;
};
CodePair nibbles(uint8_t byte) { return {byte & 15, byte >> 4}; }
CodePair five_bits(uint8_t byte, uint32_t qh, int i) {
  return {(byte & 15) | static_cast<int>(qh >> i & 1) << 4,
          byte >> 4 | static_cast<int>(qh >> (i + kHalf) & 1) << 4};
}

// What is packed into one block, without the room that BlockCodes has for superblocks.
struct LegacyCodes {
  uint16_t d = 0, m = 0;
  uint8_t codes[kValues];
};

// A scale and 32 codes that stand for d * (code - zero): the value of largest magnitude becomes
// code 0. The sum of code and zero is rounded by cutting, as the reference does.
LegacyCodes encode_signed(const float* values, int zero) {
  LegacyCodes out;
  const float d = largest_value(values, kValues) / static_cast<float>(-zero);
  const float inverse = reciprocal(d);
  for (int i = 0; i < kValues; ++i) {
    const float shifted = values[i] * inverse + (static_cast<float>(zero) + 0.5f);
    out.codes[i] = static_cast<uint8_t>(std::min(2 * zero - 1, static_cast<int>(shifted)));
  }
  out.d = f32_to_f16(d);
  return out;
}

// d, m and 32 codes in [0, top] that stand for d * code + m.
LegacyCodes encode_range(const float* values, int top) {
  LegacyCodes out;
  const Range range = range_of(values, kValues);
  const float d = (range.high - range.low) / static_cast<float>(top);
  const float inverse = reciprocal(d);
  for (int i = 0; i < kValues; ++i) {
    const int code = std::min(top, static_cast<int>((values[i] - range.low) * inverse + 0.5f));
    out.codes[i] = static_cast<uint8_t>(code);
  }
  out.d = f32_to_f16(d);
  out.m = f32_to_f16(range.low);
  return out;
}

void pack_nibbles(const uint8_t* codes, uint8_t* qs) {
  for (int i = 0; i < kHalf; ++i) {
    qs[i] = static_cast<uint8_t>((codes[i] & 15) | codes[i + kHalf] << 4);
  }
}
void pack_fifths(const uint8_t* codes, uint8_t* qh) {
  uint32_t bits = 0;
  for (int i = 0; i < kValues; ++i) bits |= static_cast<uint32_t>(codes[i] >> 4) << i;
  store_number<uint32_t>(bits, qh);
}

// `codes` is BlockCodes or LegacyCodes.
template <class Codes>
void pack_codes(const Codes& codes, BlockQ4_0& out) {
  out.d = codes.d;
  pack_nibbles(codes.codes, out.qs);
}
template <class Codes>
void pack_codes(const Codes& codes, BlockQ4_1& out) {
  out.d = codes.d;
  out.m = codes.m;
  pack_nibbles(codes.codes, out.qs);
}
template <class Codes>
void pack_codes(const Codes& codes, BlockQ5_0& out) {
  out.d = codes.d;
  pack_fifths(codes.codes, out.qh);
  pack_nibbles(codes.codes, out.qs);
}
template <class Codes>
void pack_codes(const Codes& codes, BlockQ5_1& out) {
  out.d = codes.d;
  out.m = codes.m;
  pack_fifths(codes.codes, out.qh);
  pack_nibbles(codes.codes, out.qs);
}
template <class Codes>
void pack_codes(const Codes& codes, BlockQ8_0& out) {
  out.d = codes.d;
  std::memcpy(out.qs, codes.codes, sizeof(out.qs));
}

}  // namespace

void decode_q4_0(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ4_0>(codes, blocks, kValues, out, [](const BlockQ4_0& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kHalf; ++i) {
      const CodePair code = nibbles(block.qs[i]);
      y[i] = d * static_cast<float>(code.low - 8);
      y[i + kHalf] = d * static_cast<float>(code.high - 8);
    }
  });
}

void decode_q4_1(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ4_1>(codes, blocks, kValues, out, [](const BlockQ4_1& block, float* y) {
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    for (int i = 0; i < kHalf; ++i) {
      const CodePair code = nibbles(block.qs[i]);
      y[i] = d * static_cast<float>(code.low) + m;
      y[i + kHalf] = d * static_cast<float>(code.high) + m;
    }
  });
}

void decode_q5_0(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ5_0>(codes, blocks, kValues, out, [](const BlockQ5_0& block, float* y) {
    const float d = f16_to_f32(block.d);
    const uint32_t qh = load_number<uint32_t>(block.qh);
    for (int i = 0; i < kHalf; ++i) {
      const CodePair code = five_bits(block.qs[i], qh, i);
      y[i] = d * static_cast<float>(code.low - 16);
      y[i + kHalf] = d * static_cast<float>(code.high - 16);
    }
  });
}

void decode_q5_1(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ5_1>(codes, blocks, kValues, out, [](const BlockQ5_1& block, float* y) {
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    const uint32_t qh = load_number<uint32_t>(block.qh);
    for (int i = 0; i < kHalf; ++i) {
      const CodePair code = five_bits(block.qs[i], qh, i);
      y[i] = d * static_cast<float>(code.low) + m;
      y[i + kHalf] = d * static_cast<float>(code.high) + m;
    }
  });
}

void decode_q8_0(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockQ8_0>(codes, blocks, kValues, out, [](const BlockQ8_0& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kValues; ++i) y[i] = d * static_cast<float>(block.qs[i]);
  });
}

void pack(const BlockCodes& codes, BlockQ4_0& out) { pack_codes(codes, out); }
void pack(const BlockCodes& codes, BlockQ4_1& out) { pack_codes(codes, out); }
void pack(const BlockCodes& codes, BlockQ5_0& out) { pack_codes(codes, out); }
void pack(const BlockCodes& codes, BlockQ5_1& out) { pack_codes(codes, out); }
void pack(const BlockCodes& codes, BlockQ8_0& out) { pack_codes(codes, out); }

void encode_q4_0(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ4_0>(values, blocks, kValues, codes, [](const float* x, BlockQ4_0& block) {
    pack_codes(encode_signed(x, 8), block);
  });
}

void encode_q4_1(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ4_1>(values, blocks, kValues, codes, [](const float* x, BlockQ4_1& block) {
    pack_codes(encode_range(x, 15), block);
  });
}

void encode_q5_0(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ5_0>(values, blocks, kValues, codes, [](const float* x, BlockQ5_0& block) {
    pack_codes(encode_signed(x, 16), block);
  });
}

void encode_q5_1(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ5_1>(values, blocks, kValues, codes, [](const float* x, BlockQ5_1& block) {
    pack_codes(encode_range(x, 31), block);
  });
}

void encode_q8_0(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ8_0>(values, blocks, kValues, codes, [](const float* x, BlockQ8_0& block) {
    LegacyCodes out;
    const float d = std::fabs(largest_value(x, kValues)) / 127.0f;
    const float inverse = reciprocal(d);
    for (int i = 0; i < kValues; ++i) {
      out.codes[i] = static_cast<uint8_t>(rounded_away(x[i] * inverse));
    }
    out.d = f32_to_f16(d);
    pack_codes(out, block);
  });
}

}  // namespace phial

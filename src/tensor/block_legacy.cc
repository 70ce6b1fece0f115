#include "tensor/block_legacy.h"

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

// A scale and 32 codes that stand for d * (code - zero): the value of largest magnitude becomes
// code 0. The sum of code and zero is rounded by cutting, as the reference does.
template <class Put>
float encode_signed(const float* values, int zero, const Put& put) {
  const float d = largest_value(values, kValues) / static_cast<float>(-zero);
  const float inverse = reciprocal(d);
  for (int i = 0; i < kValues; ++i) {
    const float shifted = values[i] * inverse + (static_cast<float>(zero) + 0.5f);
    put(i, std::min(2 * zero - 1, static_cast<int>(shifted)));
  }
  return d;
}

struct ScaleAndMinimum {
  float d, m;
};
// d, m and 32 codes in [0, top] that stand for d * code + m.
template <class Put>
ScaleAndMinimum encode_range(const float* values, int top, const Put& put) {
  const float low = *std::min_element(values, values + kValues);
  const float high = *std::max_element(values, values + kValues);
  const float d = (high - low) / static_cast<float>(top);
  const float inverse = reciprocal(d);
  for (int i = 0; i < kValues; ++i) {
    put(i, std::min(top, static_cast<int>((values[i] - low) * inverse + 0.5f)));
  }
  return {d, low};
}

void put_nibble(uint8_t* qs, int i, int code) {
  qs[i % kHalf] = static_cast<uint8_t>(qs[i % kHalf] | (code & 15) << (i < kHalf ? 0 : 4));
}
void put_fifth(uint8_t* qh, int i, int code) {
  qh[i / 8] = static_cast<uint8_t>(qh[i / 8] | (code >> 4) << i % 8);
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

void encode_q4_0(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ4_0>(values, blocks, kValues, codes, [](const float* x, BlockQ4_0& block) {
    block.d =
        f32_to_f16(encode_signed(x, 8, [&](int i, int code) { put_nibble(block.qs, i, code); }));
  });
}

void encode_q4_1(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ4_1>(values, blocks, kValues, codes, [](const float* x, BlockQ4_1& block) {
    const auto [d, m] =
        encode_range(x, 15, [&](int i, int code) { put_nibble(block.qs, i, code); });
    block.d = f32_to_f16(d);
    block.m = f32_to_f16(m);
  });
}

void encode_q5_0(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ5_0>(values, blocks, kValues, codes, [](const float* x, BlockQ5_0& block) {
    block.d = f32_to_f16(encode_signed(x, 16, [&](int i, int code) {
      put_nibble(block.qs, i, code);
      put_fifth(block.qh, i, code);
    }));
  });
}

void encode_q5_1(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ5_1>(values, blocks, kValues, codes, [](const float* x, BlockQ5_1& block) {
    const auto [d, m] = encode_range(x, 31, [&](int i, int code) {
      put_nibble(block.qs, i, code);
      put_fifth(block.qh, i, code);
    });
    block.d = f32_to_f16(d);
    block.m = f32_to_f16(m);
  });
}

void encode_q8_0(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockQ8_0>(values, blocks, kValues, codes, [](const float* x, BlockQ8_0& block) {
    const float d = std::fabs(largest_value(x, kValues)) / 127.0f;
    const float inverse = reciprocal(d);
    for (int i = 0; i < kValues; ++i) {
      block.qs[i] = static_cast<int8_t>(std::round(x[i] * inverse));
    }
    block.d = f32_to_f16(d);
  });
}

}  // namespace phial

#include "tensor/block_ternary.h"

#include "tensor/block_k.h"
#include "tensor/block_walk.h"
#include "tensor/numbers.h"

namespace phial {
namespace {

constexpr int kValues = kSuperblockValues;
constexpr int kPowers[5] = {1, 3, 9, 27, 81};

// A run of tq1_0: `bytes` bytes that hold `trits` values each, value n * bytes + l in byte l.
struct Run {
  int first_value, bytes, trits;
};
constexpr Run kRuns[3] = {{0, 32, 5}, {160, 16, 5}, {240, 4, 4}};

// Calls at(value, byte, n) for every value: trit n of byte `byte` of the block.
template <class At>
void each_trit(const At& at) {
  int first_byte = 0;
  for (const Run& run : kRuns) {
    for (int n = 0; n < run.trits; ++n) {
      for (int l = 0; l < run.bytes; ++l)
        at(run.first_value + n * run.bytes + l, first_byte + l, n);
    }
    first_byte += run.bytes;
  }
}

// Trits (0, 1, 2) of `count` values and their scale, the largest magnitude.
float to_trits(const float* x, int count, int* trits) {
  const float d = std::fabs(largest_value(x, count));
  const float inverse = reciprocal(d);
  for (int i = 0; i < count; ++i) trits[i] = static_cast<int>(std::round(x[i] * inverse)) + 1;
  return d;
}

}  // namespace

void decode_tq1_0(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockTQ1_0>(codes, blocks, kValues, out, [](const BlockTQ1_0& block, float* y) {
    const float d = f16_to_f32(block.d);
    each_trit([&](int i, int byte, int n) {
      const int packed = byte < 48 ? block.qs[byte] : block.qh[byte - 48];
      const int trit = (packed * kPowers[n] & 255) * 3 >> 8;
      y[i] = d * static_cast<float>(trit - 1);
    });
  });
}

void decode_tq2_0(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockTQ2_0>(codes, blocks, kValues, out, [](const BlockTQ2_0& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kValues; ++i) {
      const int trit = block.qs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
      y[i] = d * static_cast<float>(trit - 1);
    }
  });
}

void encode_tq1_0(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockTQ1_0>(values, blocks, kValues, codes, [](const float* x, BlockTQ1_0& block) {
    int trits[kValues];
    block.d = f32_to_f16(to_trits(x, kValues, trits));
    int packed[52] = {};
    each_trit([&](int i, int byte, int n) { packed[byte] += trits[i] * kPowers[4 - n]; });
    for (int byte = 0; byte < 52; ++byte) {
      uint8_t& at = byte < 48 ? block.qs[byte] : block.qh[byte - 48];
      at = static_cast<uint8_t>((packed[byte] * 256 + 242) / 243);
    }
  });
}

void encode_tq2_0(const float* values, int64_t blocks, uint8_t* codes) {
  encode_blocks<BlockTQ2_0>(values, blocks, kValues, codes, [](const float* x, BlockTQ2_0& block) {
    int trits[kValues];
    block.d = f32_to_f16(to_trits(x, kValues, trits));
    for (int i = 0; i < kValues; ++i) {
      uint8_t& byte = block.qs[i / 128 * 32 + i % 32];
      byte = static_cast<uint8_t>(byte | trits[i] << i % 128 / 32 * 2);
    }
  });
}

}  // namespace phial

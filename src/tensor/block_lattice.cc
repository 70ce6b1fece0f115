#include "tensor/block_lattice.h"

#include <array>
#include <bit>

#include "tensor/block_k.h"
#include "tensor/block_walk.h"
#include "tensor/numbers.h"

namespace phial {
namespace {

#include "tensor/lattice_points.inl"

constexpr int kValues = kSuperblockValues;

// Points of a codebook, by number.
template <int kCoordinates, int kPoints>
using Book = std::array<std::array<int8_t, kCoordinates>, kPoints>;

// `points` has a bit for each point of the lattice; `levels` are what a coordinate can be.
template <int kCoordinates, int kPoints, size_t kWords, size_t kLevels>
constexpr Book<kCoordinates, kPoints> make_book(const uint64_t (&points)[kWords],
                                                const int8_t (&levels)[kLevels]) {
  Book<kCoordinates, kPoints> book = {};
  size_t next = 0;
  for (size_t word = 0; word < kWords; ++word) {
    for (uint64_t left = points[word]; left != 0; left &= left - 1) {
      size_t number = word * 64 + static_cast<size_t>(std::countr_zero(left));
      for (int8_t& coordinate : book[next]) {
        coordinate = levels[number % kLevels];
        number /= kLevels;
      }
      ++next;
    }
  }
  return book;
}

template <size_t kWords>
constexpr int count_points(const uint64_t (&points)[kWords]) {
  int count = 0;
  for (const uint64_t word : points) count += std::popcount(word);
  return count;
}

constexpr int8_t kIq1Levels[] = {-1, 0, 1};
constexpr int8_t kIq2Levels[] = {8, 25, 43};
constexpr int8_t kIq3XxsLevels[] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr int8_t kIq3SLevels[] = {1, 3, 5, 7, 9, 11, 13, 15};

static_assert(count_points(kIq1Points) == 2048 && count_points(kIq2XxsPoints) == 256 &&
              count_points(kIq2XsPoints) == 512 && count_points(kIq2SPoints) == 1024 &&
              count_points(kIq3XxsPoints) == 256 && count_points(kIq3SPoints) == 512);

constexpr auto kIq1Book = make_book<8, 2048>(kIq1Points, kIq1Levels);
constexpr auto kIq2XxsBook = make_book<8, 256>(kIq2XxsPoints, kIq2Levels);
constexpr auto kIq2XsBook = make_book<8, 512>(kIq2XsPoints, kIq2Levels);
constexpr auto kIq2SBook = make_book<8, 1024>(kIq2SPoints, kIq2Levels);
constexpr auto kIq3XxsBook = make_book<4, 256>(kIq3XxsPoints, kIq3XxsLevels);
constexpr auto kIq3SBook = make_book<4, 512>(kIq3SPoints, kIq3SLevels);

// All 8 signs of signs7.
constexpr std::array<uint8_t, 128> kEightSigns = [] {
  std::array<uint8_t, 128> table = {};
  for (uint32_t i = 0; i < 128; ++i) {
    table[i] = static_cast<uint8_t>(i | static_cast<uint32_t>(std::popcount(i) & 1) << 7);
  }
  return table;
}();
uint32_t with_eighth(uint32_t signs) { return kEightSigns[signs & 127u]; }

// 1 and -1 for four sign bits: to multiply costs less than branches that nothing predicts.
constexpr std::array<std::array<float, 4>, 16> kSigns = [] {
  std::array<std::array<float, 4>, 16> table = {};
  for (size_t bits = 0; bits < 16; ++bits) {
    for (size_t i = 0; i < 4; ++i) table[bits][i] = bits >> i & 1 ? -1.0f : 1.0f;
  }
  return table;
}();

// y[i] = scale * point[i], negative where bit i of `signs` is set.
template <size_t kCoordinates>
void put_point(float scale, const std::array<int8_t, kCoordinates>& point, uint32_t signs,
               float* y) {
  for (size_t from = 0; from < kCoordinates; from += 4) {
    const std::array<float, 4>& sign = kSigns[signs >> from & 15];
    for (size_t i = 0; i < 4; ++i) {
      y[from + i] = scale * static_cast<float>(point[from + i]) * sign[i];
    }
  }
}

// y[i] = scale * (point[i] + delta)
void put_shifted(float scale, int point, bool minus, float* y) {
  const float delta = minus ? -0.125f : 0.125f;
  for (size_t i = 0; i < 8; ++i) {
    y[i] = scale * (static_cast<float>(kIq1Book[static_cast<size_t>(point)][i]) + delta);
  }
}

int nibble(const uint8_t* bytes, int i) { return bytes[i / 2] >> i % 2 * 4 & 15; }

// d * (sc + 1/2) * part: exact.
float half_scale(float d, int sc, float part) { return d * (0.5f + static_cast<float>(sc)) * part; }

}  // namespace

void decode_iq1_s(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockIQ1_S>(codes, blocks, kValues, out, [](const BlockIQ1_S& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 32; ++j) {
      const int qh = block.qh[j / 4];
      const float scale = d * static_cast<float>(2 * (qh >> 12 & 7) + 1);
      const int point = block.qs[j] | (qh >> 3 * (j % 4) & 7) << 8;
      put_shifted(scale, point, (qh & 0x8000) != 0, y + 8 * j);
    }
  });
}

void decode_iq1_m(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockIQ1_M>(codes, blocks, kValues, out, [](const BlockIQ1_M& block, float* y) {
    uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits |= static_cast<uint32_t>(block.scales[i] >> 12) << 4 * i;
    const float d = f16_to_f32(static_cast<uint16_t>(bits));
    for (int j = 0; j < 32; ++j) {
      const int group = j / 2;
      const int sc = block.scales[group / 4] >> 3 * (group % 4) & 7;
      const int qh = nibble(block.qh, j);
      const int point = block.qs[j] | (qh & 7) << 8;
      put_shifted(d * static_cast<float>(2 * sc + 1), point, (qh & 8) != 0, y + 8 * j);
    }
  });
}

void decode_iq2_xxs(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockIQ2_XXS>(codes, blocks, kValues, out, [](const BlockIQ2_XXS& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int g = 0; g < 8; ++g) {
      const uint32_t word = load_number<uint32_t>(block.groups[g] + 4);
      const float scale = half_scale(d, static_cast<int>(word >> 28), 0.25f);
      for (int j = 0; j < 4; ++j) {
        put_point(scale, kIq2XxsBook[block.groups[g][j]], with_eighth(word >> 7 * j),
                  y + 32 * g + 8 * j);
      }
    }
  });
}

void decode_iq2_xs(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockIQ2_XS>(codes, blocks, kValues, out, [](const BlockIQ2_XS& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 32; ++j) {
      const float scale = half_scale(d, nibble(block.scales, j / 2), 0.25f);
      put_point(scale, kIq2XsBook[block.qs[j] & 511u], with_eighth(block.qs[j] >> 9), y + 8 * j);
    }
  });
}

void decode_iq2_s(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockIQ2_S>(codes, blocks, kValues, out, [](const BlockIQ2_S& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 32; ++j) {
      const float scale = half_scale(d, nibble(block.scales, j / 2), 0.25f);
      const auto point =
          static_cast<size_t>(block.qs[j] | (block.qh[j / 4] >> 2 * (j % 4) & 3) << 8);
      put_point(scale, kIq2SBook[point], block.signs[j], y + 8 * j);
    }
  });
}

void decode_iq3_xxs(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockIQ3_XXS>(codes, blocks, kValues, out, [](const BlockIQ3_XXS& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int g = 0; g < 8; ++g) {
      const uint32_t word = load_number<uint32_t>(block.groups[g]);
      const float scale = half_scale(d, static_cast<int>(word >> 28), 0.5f);
      for (int j = 0; j < 8; ++j) {
        const uint32_t signs = with_eighth(word >> 7 * (j / 2)) >> 4 * (j % 2);
        put_point(scale, kIq3XxsBook[block.qs[8 * g + j]], signs, y + 32 * g + 4 * j);
      }
    }
  });
}

void decode_iq3_s(const uint8_t* codes, int64_t blocks, float* out) {
  decode_blocks<BlockIQ3_S>(codes, blocks, kValues, out, [](const BlockIQ3_S& block, float* y) {
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 64; ++j) {
      const float scale = d * static_cast<float>(2 * nibble(block.scales, j / 8) + 1);
      const auto point = static_cast<size_t>(block.qs[j] | (block.qh[j / 8] >> j % 8 & 1) << 8);
      put_point(scale, kIq3SBook[point], static_cast<uint32_t>(block.signs[j / 2]) >> 4 * (j % 2),
                y + 4 * j);
    }
  });
}

}  // namespace phial

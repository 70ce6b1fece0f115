#include "tensor/affine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "tensor/planes.h"
#include "tensor/test_affine.h"
#include "tensor/view.h"

namespace phial {
namespace {

using test::AffinePlanes;

// MLX's own words for 64 floats in groups of 32, computed with MLX's formula and compared with its
// C++ source: the first group has bias 2.4375 at every width.
TEST(Affine, EncodesAsMlxDoes) {
  struct Case {
    int bits;
    float scale;
    std::vector<uint32_t> words;
  };
  const Case cases[] = {
      {2, -1.21875f, {0x789de277, 0x27789d26}},
      {3, -0.609375f, {0x6accc55e, 0x310d5988, 0x10d599ab}},
      {4, -0.270833343f, {0xe81a4c6f, 0x5d7193c5, 0xa4c6092b, 0x193c6e82}},
      {5, -0.128289476f, {0x075469bf, 0x199b0bec, 0x48b7571e}},
      {6, -0.0625f, {0xab4356bf, 0xdc97f211}},
      {8, -0.015427215f, {0x41d769ff, 0xf38618ae}},
  };
  std::vector<float> values(64);
  for (int i = 0; i < 64; ++i) {
    values[static_cast<size_t>(i)] = static_cast<float>(i * 37 % 64 - 24) / 16.0f;
  }
  for (const Case& c : cases) {
    const AffineGrid grid{.bits = c.bits, .scale = ScaleKind::f32, .offset = OffsetKind::minimum};
    AffinePlanes planes(grid, 1, 64);
    planes.encode_row(0, values.data());
    EXPECT_EQ(load_number<float>(planes.scales.data()), c.scale) << c.bits;
    EXPECT_EQ(load_number<float>(planes.offsets.data()), 2.4375f) << c.bits;
    for (size_t i = 0; i < c.words.size(); ++i) {
      EXPECT_EQ(load_number<uint32_t>(planes.codes.data() + 4 * i), c.words[i]) << c.bits;
    }
  }
}

TEST(Affine, MlxKeepsZerosAndConstants) {
  const AffineGrid grid{.bits = 4, .scale = ScaleKind::f32, .offset = OffsetKind::minimum};
  AffinePlanes planes(grid, 1, 64);
  std::vector<float> values(64, 0.0f);
  std::fill(values.begin() + 32, values.end(), 0.5f);
  planes.encode_row(0, values.data());
  EXPECT_EQ(planes.decode_row(0), values);
  EXPECT_EQ(load_number<float>(planes.offsets.data() + 4), 0.5f);
}

// The words and the scale that mlx 0.32.4 gives for these: ties go towards 0, zeros have
// no sign.
TEST(Affine, EncodesMxfp4AsMlxDoes) {
  const AffineGrid grid{
      .codes = CodeKind::f4_e2m1, .bits = 4, .scale = ScaleKind::e8m0, .offset = OffsetKind::none};
  std::vector<float> values(64, 0.0f);
  const float ties[] = {-0.0f, 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, -0.25f};
  std::copy(std::begin(ties), std::end(ties), values.begin());
  values[31] = -6.0f;
  AffinePlanes planes(grid, 1, 64);
  planes.encode_row(0, values.data());
  EXPECT_EQ(planes.scales, (std::vector<uint8_t>{127, 127}));
  EXPECT_EQ(load_number<uint32_t>(planes.codes.data()), 0x65432100u);
  EXPECT_EQ(planes.codes[15], 0xf0);
  EXPECT_EQ(planes.decode_row(0)[31], -6.0f);
  EXPECT_EQ(planes.decode_row(0)[7], 4.0f);
}

// 448 * 2^e holds the largest value, 2^(e - 1) would not.
TEST(Affine, ScalesOfPowersOfTwoHoldTheLargestValue) {
  for (const CodeKind codes : {CodeKind::f4_e2m1, CodeKind::f8_e4m3}) {
    const bool f4 = codes == CodeKind::f4_e2m1;
    const float top = f4 ? 6.0f : 448.0f;
    const AffineGrid grid{.codes = codes, .bits = f4 ? 4 : 8, .scale = ScaleKind::e8m0};
    for (const auto& [largest, exponent] :
         {std::pair(top / 8, 124), {top / 8 * 1.01f, 125}, {top, 127}}) {
      AffinePlanes planes(grid, 1, 32);
      std::vector<float> values(32, 0.0f);
      values[3] = -largest;
      planes.encode_row(0, values.data());
      EXPECT_EQ(planes.scales[0], exponent) << largest;
    }
  }
}

// MatMulNBits: w = (q - zero) * scale, in nibbles with the even column low; a scale may be
// negative.
TEST(Affine, DecodesMatMulNBits) {
  const std::vector<uint8_t> codes = {0x80, 0xf9, 0x10, 0x32};
  const std::vector<float> scales = {-0.5f, 2.0f};
  const std::vector<uint8_t> zeros = {0x1f};  // 15, then 1
  AffineMatrix matrix{.grid = {.bits = 4,
                               .group_columns = 4,
                               .scale = ScaleKind::f32,
                               .offset = OffsetKind::middle},
                      .codes = codes.data(),
                      .code_row_bits = 32,
                      .scales = reinterpret_cast<const uint8_t*>(scales.data()),
                      .scale_row = 2};
  std::vector<float> out(8);
  decode_affine(matrix, 0, 0, 8, out.data());
  EXPECT_EQ(out, (std::vector<float>{4, 0, -0.5f, -3.5f, -16, -14, -12, -10}));
  matrix.grid.offset = OffsetKind::codes;
  matrix.offsets = zeros.data();
  decode_affine(matrix, 0, 0, 8, out.data());
  EXPECT_EQ(out, (std::vector<float>{7.5f, 3.5f, 3, 0, -2, 0, 2, 4}));
  decode_affine(matrix, 0, 3, 2, out.data());
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_EQ(out[1], -2.0f);
}

// OpenVINO packs zero points over the whole tensor: with an odd number of groups the second row's
// begin in the middle of a byte.
TEST(Affine, ZeroPointsOfARowMayBeginInsideAByte) {
  const std::vector<uint8_t> codes = {5, 6, 7, 8, 9, 10};
  const std::vector<uint8_t> zeros = {0x21, 0x43, 0x65};
  const std::vector<uint16_t> scales(6, 0x3c00);
  const AffineMatrix matrix{.grid = {.bits = 4, .group_columns = 1, .offset = OffsetKind::codes},
                            .codes = codes.data(),
                            .code_row_bits = 12,
                            .scales = reinterpret_cast<const uint8_t*>(scales.data()),
                            .scale_row = 3,
                            .offsets = zeros.data(),
                            .offset_row = 12};
  // The nibbles of all codes: 5 0 6 0 7 0 | 8 0 9 0 10 0; of all zeros: 1 2 3 | 4 5 6.
  std::vector<float> out(3);
  decode_affine(matrix, 0, 0, 3, out.data());
  EXPECT_EQ(out, (std::vector<float>{4, -2, 3}));
  decode_affine(matrix, 1, 0, 3, out.data());
  EXPECT_EQ(out, (std::vector<float>{0 - 4, 7 - 5, 0 - 6}));
}

TEST(Affine, SignedCodesAreTwosComplement) {
  const std::vector<uint8_t> codes = {0x87, 0x1f};
  const std::vector<uint16_t> scales = {0x3800};
  const AffineMatrix matrix{.grid = {.codes = CodeKind::signed_bits, .bits = 4, .group_columns = 4},
                            .codes = codes.data(),
                            .code_row_bits = 16,
                            .scales = reinterpret_cast<const uint8_t*>(scales.data()),
                            .scale_row = 1};
  std::vector<float> out(4);
  decode_affine(matrix, 0, 0, 4, out.data());
  EXPECT_EQ(out, (std::vector<float>{3.5f, -4, -0.5f, 0.5f}));
}

// FP8 checkpoints: one scale for a block of rows and columns, the last blocks cut off by the edge.
TEST(Affine, BlocksOfRowsAndColumnsShareAScale) {
  constexpr int64_t kRows = 5, kColumns = 7;
  std::vector<uint8_t> codes(kRows * kColumns);
  for (size_t i = 0; i < codes.size(); ++i) {
    codes[i] = f32_to_f8_e4m3(static_cast<float>(i % 13) - 6);
  }
  const std::vector<float> scales = {1, 2, 4, 8, 16, 32};  // [3, 2]
  MatrixView view;
  view.rows = kRows;
  view.columns = kColumns;
  view.affine = {.grid = {.codes = CodeKind::f8_e4m3,
                          .bits = 8,
                          .group_columns = 4,
                          .group_rows = 2,
                          .scale = ScaleKind::f32},
                 .codes = codes.data(),
                 .code_row_bits = 8 * kColumns,
                 .scales = reinterpret_cast<const uint8_t*>(scales.data()),
                 .scale_row = 2};
  const MatrixView part = view.row_range(3, 2);
  for (int64_t r = 0; r < kRows; ++r) {
    std::vector<float> out(kColumns);
    if (r < 3) {
      view.decode(r, out.data());
    } else {
      part.decode(r - 3, out.data());
    }
    for (int64_t c = 0; c < kColumns; ++c) {
      const float scale = scales[static_cast<size_t>(r / 2 * 2 + c / 4)];
      EXPECT_EQ(out[static_cast<size_t>(c)],
                static_cast<float>((r * kColumns + c) % 13 - 6) * scale);
    }
  }
}

// Every description there is, with columns that end inside a group and inside a byte. A code is
// half a step off, or a whole one where the opposite of the largest value has none; rounding the
// scale to its kind moves the largest code by 2^-8 of itself, and the offset as much.
TEST(Affine, RoundTripStaysWithinItsSteps) {
  int checked = 0;
  for (const AffineGrid& grid : test::affine_grids()) {
    const std::string name = test::affine_name(grid);
    for (const int64_t columns : {1, 31, 160, 161}) {
      AffinePlanes planes(grid, 3, columns);
      Rng rng(static_cast<uint64_t>(columns));
      for (int64_t r = 0; r < 3; ++r) {
        std::vector<float> values(static_cast<size_t>(columns));
        const bool positive =
            grid.codes == CodeKind::unsigned_bits && grid.offset == OffsetKind::none;
        for (float& value : values) {
          value = static_cast<float>(rng.uniform() * 2 - (positive ? 0 : 1));
        }
        planes.encode_row(r, values.data());
        const std::vector<float> back = planes.decode_row(r);
        const bool is_float = grid.codes > CodeKind::signed_bits;
        const double step = is_float ? 1.0 / 4 : 2.0 / ((1 << grid.bits) - 1) * 1.1;
        const double steps = grid.scale == ScaleKind::e8m0 ? 2 : 1;  // up to the next power of two
        const double scale_error = 3 * 0x1p-8;
        for (size_t i = 0; i < values.size(); ++i) {
          ASSERT_NEAR(back[i], values[i], steps * step + scale_error) << name << " column " << i;
          ++checked;
        }
      }
    }
  }
  EXPECT_GT(checked, 20000);
}

TEST(Affine, RunsOfCodesAreTheCodesOneByOne) {
  Rng rng(9);
  for (int bits = 1; bits <= 8; ++bits) {
    for (const int64_t at : {0, 8, 3, 77}) {
      for (const int64_t count : {0, 1, 7, 8, 9, 64, 100}) {
        std::vector<uint8_t> codes(static_cast<size_t>(count)), back(codes.size());
        for (uint8_t& code : codes) code = static_cast<uint8_t>(rng.next() % (1u << bits));
        // What is around them stays as it is.
        std::vector<uint8_t> one(static_cast<size_t>((at + count * bits) / 8 + 1), 0xa5), all = one;
        for (int64_t i = 0; i < count; ++i) {
          store_bits(codes[static_cast<size_t>(i)], at + i * bits, bits, one.data());
        }
        store_codes(codes.data(), count, at, bits, all.data());
        ASSERT_EQ(one, all) << bits << " bits, " << count << " from " << at;
        load_codes(all.data(), at, bits, count, back.data());
        ASSERT_EQ(back, codes) << bits << " bits, " << count << " from " << at;
      }
    }
  }
}

TEST(Affine, RefusesWhatMakesNoSense) {
  EXPECT_TRUE(check_affine({}).ok());
  const AffineGrid wrong[] = {
      {.bits = 0},
      {.bits = 9},
      {.group_columns = 0},
      {.group_rows = 0},
      {.codes = CodeKind::f8_e4m3, .bits = 4},
      {.codes = CodeKind::signed_bits, .offset = OffsetKind::middle},
      {.codes = CodeKind::f8_e5m2, .bits = 8, .offset = OffsetKind::codes},
      {.scale = ScaleKind::e8m0, .offset = OffsetKind::minimum},
  };
  for (const AffineGrid& grid : wrong) {
    const Status status = check_affine(grid);
    ASSERT_FALSE(status.ok()) << test::affine_name(grid);
    EXPECT_EQ(status.error().code, ErrorCode::unsupported);
  }
}

}  // namespace
}  // namespace phial

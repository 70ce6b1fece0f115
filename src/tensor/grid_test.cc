#include "tensor/grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "tensor/block_k.h"
#include "tensor/test_blocks.h"

namespace phial {
namespace {

std::vector<uint8_t> from_hex(const std::string& text) {
  std::vector<uint8_t> bytes(text.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
  }
  return bytes;
}

std::vector<float> floats_of(const std::vector<uint8_t>& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

struct GoldenCase {
  std::string name;
  bool encoded = false;  // the codes were made of `values`
  std::vector<float> values;
  std::vector<uint8_t> codes;
  std::vector<float> decoded;
};

// The format is described in tests/golden/make_grids.py.
std::vector<GoldenCase> golden_cases(Grid grid) {
  std::ifstream file(std::string(PHIAL_SOURCE_DIR "/tests/golden/grids/") + grid_info(grid).name +
                     ".txt");
  std::vector<GoldenCase> cases;
  for (std::string line; std::getline(file, line);) {
    const size_t space = line.find(' ');
    const std::string key = line.substr(0, space);
    const std::string value = line.substr(space + 1);
    if (key == "case") cases.emplace_back().name = value;
    if (key == "values" && value != "-") {
      cases.back().encoded = true;
      cases.back().values = floats_of(from_hex(value));
    }
    if (key == "codes") cases.back().codes = from_hex(value);
    if (key == "decoded") cases.back().decoded = floats_of(from_hex(value));
  }
  return cases;
}

std::vector<Grid> block_grids(bool with_q8_k) {
  std::vector<Grid> grids;
  for (const GridInfo& info : grid_table()) {
    if (info.grid == Grid::q8_k && !with_q8_k) continue;
    if (info.block_values > 1) grids.push_back(info.grid);
  }
  return grids;
}

// ggml's package does not know q8_k, which no file holds.
class DecodedGrids : public testing::TestWithParam<Grid> {};

TEST_P(DecodedGrids, DecodesGoldenCodes) {
  const std::vector<GoldenCase> cases = golden_cases(GetParam());
  ASSERT_GE(cases.size(), 1u);
  for (const GoldenCase& c : cases) {
    ASSERT_EQ(row_bytes(GetParam(), static_cast<int64_t>(c.decoded.size())),
              static_cast<int64_t>(c.codes.size()));
    // One byte off, so that no alignment is assumed.
    std::vector<uint8_t> shifted(c.codes.size() + 1);
    std::memcpy(shifted.data() + 1, c.codes.data(), c.codes.size());
    std::vector<float> out(c.decoded.size());
    decode_row(GetParam(), shifted.data() + 1, static_cast<int64_t>(out.size()), out.data());
    EXPECT_EQ(out, c.decoded) << c.name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, DecodedGrids, testing::ValuesIn(block_grids(false)),
                         [](const auto& param) { return grid_info(param.param).name; });

// Where ggml's package can encode.
class EncodedGrids : public testing::TestWithParam<Grid> {};

TEST_P(EncodedGrids, EncodesGoldenValues) {
  int encoded = 0;
  for (const GoldenCase& c : golden_cases(GetParam())) {
    if (!c.encoded) continue;
    std::vector<uint8_t> out(c.codes.size());
    ASSERT_TRUE(
        encode_row(GetParam(), c.values.data(), static_cast<int64_t>(c.values.size()), out.data())
            .ok());
    EXPECT_EQ(out, c.codes) << c.name;
    ++encoded;
  }
  EXPECT_GE(encoded, grid_info(GetParam()).block_values == kMaxBlockValues ? 2 : 9);
}

INSTANTIATE_TEST_SUITE_P(All, EncodedGrids,
                         testing::Values(Grid::q4_0, Grid::q4_1, Grid::q5_0, Grid::q5_1, Grid::q8_0,
                                         Grid::mxfp4, Grid::tq1_0, Grid::tq2_0),
                         [](const auto& param) { return grid_info(param.param).name; });

class BlockGrids : public testing::TestWithParam<Grid> {};

constexpr double kHalfError = 0x1p-11;  // of rounding to float16

// The largest error that encoding values in [-1, 1] may leave.
//
// Groups with a minimum have codes 0 ... top over a range of at most 2, groups without one map the
// largest magnitude to code -zero: the opposite value lacks a code and is a step off. Where scales
// are integers times a superblock's, a scale is wrong by half of that (by all of it where the
// largest integer is missing), which the largest code multiplies.
double encode_error(Grid grid) {
  const auto with_minimum = [](double top) { return 1 / top + 3 * kHalfError; };
  const auto with_minimums = [](double top, double top_scale) {
    return (1 + 0.5 / top_scale) / top + 1.5 / top_scale + 4 * kHalfError;
  };
  const auto without = [](double zero) { return 1 / zero + kHalfError; };
  const auto without_two_level = [](double zero, double lowest_scale) {
    return (1 + 1 / lowest_scale) / zero + 1 / lowest_scale + 2 * kHalfError;
  };
  switch (grid) {
    case Grid::q4_0:
      return without(8);
    case Grid::q4_1:
      return with_minimum(15);
    case Grid::q5_0:
      return without(16);
    case Grid::q5_1:
      return with_minimum(31);
    case Grid::q8_0:
    case Grid::q8_k:
      return 0.5 / 127 + kHalfError;
    case Grid::q2_k:
      return with_minimums(3, 15);
    case Grid::q3_k:
      return without_two_level(4, 32);
    case Grid::q4_k:
      return with_minimums(15, 63);
    case Grid::q5_k:
      return with_minimums(31, 63);
    case Grid::q6_k:
      return without_two_level(32, 128);
    case Grid::iq4_nl:  // the opposite of -127 has 113; elsewhere levels are at most 24 apart
      return 14.0 / 127 + kHalfError;
    case Grid::iq4_xs:
      return 14.0 / 127 * (1 + 1.0 / 32) + 1.0 / 32 + 2 * kHalfError;
    case Grid::mxfp4:  // the largest magnitude is below 8 units of 1/8, the largest level is 6
      return 2.0 / 8;
    case Grid::tq1_0:
    case Grid::tq2_0:
      return 0.5 + kHalfError;
    default:
      return 0;
  }
}

TEST_P(BlockGrids, RoundTripStaysWithinTheErrorOfItsSteps) {
  std::vector<uint8_t> codes(static_cast<size_t>(row_bytes(GetParam(), 16384)));
  Rng rng(7);
  std::vector<float> values(16384);
  for (float& value : values) value = static_cast<float>(rng.uniform() * 2 - 1);
  const Status status = encode_row(GetParam(), values.data(), 16384, codes.data());
  if (!grid_info(GetParam()).can_encode) {
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::unsupported);
    EXPECT_NE(status.error().to_string().find(grid_info(GetParam()).name), std::string::npos);
    return;
  }
  ASSERT_TRUE(status.ok());
  std::vector<float> back(values.size());
  decode_row(GetParam(), codes.data(), 16384, back.data());
  double largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(back[i]) - values[i]));
  }
  EXPECT_LE(largest, encode_error(GetParam()));
  // An encoder that loses a bit would be within twice the bound.
  EXPECT_GE(largest, encode_error(GetParam()) / 4);
}

TEST_P(BlockGrids, TinyValuesEncodeToZeroCodesWithoutNan) {
  // mxfp4 has scales down to 2^-127: 2^-141 is its zero, too.
  const GridInfo& info = grid_info(GetParam());
  if (!info.can_encode) return;
  std::vector<float> values(static_cast<size_t>(info.block_values), 0.0f);
  values[3] = std::numeric_limits<float>::denorm_min() * 200;
  std::vector<uint8_t> codes(static_cast<size_t>(info.block_bytes), 0xff);
  ASSERT_TRUE(encode_row(GetParam(), values.data(), info.block_values, codes.data()).ok());
  std::vector<float> back(values.size());
  decode_row(GetParam(), codes.data(), info.block_values, back.data());
  for (const float value : back) EXPECT_EQ(value, 0.0f);
}

// A scale that is no number shows in the values, whatever the codes are: that is how damaged files
// are found out.
TEST_P(BlockGrids, ScalesThatAreNoNumbersShowInTheValues) {
  Rng rng(8);
  const GridInfo& info = grid_info(GetParam());
  const auto values = static_cast<size_t>(info.block_values);
  constexpr uint16_t kNoNumbers[] = {0x7e00, 0xfe01, 0x7c00, 0xfc00};
  for (const uint16_t bits : kNoNumbers) {
    for (int round = 0; round < 20; ++round) {
      std::vector<uint8_t> block(static_cast<size_t>(info.block_bytes));
      for (uint8_t& byte : block) byte = round == 0 ? 0 : static_cast<uint8_t>(rng.next());
      test::set_scales(GetParam(), bits, block.data());
      std::vector<float> out(values);
      decode_row(GetParam(), block.data(), info.block_values, out.data());
      for (const float value : out) ASSERT_FALSE(std::isfinite(value)) << bits;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, BlockGrids, testing::ValuesIn(block_grids(true)),
                         [](const auto& param) { return grid_info(param.param).name; });

TEST(Q8K, IsAScaleTimesCodesWithTheirSums) {
  std::vector<float> values(256);
  for (int i = 0; i < 256; ++i) values[static_cast<size_t>(i)] = static_cast<float>(i - 254) / 2;
  BlockQ8_K block;
  ASSERT_TRUE(encode_row(Grid::q8_k, values.data(), 256, reinterpret_cast<uint8_t*>(&block)).ok());
  EXPECT_EQ(block.d, 1.0f);
  int sum = 0;
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(block.qs[i], std::nearbyint(values[static_cast<size_t>(i)]));
    sum += block.qs[i];
    if (i % 16 == 15) {
      EXPECT_EQ(block.bsums[i / 16], sum);
      sum = 0;
    }
  }
}

TEST(Grid, TableMatchesEnumAndBits) {
  ASSERT_EQ(grid_table().size(), static_cast<size_t>(kGridCount));
  const double bits[kGridCount] = {
      32,     64,     16,     16,    8,   8,    4.5,  5,      5.5,  6,      8.5,    2.625,  3.4375,
      4.5,    5.5,    6.5625, 9.125, 4.5, 4.25, 4.25, 1.5625, 1.75, 2.0625, 2.3125, 2.5625, 3.0625,
      3.4375, 1.6875, 2.0625, 8,     8,   8,    16,   16,     32,   32,     64,     64};
  for (int i = 0; i < kGridCount; ++i) {
    const Grid grid = static_cast<Grid>(i);
    EXPECT_EQ(grid_info(grid).grid, grid);
    EXPECT_EQ(grid_info(grid).bits_per_weight(), bits[i]) << grid_info(grid).name;
  }
  EXPECT_EQ(row_bytes(Grid::q4_1, 576), 360);
  EXPECT_EQ(row_bytes(Grid::q8_0, 576), 612);
  EXPECT_EQ(row_bytes(Grid::bf16, 3), 6);
  EXPECT_EQ(row_bytes(Grid::f32, 0), 0);
}

TEST(Grid, PlainNumbersRoundTrip) {
  const std::vector<float> values = {0.0f, -0.0f, 1.0f, -2.5f, 65504.0f, 0x1p-24f};
  for (const Grid grid : {Grid::f32, Grid::f64, Grid::f16, Grid::bf16}) {
    std::vector<uint8_t> codes(static_cast<size_t>(row_bytes(grid, 6) + 1));
    std::vector<float> back(6);
    ASSERT_TRUE(encode_row(grid, values.data(), 6, codes.data() + 1).ok());
    decode_row(grid, codes.data() + 1, 6, back.data());
    for (size_t i = 0; i < 6; ++i) {
      // 65504 has 11 significant bits, bfloat16 keeps 8: it rounds to 65536.
      const float expected = grid == Grid::bf16 && i == 4 ? 65536.0f : values[i];
      EXPECT_EQ(std::bit_cast<uint32_t>(back[i]), std::bit_cast<uint32_t>(expected)) << i;
    }
    decode_row(grid, nullptr, 0, nullptr);
    ASSERT_TRUE(encode_row(grid, nullptr, 0, nullptr).ok());
  }
}

TEST(Grid, IntegersDecodeAsTheirValue) {
  const std::vector<uint8_t> bytes = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  const std::pair<Grid, float> expected[] = {
      {Grid::i8, -2.0f},  {Grid::u8, 254.0f},         {Grid::i16, -2.0f}, {Grid::u16, 65534.0f},
      {Grid::i32, -2.0f}, {Grid::u32, 4294967296.0f}, {Grid::i64, -2.0f}, {Grid::u64, 0x1p64f}};
  for (const auto& [grid, value] : expected) {
    float out = 0;
    decode_row(grid, bytes.data(), 1, &out);
    EXPECT_EQ(out, value) << grid_info(grid).name;
    EXPECT_TRUE(grid_info(grid).is_integer);
    EXPECT_FALSE(encode_row(grid, &out, 1, nullptr).ok());
  }
}

TEST(Grid, DoublesRoundToFloatAndOverflowToInfinity) {
  const double values[] = {1.0 + 0x1p-30, -1e300, 0x1p-149};
  float out[3];
  decode_row(Grid::f64, reinterpret_cast<const uint8_t*>(values), 3, out);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(out[2], 0x1p-149f);
}

}  // namespace
}  // namespace phial

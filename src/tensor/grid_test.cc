#include "tensor/grid.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/rng.h"
#include "tensor/block_legacy.h"

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
  std::vector<float> values;  // empty: a decode-only case
  std::vector<uint8_t> codes;
  std::vector<float> decoded;
};

std::vector<GoldenCase> golden_cases(Grid grid) {
  const std::string path =
      std::string(PHIAL_SOURCE_DIR "/tests/golden/grids/") + grid_info(grid).name + ".json";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const Result<Json> document = parse_json(text.str(), path);
  EXPECT_TRUE(document.ok()) << path;
  std::vector<GoldenCase> cases;
  if (!document.ok()) return cases;
  for (const Json& item : *document->find("cases")->if_array()) {
    const auto bytes = [&](const char* key) { return from_hex(*item.find(key)->if_string()); };
    cases.push_back({*item.find("name")->if_string(), floats_of(bytes("values")), bytes("codes"),
                     floats_of(bytes("decoded"))});
  }
  return cases;
}

class BlockGrids : public testing::TestWithParam<Grid> {};

TEST_P(BlockGrids, DecodesGoldenCodes) {
  for (const GoldenCase& c : golden_cases(GetParam())) {
    // One byte off, so that no alignment is assumed.
    std::vector<uint8_t> shifted(c.codes.size() + 1);
    std::memcpy(shifted.data() + 1, c.codes.data(), c.codes.size());
    std::vector<float> out(c.decoded.size());
    decode_row(GetParam(), shifted.data() + 1, static_cast<int64_t>(out.size()), out.data());
    EXPECT_EQ(out, c.decoded) << c.name;
  }
}

TEST_P(BlockGrids, EncodesGoldenValues) {
  int encoded = 0;
  for (const GoldenCase& c : golden_cases(GetParam())) {
    if (c.values.empty()) continue;
    const int64_t count = static_cast<int64_t>(c.values.size());
    ASSERT_EQ(row_bytes(GetParam(), count), static_cast<int64_t>(c.codes.size()));
    std::vector<uint8_t> out(c.codes.size());
    encode_row(GetParam(), c.values.data(), count, out.data());
    EXPECT_EQ(out, c.codes) << c.name;
    ++encoded;
  }
  EXPECT_GE(encoded, 9);
}

// A code is at most half a step off; the rounding of the scale (and minimum) to f16 adds at most
// 2^-11 of the largest magnitude it multiplies.
TEST_P(BlockGrids, RoundTripStaysWithinHalfAStep) {
  Rng rng(7);
  std::vector<float> values(64 * kLegacyBlockValues);
  for (float& value : values) value = static_cast<float>(rng.uniform() * 2 - 1);
  const int64_t count = static_cast<int64_t>(values.size());
  std::vector<uint8_t> codes(static_cast<size_t>(row_bytes(GetParam(), count)));
  std::vector<float> back(values.size());
  encode_row(GetParam(), values.data(), count, codes.data());
  decode_row(GetParam(), codes.data(), count, back.data());
  const double step = GetParam() == Grid::q4_1 ? 2.0 / 15 : 1.0 / 127;
  const double range = GetParam() == Grid::q4_1 ? 3.0 : 1.0;  // |d * 15| + |m| or |d * 127|
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(back[i], values[i], step / 2 + range * 0x1p-11 + 1e-6) << i;
  }
}

TEST_P(BlockGrids, TinyValuesEncodeToZeroCodesWithoutNan) {
  std::vector<float> values(kLegacyBlockValues, 0.0f);
  values[3] = std::numeric_limits<float>::denorm_min() * 200;
  std::vector<uint8_t> codes(static_cast<size_t>(row_bytes(GetParam(), kLegacyBlockValues)), 0xff);
  encode_row(GetParam(), values.data(), kLegacyBlockValues, codes.data());
  std::vector<float> back(values.size());
  decode_row(GetParam(), codes.data(), kLegacyBlockValues, back.data());
  for (const float value : back) EXPECT_EQ(value, 0.0f);
}

INSTANTIATE_TEST_SUITE_P(All, BlockGrids, testing::Values(Grid::q4_1, Grid::q8_0),
                         [](const auto& param) { return grid_info(param.param).name; });

TEST(Grid, TableMatchesEnumAndBits) {
  ASSERT_EQ(grid_table().size(), static_cast<size_t>(kGridCount));
  const double bits[kGridCount] = {32, 16, 16, 5, 8.5};
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
  for (const Grid grid : {Grid::f32, Grid::f16, Grid::bf16}) {
    std::vector<uint8_t> codes(1 + static_cast<size_t>(row_bytes(grid, 6)));
    std::vector<float> back(6);
    encode_row(grid, values.data(), 6, codes.data() + 1);
    decode_row(grid, codes.data() + 1, 6, back.data());
    for (size_t i = 0; i < 6; ++i) {
      // 65504 has 11 significant bits, bfloat16 keeps 8: it rounds to 65536.
      const float expected = grid == Grid::bf16 && i == 4 ? 65536.0f : values[i];
      EXPECT_EQ(std::bit_cast<uint32_t>(back[i]), std::bit_cast<uint32_t>(expected)) << i;
    }
    decode_row(grid, nullptr, 0, nullptr);
    encode_row(grid, nullptr, 0, nullptr);
  }
}

// The value of a half from its definition: (-1)^s 2^(e-15) 1.f, subnormals 2^-14 0.f.
double half_value(uint32_t bits) {
  const int exponent = (bits >> 10) & 31;
  const double fraction = (bits & 0x3ff) / 1024.0;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

TEST(Half, EveryPatternWidensExactlyAndReturns) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    if ((bits & 0x7c00) == 0x7c00) {
      if (bits & 0x3ff) {
        ASSERT_TRUE(std::isnan(value)) << bits;
        // Conversion quiets a NaN and keeps its payload.
        ASSERT_EQ(f32_to_f16(value), bits | 0x200) << bits;
        continue;
      }
      ASSERT_TRUE(std::isinf(value)) << bits;
    } else {
      ASSERT_EQ(value, half_value(bits)) << bits;
    }
    ASSERT_EQ(std::signbit(value), (bits & 0x8000) != 0);
    ASSERT_EQ(f32_to_f16(value), bits);
  }
}

// Between any two neighbours: just below the middle goes down, the middle to the even one, just
// above it up. That fixes narrowing for every float.
TEST(Half, NarrowingRoundsToNearestEvenBetweenAllNeighbours) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const double low = half_value(bits);
    const double high = half_value(bits + 1);  // 0x7c00 evaluates to 65536, where infinity begins
    const float middle = static_cast<float>((low + high) / 2);  // exact: 12 bits
    const uint32_t even = bits & 1 ? bits + 1 : bits;
    for (const uint32_t sign : {0u, 0x8000u}) {
      const float s = sign ? -1.0f : 1.0f;
      ASSERT_EQ(f32_to_f16(s * middle), sign | even) << bits;
      ASSERT_EQ(f32_to_f16(s * std::nextafterf(middle, 0.0f)), sign | bits) << bits;
      ASSERT_EQ(f32_to_f16(s * std::nextafterf(middle, 1e9f)), sign | (bits + 1)) << bits;
    }
  }
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(Bfloat16, EveryPatternWidensExactlyAndReturns) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = bf16_to_f32(static_cast<uint16_t>(bits));
    ASSERT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
    const uint32_t quiet = std::isnan(value) ? 0x40 : 0;
    ASSERT_EQ(f32_to_bf16(value), bits | quiet) << bits;
  }
}

TEST(Bfloat16, NarrowingRoundsToNearestEvenBetweenAllNeighbours) {
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {
    const uint32_t middle = bits << 16 | 0x8000;
    const uint32_t even = bits & 1 ? bits + 1 : bits;
    for (const uint32_t sign : {0u, 0x8000u}) {
      const auto narrow = [&](uint32_t pattern) {
        return f32_to_bf16(std::bit_cast<float>(pattern | sign << 16));
      };
      ASSERT_EQ(narrow(middle), sign | even) << bits;
      ASSERT_EQ(narrow(middle - 1), sign | bits) << bits;
      ASSERT_EQ(narrow(middle + 1), sign | (bits + 1)) << bits;
    }
  }
}

}  // namespace
}  // namespace phial

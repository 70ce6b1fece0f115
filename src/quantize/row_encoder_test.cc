#include "quantize/row_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "base/rng.h"
#include "sys/cpu.h"

namespace phial {
namespace {

// 5 rows of 768 columns: no multiple of the lanes of a batch.
constexpr int64_t kRows = 5, kColumns = 768;

std::vector<StoredGrid> all_grids() {
  std::vector<StoredGrid> grids;
  for (const GridInfo& info : grid_table()) {
    if (info.can_encode && info.grid != Grid::f64 && info.grid != Grid::q8_k) {
      grids.push_back({.grid = info.grid});
    }
  }
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {32, 64, 128}) {
      grids.push_back({.group_columns = group, .bits = bits, .scale = ScaleKind::f16});
    }
  }
  grids.push_back({.group_columns = 64, .bits = 4, .scale = ScaleKind::bf16});
  grids.push_back({.group_columns = 64, .bits = 4, .scale = ScaleKind::f32});
  grids.push_back({.grid = Grid::mxfp4, .group_columns = 32});
  return grids;
}

// Sums of uniform numbers, with a few that stand out, and rows of zeros and equal values.
std::vector<float> weights() {
  Rng rng(42);
  std::vector<float> out(static_cast<size_t>(kRows * kColumns));
  for (size_t i = 0; i < out.size(); ++i) {
    double value = rng.uniform() + rng.uniform() + rng.uniform() + rng.uniform() - 2;
    if (rng.next() % 97 == 0) value *= 3;
    out[i] = static_cast<float>(0.05 * value);
  }
  std::fill_n(out.begin() + kColumns, kColumns / 2, 0.0f);
  std::fill_n(out.begin() + kColumns + kColumns / 2, kColumns / 4, 0.03f);
  return out;
}

using Planes = std::vector<std::vector<uint8_t>>;

Planes encode(const StoredGrid& grid, Effort effort, const SearchTable& search,
              const std::vector<float>& values, const float* importance = nullptr) {
  Planes planes;
  uint8_t* pointers[3] = {};
  const auto bytes = grid.plane_row_bytes(kColumns);
  for (size_t p = 0; p < bytes.size(); ++p) {
    planes.emplace_back(static_cast<size_t>(kRows * bytes[p]));
    pointers[p] = planes.back().data();
  }
  RowEncoder(search, effort).encode(grid, values.data(), kRows, kColumns, importance, pointers);
  return planes;
}

std::vector<float> decode(const StoredGrid& grid, const Planes& planes) {
  std::vector<float> out(static_cast<size_t>(kRows * kColumns));
  const uint8_t* pointers[3] = {};
  for (size_t p = 0; p < planes.size(); ++p) pointers[p] = planes[p].data();
  RowEncoder::decode(grid, pointers, kRows, kColumns, out.data());
  return out;
}

double error_of(const StoredGrid& grid, const Planes& planes, const std::vector<float>& values,
                const float* importance = nullptr) {
  const std::vector<float> back = decode(grid, planes);
  double sum = 0;
  for (size_t i = 0; i < back.size(); ++i) {
    const double w = importance ? static_cast<double>(importance[i % kColumns]) : 1.0;
    sum += w * std::pow(static_cast<double>(back[i]) - static_cast<double>(values[i]), 2);
  }
  return sum;
}

const SearchTable& plain() { return *search_tables()[0]; }

TEST(RowEncoder, AllInstructionSetsGiveTheSameBytes) {
  const std::vector<float> values = weights();
  const CpuInfo cpu = probe_cpu();
  for (const SearchTable* table : search_tables()) {
    const std::string_view isa = table->isa;
    if ((isa == "avx2" && !cpu.avx2) || (isa == "avx512" && !cpu.avx512)) continue;
    for (const StoredGrid& grid : all_grids()) {
      for (const Effort effort : {Effort::fast, Effort::balanced}) {
        EXPECT_EQ(encode(grid, effort, *table, values), encode(grid, effort, plain(), values))
            << grid.name() << " on " << isa;
      }
    }
  }
}

// Rows in runs of any length.
TEST(RowEncoder, RowsDoNotDependOnTheirNeighbours) {
  const std::vector<float> values = weights();
  for (const StoredGrid& grid : all_grids()) {
    const Planes together = encode(grid, Effort::balanced, plain(), values);
    const auto bytes = grid.plane_row_bytes(kColumns);
    Planes alone = together;
    RowEncoder encoder(plain(), Effort::balanced);
    for (int64_t r = 0; r < kRows; ++r) {
      uint8_t* pointers[3] = {};
      for (size_t p = 0; p < bytes.size(); ++p) pointers[p] = alone[p].data() + r * bytes[p];
      encoder.encode(grid, values.data() + r * kColumns, 1, kColumns, nullptr, pointers);
    }
    EXPECT_EQ(alone, together) << grid.name();
  }
}

TEST(RowEncoder, FastRoundsAsGgmlAndMlxDo) {
  const std::vector<float> values = weights();
  for (const Grid grid : {Grid::q4_0, Grid::q4_1, Grid::q5_0, Grid::q5_1, Grid::q8_0, Grid::bf16}) {
    std::vector<uint8_t> expected(static_cast<size_t>(kRows * row_bytes(grid, kColumns)));
    ASSERT_TRUE(encode_row(grid, values.data(), kRows * kColumns, expected.data()).ok());
    EXPECT_EQ(encode({.grid = grid}, Effort::fast, plain(), values)[0], expected);
  }
  const StoredGrid mlx = {.group_columns = 64, .bits = 4, .scale = ScaleKind::bf16};
  const auto bytes = mlx.plane_row_bytes(kColumns);
  std::vector<uint8_t> codes(static_cast<size_t>(bytes[0])), scales(static_cast<size_t>(bytes[1])),
      biases(static_cast<size_t>(bytes[2]));
  encode_affine_row(mlx.affine(), values.data(), kColumns, codes.data(), scales.data(),
                    biases.data());
  const Planes planes = encode(mlx, Effort::fast, plain(), values);
  EXPECT_TRUE(std::equal(codes.begin(), codes.end(), planes[0].begin()));
  EXPECT_TRUE(std::equal(scales.begin(), scales.end(), planes[1].begin()));
  EXPECT_TRUE(std::equal(biases.begin(), biases.end(), planes[2].begin()));
}

// How much smaller the squared error of a search is than that of rounding (encode_row). The bounds
// are what the searches reach on these values, rounded up; a search that was cut short fails them.
TEST(RowEncoder, BalancedIsBetterThanRounding) {
  const std::vector<float> values = weights();
  for (const StoredGrid& grid : all_grids()) {
    if (grid.is_number() || grid.bits == 8 || grid.grid == Grid::q8_0) continue;
    if (grid.grid == Grid::tq1_0 || grid.grid == Grid::tq2_0) continue;
    Planes rounded = encode(grid, Effort::fast, plain(), values);
    if (!grid.has_planes()) {
      ASSERT_TRUE(encode_row(grid.grid, values.data(), kRows * kColumns, rounded[0].data()).ok());
    }
    const double before = error_of(grid, rounded, values);
    const double after = error_of(grid, encode(grid, Effort::balanced, plain(), values), values);
    std::cout << grid.name() << ": " << after / before << "\n";
    EXPECT_LT(after, 0.97 * before) << grid.name();
  }
}

TEST(RowEncoder, ImportantColumnsComeOutBetter) {
  const std::vector<float> values = weights();
  std::vector<float> importance(kColumns);
  Rng rng(3);
  for (float& w : importance) w = static_cast<float>(std::pow(10.0, 3 * rng.uniform()));
  for (const StoredGrid& grid : all_grids()) {
    if (grid.is_number() || grid.bits == 8 || grid.grid == Grid::q8_0) continue;
    if (grid.grid == Grid::tq1_0 || grid.grid == Grid::tq2_0 || grid.grid == Grid::mxfp4) continue;
    const Planes even = encode(grid, Effort::balanced, plain(), values);
    const Planes weighted = encode(grid, Effort::balanced, plain(), values, importance.data());
    EXPECT_LT(error_of(grid, weighted, values, importance.data()),
              error_of(grid, even, values, importance.data()))
        << grid.name();
  }
}

TEST(RowEncoder, ZerosAndEqualValuesAreExact) {
  const std::vector<float> zeros(static_cast<size_t>(kRows * kColumns));
  for (const StoredGrid& grid : all_grids()) {
    for (const Effort effort : {Effort::fast, Effort::balanced}) {
      EXPECT_EQ(error_of(grid, encode(grid, effort, plain(), zeros), zeros), 0) << grid.name();
    }
  }
}

TEST(RowEncoder, ExtremeValuesGiveFiniteOnesWhereTheGridCan) {
  std::vector<float> values = weights();
  for (const double size : {1e-42, 1e-30, 1e-8, 1e3}) {
    std::vector<float> scaled = values;
    for (float& value : scaled) value = static_cast<float>(static_cast<double>(value) * size);
    for (const StoredGrid& grid : all_grids()) {
      if (grid.grid == Grid::f8_e4m3 || grid.grid == Grid::f8_e5m2) continue;
      const std::vector<float> back = decode(grid, encode(grid, Effort::balanced, plain(), scaled));
      for (const float value : back)
        ASSERT_TRUE(std::isfinite(value)) << grid.name() << " " << size;
    }
  }
}

}  // namespace
}  // namespace phial

#include "quantize/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/rng.h"
#include "quantize/row_encoder.h"
#include "quantize/schemes.h"

namespace phial {
namespace {

constexpr int64_t kRows = 64, kColumns = 512;

std::vector<float> normal_values() {
  Rng rng(7);
  std::vector<float> out;
  while (out.size() < static_cast<size_t>(kRows * kColumns)) {
    const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
    out.push_back(static_cast<float>(radius * std::cos(2 * std::numbers::pi * rng.uniform())));
  }
  return out;
}

double measured_error(const StoredGrid& grid, const std::vector<float>& values) {
  std::vector<std::vector<uint8_t>> planes;
  uint8_t* pointers[3] = {};
  for (const int64_t bytes : grid.plane_row_bytes(kColumns)) {
    planes.emplace_back(static_cast<size_t>(kRows * bytes));
  }
  for (size_t p = 0; p < planes.size(); ++p) pointers[p] = planes[p].data();
  RowEncoder encoder(*search_tables()[0], Effort::balanced);
  encoder.encode(grid, values.data(), kRows, kColumns, nullptr, pointers);
  std::vector<float> decoded(values.size());
  RowEncoder::decode(grid, pointers, kRows, kColumns, decoded.data());
  double error = 0, norm = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double off = static_cast<double>(decoded[i]) - static_cast<double>(values[i]);
    error += off * off;
    norm += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  return error / norm;
}

// The table is rounded to three digits; other normal values differ by a percent.
TEST(Allocation, ErrorsAreThoseOfNormalValues) {
  const std::vector<float> values = normal_values();
  int compared = 0;
  for (const TargetFormat format : {TargetFormat::gguf, TargetFormat::mlx}) {
    for (const StoredGrid& grid : written_grids(format, kColumns, ScaleKind::f16)) {
      const std::optional<double> error = rounding_error(grid);
      if (!error) continue;
      const double measured = measured_error(grid, values);
      EXPECT_NEAR(*error, measured, 0.02 * measured) << grid.name();
      ++compared;
    }
  }
  EXPECT_GE(compared, 35);
}

std::vector<GridOption> options(std::vector<std::pair<uint64_t, double>> bytes_and_loss) {
  std::vector<GridOption> out;
  for (const auto& [bytes, loss] : bytes_and_loss)
    out.push_back({.grid = {}, .bytes = bytes, .loss = loss});
  return out;
}

TEST(Allocation, BytesGoWhereTheySaveMost) {
  const std::vector<std::vector<GridOption>> matrices = {
      options({{100, 8}, {150, 4}, {300, 0}}),
      options({{10, 4}, {15, 1}, {12, 3.9}}),  // the third lies above the line of the others
      options({{100, 0.5}, {110, 0}}),
  };
  using Choice = std::vector<size_t>;
  EXPECT_EQ(allocate_grids(matrices, 209), std::nullopt);
  EXPECT_EQ(allocate_grids(matrices, 210), (Choice{0, 0, 0}));
  EXPECT_EQ(allocate_grids(matrices, 215), (Choice{0, 1, 0}));
  EXPECT_EQ(allocate_grids(matrices, 225), (Choice{0, 1, 1}));  // 50 do not fit, 10 do
  EXPECT_EQ(allocate_grids(matrices, 265), (Choice{1, 1, 0}));
  EXPECT_EQ(allocate_grids(matrices, 275), (Choice{1, 1, 1}));
  EXPECT_EQ(allocate_grids(matrices, 10000), (Choice{2, 1, 1}));
}

TEST(Allocation, OfEqualMatricesTheFirstGrow) {
  const std::vector<std::vector<GridOption>> matrices(5, options({{10, 1}, {20, 0}}));
  EXPECT_EQ(allocate_grids(matrices, 75), (std::vector<size_t>{1, 1, 0, 0, 0}));
}

TEST(Allocation, NothingGrowsWhereNothingIsLost) {
  const std::vector<std::vector<GridOption>> matrices(2, options({{10, 1}, {20, 0}, {40, 0}}));
  EXPECT_EQ(allocate_grids(matrices, 1000), (std::vector<size_t>{1, 1}));
}

TEST(Allocation, PartsOfAFusedMatrixCountTogether) {
  ModelSpec spec;
  spec.layers = 10;
  const auto of = [&](Role role, int64_t layer) {
    TargetTensor tensor;
    tensor.role = role;
    tensor.layer = layer;
    return sensitivity(tensor, spec);
  };
  EXPECT_DOUBLE_EQ(of(Role::qkv, 3), of(Role::q, 3) + of(Role::k, 3) + of(Role::v, 3));
  EXPECT_DOUBLE_EQ(of(Role::gate_up, 3), of(Role::gate, 3) + of(Role::up, 3));
  EXPECT_DOUBLE_EQ(of(Role::lm_head, -1), 1);
  const double apart = of(Role::lm_head, -1) + of(Role::token_embedding, -1);
  spec.tied_embeddings = true;
  EXPECT_DOUBLE_EQ(of(Role::token_embedding, -1), apart);
}

}  // namespace
}  // namespace phial

#include "formats/extent.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace phial {
namespace {

// The same in arithmetic that cannot overflow: each step multiplies a number below 2^63 by another
// one and stops when the product leaves 63 bits, which further factors of at least one cannot undo.
std::optional<uint64_t> exact_bytes(Grid grid, const std::vector<int64_t>& shape) {
  using Wide = unsigned __int128;
  const auto limit = static_cast<Wide>(INT64_MAX);
  Wide values = 1;
  bool zero = false;
  for (const int64_t extent : shape) {
    zero |= extent == 0;
    values *= static_cast<Wide>(extent == 0 ? 1 : extent);
    if (values > limit) return std::nullopt;
  }
  const GridInfo& info = grid_info(grid);
  if (!shape.empty() && shape.back() % info.block_values != 0) return std::nullopt;
  if (shape.empty() && info.block_values != 1) return std::nullopt;
  if (zero) return 0;
  const Wide bytes =
      values / static_cast<Wide>(info.block_values) * static_cast<Wide>(info.block_bytes);
  if (bytes > limit) return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

// Extents near powers of two, where products are about to overflow, and any others.
int64_t random_extent(Rng& rng) {
  const auto bits = static_cast<int>(rng.next() % 63);
  const int64_t power = int64_t{1} << bits;
  switch (rng.next() % 4) {
    case 0:
      return power;
    case 1:
      return power - 1;
    case 2:
      return bits < 62 ? power + 1 : power;
    default:
      return static_cast<int64_t>(rng.next() & static_cast<uint64_t>(power - 1));
  }
}

TEST(Extent, EqualsExactArithmeticForRandomShapes) {
  Rng rng(7);
  int fitting = 0;
  constexpr int kRounds = 200'000;
  for (int i = 0; i < kRounds; ++i) {
    const Grid grid = grid_table()[rng.next() % kGridCount].grid;
    std::vector<int64_t> shape(rng.next() % 5);
    for (int64_t& extent : shape) extent = random_extent(rng);
    if (!shape.empty() && i % 2 == 0) {
      shape.back() = shape.back() / kMaxBlockValues * kMaxBlockValues;
    }
    const auto bytes = extent_bytes(grid, shape);
    ASSERT_EQ(bytes, exact_bytes(grid, shape)) << grid_info(grid).name << " round " << i;
    fitting += bytes.has_value();
  }
  // Both answers are common.
  EXPECT_GT(fitting, kRounds / 20);
  EXPECT_LT(fitting, kRounds - kRounds / 20);
}

TEST(Extent, KnownSizes) {
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(extent_bytes(Grid::f32, Shape{}), 4u);
  EXPECT_EQ(extent_bytes(Grid::bf16, Shape{3, 5}), 30u);
  EXPECT_EQ(extent_bytes(Grid::q4_1, Shape{3, 64}), 3 * 2 * 20u);
  EXPECT_EQ(extent_bytes(Grid::q8_0, Shape{2, 2, 32}), 4 * 34u);
  EXPECT_EQ(extent_bytes(Grid::q8_0, Shape{32, 31}), std::nullopt);
  EXPECT_EQ(extent_bytes(Grid::q8_0, Shape{}), std::nullopt);
  EXPECT_EQ(extent_bytes(Grid::f32, Shape{-1}), std::nullopt);
  EXPECT_EQ(extent_bytes(Grid::f32, Shape{0, 7}), 0u);
  EXPECT_EQ(extent_bytes(Grid::f32, Shape{INT64_MAX, 0, 2}), std::nullopt);
}

}  // namespace
}  // namespace phial

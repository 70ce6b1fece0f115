// The walks that encoders share, against the plain loops that they stand for.
#include "tensor/block_walk.h"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "base/rng.h"

namespace phial {
namespace {

// Few different values, so that there are ties of either sign and zeros of either sign.
std::vector<float> values_with_ties(Rng& rng, size_t count) {
  constexpr float kValues[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, -0.5f, 0x1p-149f, -0x1p-149f, 3e38f};
  const uint64_t kinds = 1 + rng.next() % std::size(kValues);
  std::vector<float> out(count);
  for (float& value : out) value = kValues[rng.next() % kinds];
  return out;
}

uint32_t bits(float value) { return std::bit_cast<uint32_t>(value); }

TEST(BlockWalk, FindsTheFirstOfSeveral) {
  Rng rng(5);
  for (int i = 0; i < 20000; ++i) {
    const auto values = values_with_ties(rng, 1 + rng.next() % 40);
    const int count = static_cast<int>(values.size());
    float largest = 0;
    for (const float value : values) {
      if (std::fabs(value) > std::fabs(largest)) largest = value;
    }
    ASSERT_EQ(bits(largest_value(values.data(), count)), bits(largest)) << i;
    const auto [low, high] = range_of(values.data(), count);
    ASSERT_EQ(bits(low), bits(*std::min_element(values.begin(), values.end()))) << i;
    ASSERT_EQ(bits(high), bits(*std::max_element(values.begin(), values.end()))) << i;
  }
}

TEST(BlockWalk, RoundsAsTheLibraryDoes) {
  Rng rng(6);
  for (int i = 0; i < 400000; ++i) {
    // Eighths and their neighbours: halves and what is next to them among them.
    auto value = static_cast<float>(static_cast<int>(rng.next() % 4096) - 2048) / 8;
    const int side = static_cast<int>(rng.next() % 3) - 1;
    if (side != 0) value = std::nextafter(value, side < 0 ? -1e9f : 1e9f);
    ASSERT_EQ(rounded_away(value), static_cast<int>(std::round(value))) << value;
    const float within = std::clamp(std::nearbyint(value), -128.0f, 127.0f);
    ASSERT_EQ(nearest_code(value, -128, 127), static_cast<int>(within)) << value;
  }
  EXPECT_EQ(nearest_code(HUGE_VALF, 0, 15), 15);
  EXPECT_EQ(nearest_code(-HUGE_VALF, -8, 7), -8);
  EXPECT_EQ(nearest_code(std::nanf(""), 3, 15), 3);
}

}  // namespace
}  // namespace phial

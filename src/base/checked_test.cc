#include "base/checked.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/budget.h"

namespace phial {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

// Every pair of 8-bit numbers, signed and unsigned, against arithmetic that cannot overflow.
template <class T>
void check_all_pairs() {
  const auto expected = [](int exact) -> std::optional<T> {
    if (exact < std::numeric_limits<T>::min() || exact > std::numeric_limits<T>::max()) return {};
    return static_cast<T>(exact);
  };
  for (int a = std::numeric_limits<T>::min(); a <= std::numeric_limits<T>::max(); ++a) {
    for (int b = std::numeric_limits<T>::min(); b <= std::numeric_limits<T>::max(); ++b) {
      const auto x = static_cast<T>(a);
      const auto y = static_cast<T>(b);
      ASSERT_EQ(checked_add<T>(x, y), expected(a + b)) << a << " " << b;
      ASSERT_EQ(checked_mul<T>(x, y), expected(a * b)) << a << " " << b;
      if (a >= 0 && b > 0) {
        ASSERT_EQ(ceil_div<T>(x, y), (a + b - 1) / b) << a << " " << b;
      }
    }
  }
}

TEST(Checked, AllPairsOf8BitNumbers) {
  check_all_pairs<uint8_t>();
  check_all_pairs<int8_t>();
}

TEST(Checked, RoundUp) {
  EXPECT_EQ(checked_round_up<uint64_t>(0, 32), 0u);
  EXPECT_EQ(checked_round_up<uint64_t>(1, 32), 32u);
  EXPECT_EQ(checked_round_up<uint64_t>(32, 32), 32u);
  EXPECT_EQ(checked_round_up<uint64_t>(kMax - 7, 8), kMax - 7);
  EXPECT_EQ(checked_round_up<uint64_t>(kMax - 6, 8), std::nullopt);
  EXPECT_EQ(checked_round_up<uint64_t>(kMax, 1), kMax);
}

TEST(Checked, CeilDivOfTheLargestNumbers) {
  EXPECT_EQ(ceil_div<uint64_t>(kMax, 2), (uint64_t{1} << 63));
  EXPECT_EQ(ceil_div<uint64_t>(kMax, kMax), 1u);
  EXPECT_EQ(ceil_div<int64_t>(INT64_MAX, 64), (int64_t{1} << 57));
}

TEST(Checked, RangeFits) {
  EXPECT_TRUE(range_fits(0, 0, 0));
  EXPECT_TRUE(range_fits(10, 0, 10));
  EXPECT_TRUE(range_fits(3, 7, 10));
  EXPECT_FALSE(range_fits(3, 8, 10));
  EXPECT_FALSE(range_fits(11, 0, 10));
  EXPECT_FALSE(range_fits(kMax, 1, 10));
  EXPECT_FALSE(range_fits(1, kMax, kMax));
  EXPECT_TRUE(range_fits(0, kMax, kMax));
}

TEST(ParseBudget, GivesSixteenTimesTheInputAnd64Megabytes) {
  EXPECT_EQ(ParseBudget::for_input(0).left(), uint64_t{64} << 20);
  EXPECT_EQ(ParseBudget::for_input(1000).left(), (uint64_t{64} << 20) + 16000);
  EXPECT_EQ(ParseBudget::for_input(kMax).left(), kMax);
  EXPECT_EQ(ParseBudget::for_input(kMax / 16).left(), kMax);
}

TEST(ParseBudget, RefusesWhatIsNotLeftAndKeepsTheRest) {
  ParseBudget budget(100);
  EXPECT_TRUE(budget.charge(60, "a").ok());
  const Status refused = budget.charge(41, "vocab");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::over_limit);
  EXPECT_EQ(refused.error().where, "vocab");
  EXPECT_EQ(budget.left(), 40u);
  EXPECT_FALSE(budget.charge(kMax, "a").ok());
  EXPECT_TRUE(budget.charge(40, "a").ok());
  EXPECT_EQ(budget.left(), 0u);
  EXPECT_TRUE(budget.charge(0, "a").ok());
}

}  // namespace
}  // namespace phial

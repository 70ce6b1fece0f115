#include "base/rng.h"

#include <gtest/gtest.h>

namespace phial {
namespace {

// The first outputs of xoshiro256** with its state filled by splitmix64, as the authors advise and
// as other libraries list them.
TEST(Rng, PublishedOutputs) {
  Rng zero(0);
  for (const uint64_t expected :
       {0x99EC5F36CB75F2B4u, 0xBF6E1F784956452Au, 0x1A5F849D4933E6E0u, 0x6AA594F1262D2D2Cu,
        0xBBA5AD4A1F842E59u, 0xFFEF8375D9EBCACAu, 0x6C160DEED2F54C98u, 0x8920AD648FC30A3Fu}) {
    EXPECT_EQ(zero.next(), expected);
  }
  Rng one(1);
  for (const uint64_t expected :
       {0xB3F2AF6D0FC710C5u, 0x853B559647364CEAu, 0x92F89756082A4514u, 0x642E1C7BC266A3A7u}) {
    EXPECT_EQ(one.next(), expected);
  }
}

TEST(Rng, UniformUsesTheUpper53Bits) {
  Rng bits(7);
  Rng rng(7);
  for (int i = 0; i < 1000; ++i) {
    const double value = rng.uniform();
    EXPECT_EQ(value, static_cast<double>(bits.next() >> 11) / 9007199254740992.0);
    EXPECT_GE(value, 0.0);
    EXPECT_LT(value, 1.0);
  }
}

// The mean of 100,000 uniform numbers has a standard deviation of sqrt(1/12/100000) = 0.00091: a
// fair generator is outside of five of them once in 1.7 million seeds; this seed is fixed.
TEST(Rng, UniformHasTheRightMean) {
  Rng rng(3);
  double sum = 0;
  for (int i = 0; i < 100'000; ++i) sum += rng.uniform();
  EXPECT_NEAR(sum / 100'000, 0.5, 5 * 0.00091);
}

}  // namespace
}  // namespace phial

#include "tensor/numbers.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace phial {
namespace {

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

// (-1)^s 2^(e-bias) 1.f, subnormals 2^(1-bias) 0.f, as the tables of OFP8 say.
double f8_value(uint32_t bits, int fraction_bits) {
  const int bias = fraction_bits == 3 ? 7 : 15;
  const int exponent = static_cast<int>(bits & 0x7f) >> fraction_bits;
  const double fraction = std::ldexp(bits & ((1u << fraction_bits) - 1), -fraction_bits);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
  return bits & 0x80 ? -magnitude : magnitude;
}

// Between any two neighbours as for halves; `last` is the largest finite magnitude.
template <class Narrow>
void check_f8_narrowing(const Narrow& narrow, int fraction_bits, uint32_t last) {
  for (uint32_t bits = 0; bits < last; ++bits) {
    const double middle = (f8_value(bits, fraction_bits) + f8_value(bits + 1, fraction_bits)) / 2;
    const float exact = static_cast<float>(middle);
    const uint32_t even = bits & 1 ? bits + 1 : bits;
    for (const uint32_t sign : {0u, 0x80u}) {
      const float s = sign ? -1.0f : 1.0f;
      ASSERT_EQ(narrow(s * exact), sign | even) << bits;
      ASSERT_EQ(narrow(s * std::nextafterf(exact, 0.0f)), sign | bits) << bits;
      ASSERT_EQ(narrow(s * std::nextafterf(exact, 1e9f)), sign | (bits + 1)) << bits;
    }
  }
}

TEST(F8E4m3, EveryPatternWidensExactlyAndReturns) {
  for (uint32_t bits = 0; bits < 256; ++bits) {
    const float value = f8_e4m3_to_f32(static_cast<uint8_t>(bits));
    if ((bits & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_EQ(f32_to_f8_e4m3(value) & 0x7f, 0x7f);
      continue;
    }
    ASSERT_EQ(value, f8_value(bits, 3)) << bits;
    ASSERT_EQ(std::signbit(value), (bits & 0x80) != 0);
    ASSERT_EQ(f32_to_f8_e4m3(value), bits);
  }
}

TEST(F8E4m3, NarrowingRoundsToNearestEvenAndEndsInNan) {
  check_f8_narrowing(f32_to_f8_e4m3, 3, 0x7e);
  EXPECT_EQ(f32_to_f8_e4m3(464.0f), 0x7e);
  EXPECT_EQ(f32_to_f8_e4m3(std::nextafterf(464.0f, 1e9f)), 0x7f);
  EXPECT_EQ(f32_to_f8_e4m3(-std::numeric_limits<float>::infinity()), 0xff);
  EXPECT_EQ(f32_to_f8_e4m3(-std::numeric_limits<float>::denorm_min()), 0x80);
}

TEST(F8E5m2, EveryPatternWidensExactlyAndReturns) {
  for (uint32_t bits = 0; bits < 256; ++bits) {
    const float value = f8_e5m2_to_f32(static_cast<uint8_t>(bits));
    if ((bits & 0x7f) > 0x7c) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_EQ(f32_to_f8_e5m2(value) & 0x7f, 0x7f);
      continue;
    }
    if ((bits & 0x7f) == 0x7c) {
      ASSERT_TRUE(std::isinf(value));
    } else {
      ASSERT_EQ(value, f8_value(bits, 2)) << bits;
    }
    ASSERT_EQ(std::signbit(value), (bits & 0x80) != 0);
    ASSERT_EQ(f32_to_f8_e5m2(value), bits);
  }
}

TEST(F8E5m2, NarrowingRoundsToNearestEvenAndEndsInInfinity) {
  check_f8_narrowing(f32_to_f8_e5m2, 2, 0x7b);
  EXPECT_EQ(f32_to_f8_e5m2(61440.0f), 0x7c);
  EXPECT_EQ(f32_to_f8_e5m2(std::nextafterf(61440.0f, 0.0f)), 0x7b);
}

TEST(E8m0, IsAPowerOfTwo) {
  for (int bits = 0; bits < 255; ++bits) {
    EXPECT_EQ(e8m0_to_f32(static_cast<uint8_t>(bits)), std::ldexp(1.0, bits - 127)) << bits;
  }
  EXPECT_TRUE(std::isnan(e8m0_to_f32(255)));
}

}  // namespace
}  // namespace phial

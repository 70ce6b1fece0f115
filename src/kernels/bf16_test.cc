#include "kernels/bf16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/bf16_tables.h"
#include "kernels/test_support.h"

namespace phial {
namespace {

std::vector<const Bf16Kernels*> tested() {
  std::vector<const Bf16Kernels*> tables(bf16_tables().begin(), bf16_tables().end());
#if defined(__x86_64__)
  tables.push_back(&kEmulatedBf16);
#endif
  return tables;
}

class Bf16 : public testing::TestWithParam<const Bf16Kernels*> {
 protected:
  void SetUp() override {
    if (!is_supported(kernels())) GTEST_SKIP() << "not executed: no " << kernels().isa << " here";
  }
  const Bf16Kernels& kernels() const { return *GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Tables, Bf16, testing::ValuesIn(tested()),
                         [](const auto& param) { return std::string(param.param->isa); });

constexpr uint32_t kUntouched = 0xdeadbeef;

float half_of(uint32_t pair, int64_t index) {
  return bf16_to_f32(static_cast<uint16_t>(index % 2 == 0 ? pair : pair >> 16));
}

void expect_rounded(float x, float got) {
  const float nearest = bf16_to_f32(f32_to_bf16(x));
  if (std::isnan(x)) {
    EXPECT_TRUE(std::isnan(got)) << x;
  } else if (std::fabs(x) < 0x1p-126f && got == 0) {
    EXPECT_EQ(std::signbit(got), std::signbit(x)) << x;
  } else {
    EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(nearest)) << x;
  }
}

// Every upper half of a float32, with lower halves around the tie.
TEST_P(Bf16, RoundsToTheNearest) {
  std::vector<float> x;
  for (uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const uint32_t lower : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      x.push_back(std::bit_cast<float>(upper << 16 | lower));
    }
  }
  std::vector<uint32_t> pairs(x.size() / 2);
  kernels().round(static_cast<int64_t>(x.size()), x.data(), pairs.data());
  for (size_t i = 0; i < x.size(); ++i) {
    expect_rounded(x[i], half_of(pairs[i / 2], static_cast<int64_t>(i)));
    if (HasFailure()) return;
  }
}

TEST_P(Bf16, RoundWritesAllPairsAndNothingElse) {
  Rng rng(1);
  for (int64_t n = 0; n <= 70; ++n) {
    const std::vector<float> x = random_row(rng, n);
    const auto count = static_cast<size_t>((n + 1) / 2);
    std::vector<uint32_t> pairs(count + 1, kUntouched);
    kernels().round(n, x.data(), pairs.data());
    EXPECT_EQ(pairs[count], kUntouched) << n;
    for (int64_t i = 0; i < n; ++i) {
      expect_rounded(x[static_cast<size_t>(i)], half_of(pairs[static_cast<size_t>(i / 2)], i));
    }
    if (n % 2 == 1) {
      EXPECT_EQ(pairs[count - 1] >> 16, 0u) << n;
    }
  }
}

TEST_P(Bf16, RoundsPanelsAlsoInPlace) {
  Rng rng(2);
  for (const int64_t k : {0, 1, 2, 3, 8, 33}) {
    std::vector<float> panel = random_row(rng, k * kPanelRows);
    const auto count = static_cast<size_t>((k + 1) / 2 * kPanelRows);
    std::vector<uint32_t> pairs(count + 1, kUntouched);
    kernels().round_panel(k, panel.data(), pairs.data());
    EXPECT_EQ(pairs[count], kUntouched);
    for (int64_t c = 0; c < (k + 1) / 2 * 2; ++c) {
      for (int64_t r = 0; r < kPanelRows; ++r) {
        const float value = c < k ? panel[static_cast<size_t>(c * kPanelRows + r)] : 0;
        expect_rounded(value, half_of(pairs[static_cast<size_t>(c / 2 * kPanelRows + r)], c));
      }
    }
    std::vector<uint32_t> in_place(static_cast<size_t>(k + 1) * kPanelRows);
    if (k > 0) std::memcpy(in_place.data(), panel.data(), panel.size() * sizeof(float));
    kernels().round_panel(k, reinterpret_cast<float*>(in_place.data()), in_place.data());
    EXPECT_TRUE(std::equal(pairs.begin(), pairs.end() - 1, in_place.begin())) << k;
  }
}

// The products that gemm adds, and their magnitudes.
struct Exact {
  double sum = 0;
  double magnitude = 0;
};
Exact exact_product(const uint32_t* a, const uint32_t* b, int64_t b_stride, int64_t k) {
  Exact exact;
  for (int64_t i = 0; i < 2 * k; ++i) {
    const double product = static_cast<double>(half_of(a[i / 2], i)) *
                           static_cast<double>(half_of(b[i / 2 * b_stride], i));
    exact.sum += product;
    exact.magnitude += std::fabs(product);
  }
  return exact;
}

std::vector<uint32_t> random_pairs(Rng& rng, int64_t count, double size) {
  const std::vector<float> values = random_row(rng, 2 * count, size);
  std::vector<uint32_t> pairs(static_cast<size_t>(count));
  for (size_t i = 0; i < pairs.size(); ++i) {
    const uint32_t high = f32_to_bf16(values[2 * i + 1]);
    pairs[i] = f32_to_bf16(values[2 * i]) | high << 16;
  }
  return pairs;
}

// 2^-60 squared is below the smallest normal number.
TEST_P(Bf16, GemmIsTheProductWithinItsBound) {
  const auto check = [&](int64_t m, int64_t n, int64_t k, double size) {
    Rng rng(static_cast<uint64_t>(10000 * m + 100 * n + k));
    const int64_t a_stride = k + 3, b_stride = n + 1, c_stride = n + 2;
    const std::vector<uint32_t> a = random_pairs(rng, m * a_stride, size);
    const std::vector<uint32_t> b = random_pairs(rng, k * b_stride, size);
    for (const bool accumulate : {false, true}) {
      const std::vector<float> before = random_row(rng, m * c_stride, size);
      Guarded c(before);
      kernels().gemm(m, n, k, a.data(), a_stride, b.data(), b_stride, c.data(), c_stride,
                     accumulate);
      ASSERT_TRUE(c.intact());
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < c_stride; ++j) {
          const float old = before[static_cast<size_t>(i * c_stride + j)];
          const float got = c[i * c_stride + j];
          if (j >= n) {
            ASSERT_EQ(got, old) << "column " << j << " of " << n;
            continue;
          }
          Exact exact = exact_product(a.data() + i * a_stride, b.data() + j, b_stride, k);
          if (accumulate) exact.sum += old, exact.magnitude += std::fabs(old);
          const double depth = static_cast<double>(k);
          const double bound =
              gamma_of(2 * depth + 1) * exact.magnitude + (4 * depth + 1) * 0x1p-126;
          ASSERT_NEAR(got, exact.sum, bound) << m << " x " << n << " x " << k << ", " << i << j;
        }
      }
    }
  };
  for (const int64_t m : {0, 1, 2, 3, 4, 5, 6, 7, 11, 13}) {
    for (const int64_t n : {0, 1, 15, 16, 17, 33, 48, 63, 64, 65}) {
      for (const int64_t k : {0, 1, 2, 17}) check(m, n, k, 2);
    }
  }
  for (const int64_t k : {127, 128, 129, 300}) check(7, 64, k, 2);
  check(6, 64, 40, 0x1p-60);
  check(6, 64, 40, 0x1p60);
}

TEST_P(Bf16, ARowOfGemmDoesNotDependOnTheOthers) {
  Rng rng(3);
  const int64_t k = 150, n = 64;
  const std::vector<uint32_t> a = random_pairs(rng, 20 * k, 1);
  const std::vector<uint32_t> b = random_pairs(rng, k * n, 1);
  Guarded all(20 * n);
  kernels().gemm(20, n, k, a.data(), k, b.data(), n, all.data(), n, false);
  for (int64_t i = 0; i < 20; ++i) {
    Guarded one(n);
    kernels().gemm(1, n, k, a.data() + i * k, k, b.data(), n, one.data(), n, false);
    const std::vector<float> all_rows = all.copy();
    const std::vector<float> expected(all_rows.begin() + i * n, all_rows.begin() + (i + 1) * n);
    EXPECT_TRUE(same_bits(one.copy(), expected)) << i;
  }
}

TEST_P(Bf16, GemmPassesOnNanAndInfinity) {
  const uint32_t one = 0x3f80;
  const float infinity = std::numeric_limits<float>::infinity();
  for (const uint32_t odd : {0x7fc0u, 0x7f80u, 0xff80u}) {
    for (const int shift : {0, 16}) {
      std::vector<uint32_t> a(3, one | one << 16), b(3 * 16, one | one << 16);
      a[1] = odd << shift | one << (16 - shift);
      Guarded c(16);
      kernels().gemm(1, 16, 3, a.data(), 3, b.data(), 16, c.data(), 16, false);
      for (int64_t j = 0; j < 16; ++j) {
        if (odd == 0x7fc0u) {
          EXPECT_TRUE(std::isnan(c[j]));
        } else {
          EXPECT_EQ(c[j], odd == 0x7f80u ? infinity : -infinity);
        }
      }
    }
  }
}

TEST(Bf16Tables, FollowTheProcessor) {
  EXPECT_EQ(bf16_kernels(kReferenceKernels), nullptr);
  for (const KernelTable* table : kernel_tables()) {
    const Bf16Kernels* kernels = bf16_kernels(*table);
    if (kernels != nullptr) {
      EXPECT_TRUE(is_supported(*kernels)) << table->isa;
    }
  }
}

}  // namespace
}  // namespace phial

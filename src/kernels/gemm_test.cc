#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/test_support.h"

namespace phial {
namespace {

struct Product {
  std::vector<float> c;
  bool intact;
};

Product run_gemm(const KernelTable& table, int64_t m, int64_t n, int64_t k, bool accumulate) {
  Rng rng(static_cast<uint64_t>(1000 * m + 10 * n + k));
  const int64_t a_stride = k + 3, b_stride = n + 1, c_stride = n + 2;
  const std::vector<float> a = random_row(rng, m * a_stride);
  const std::vector<float> b = random_row(rng, k * b_stride);
  Guarded c(random_row(rng, m * c_stride));
  for (int64_t i = 0; i < m; ++i) c[i * c_stride + n] = c[i * c_stride + n + 1] = 77.0f;
  table.gemm(m, n, k, a.data(), a_stride, b.data(), b_stride, c.data(), c_stride, accumulate);
  bool intact = c.intact();
  for (int64_t i = 0; i < m; ++i) {
    intact = intact && c[i * c_stride + n] == 77.0f && c[i * c_stride + n + 1] == 77.0f;
  }
  return {c.copy(), intact};
}

class Gemm : public KernelTest {};

// The contract fixes every rounding, so all tables agree with the reference bit by bit: for all
// heights and widths of tiles, and depths around the slice of each table (128 and 512).
TEST_P(Gemm, HasTheBitsOfTheReference) {
  const auto check = [&](int64_t m, int64_t n, int64_t k) {
    for (const bool accumulate : {false, true}) {
      const Product expected = run_gemm(kReferenceKernels, m, n, k, accumulate);
      const Product got = run_gemm(table(), m, n, k, accumulate);
      ASSERT_TRUE(got.intact) << m << " x " << n << " x " << k;
      ASSERT_TRUE(same_bits(got.c, expected.c))
          << m << " x " << n << " x " << k << (accumulate ? " accumulated" : "");
    }
  };
  for (const int64_t m : {0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 25}) {
    for (const int64_t n : {0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 48, 49, 63, 64, 65, 130}) {
      for (const int64_t k : {0, 1, 2, 17}) check(m, n, k);
    }
  }
  for (const int64_t k : {127, 128, 129, 511, 512, 513, 1100}) {
    check(6, 64, k);
    check(7, 21, k);
  }
}

TEST_P(Gemm, ARowDoesNotDependOnTheOthers) {
  Rng rng(11);
  const int64_t k = 150, n = 70;
  const std::vector<float> a = random_row(rng, 20 * k);
  const std::vector<float> b = random_row(rng, k * n);
  Guarded all(20 * n);
  table().gemm(20, n, k, a.data(), k, b.data(), n, all.data(), n, false);
  for (int64_t i = 0; i < 20; ++i) {
    Guarded one(n);
    table().gemm(1, n, k, a.data() + i * k, k, b.data(), n, one.data(), n, false);
    ASSERT_EQ(std::memcmp(one.data(), all.data() + i * n, n * sizeof(float)), 0) << i;
  }
}

TEST_P(Gemm, NanStaysInItsRowAndColumn) {
  const int64_t m = 9, n = 70, k = 33;
  std::vector<float> a(static_cast<size_t>(m * k), 1.0f), b(static_cast<size_t>(k * n), 1.0f);
  a[3 * k + 32] = std::numeric_limits<float>::quiet_NaN();
  b[5 * n + 69] = std::numeric_limits<float>::quiet_NaN();
  Guarded c(m * n);
  table().gemm(m, n, k, a.data(), k, b.data(), n, c.data(), n, false);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      ASSERT_EQ(std::isnan(c[i * n + j]), i == 3 || j == 69) << i << " " << j;
    }
  }
}

// k roundings per element (Higham 2002, section 3.5).
TEST(GemmReference, IsCloseToTheExactProduct) {
  Rng rng(12);
  const int64_t m = 5, n = 6, k = 400;
  const std::vector<float> a = random_row(rng, m * k);
  const std::vector<float> b = random_row(rng, k * n);
  std::vector<float> c(static_cast<size_t>(m * n), 1.0f);
  kReferenceKernels.gemm(m, n, k, a.data(), k, b.data(), n, c.data(), n, true);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double expected = 1, magnitude = 1;
      for (int64_t l = 0; l < k; ++l) {
        const double product = static_cast<double>(a[static_cast<size_t>(i * k + l)]) *
                               b[static_cast<size_t>(l * n + j)];
        expected += product;
        magnitude += std::fabs(product);
      }
      ASSERT_NEAR(c[static_cast<size_t>(i * n + j)], expected, gamma_of(k) * magnitude);
    }
  }
}

PHIAL_INSTANTIATE_KERNEL_TEST(Gemm);

}  // namespace
}  // namespace phial

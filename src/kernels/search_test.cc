#include "kernels/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/tables.h"
#include "sys/cpu.h"
#include "tensor/block_codebook.h"

namespace phial {
namespace {

constexpr int kLanes = kSearchLanes;

bool can_run(const SearchTable& table) {
  const CpuInfo cpu = probe_cpu();
  const std::string_view isa = table.isa;
  return isa == "reference" || (isa == "avx2" && cpu.avx2) || (isa == "avx512" && cpu.avx512);
}

// Groups of all sizes; among the lanes zeros, equal values, tiny and large ones, zero weights.
struct Values {
  explicit Values(int n_arg, uint64_t seed = 7) : n(n_arg), x(count()), w(count()) {
    Rng rng(seed);
    for (int j = 0; j < n; ++j) {
      for (int l = 0; l < kLanes; ++l) {
        const auto at = static_cast<size_t>(j * kLanes + l);
        double value = rng.uniform() + rng.uniform() + rng.uniform() - 1.5;
        if (l == 3) value = 0;
        if (l == 4) value = -0.75;
        if (l == 5) value *= 1e-40;
        if (l == 6) value *= 1e30;
        if (l == 7) value = std::fabs(value) + 1;
        x[at] = static_cast<float>(value);
        w[at] = static_cast<float>(l == 8 ? 0 : 0.1 + rng.uniform());
      }
    }
  }
  size_t count() const { return static_cast<size_t>(n) * kLanes; }
  SearchGroups groups() const { return {n, x.data(), w.data()}; }

  int n;
  std::vector<float> x, w;
};

constexpr float kSteps[] = {-9.0f, -8.5f, -8.0f, -7.5f, -7.0f, 7.0f, 6.5f};
constexpr float kCuts[] = {0, 0, 0.05f, 0, 0, 0.05f, 0.05f, 0.05f, -0.02f, -0.02f};
constexpr SearchCodes kNibbles = {-8, 7, nullptr};
constexpr SearchCodes kBook = {-127, 113, kIq4Levels};
constexpr SearchCodes kRange = {0, 15, nullptr};

struct Found {
  float scales[kLanes], range_scales[kLanes], minimums[kLanes], book_scales[kLanes];
  SearchSums sums, range_sums, book_sums;
  uint8_t codes[kLanes * 64], range_codes[kLanes * 64], book_codes[kLanes * 64];
};

Found search(const SearchTable& table, const Values& values) {
  Found out;
  std::memset(&out, 0, sizeof(out));
  const SearchGroups groups = values.groups();
  table.fit_scale(groups, kNibbles, kSteps, 7, 2, out.scales);
  table.choose(groups, kNibbles, out.scales, nullptr, &out.sums, out.codes);
  constexpr float kBookSteps[] = {-127, -140, 113, -115};
  table.fit_scale(groups, kBook, kBookSteps, 4, 2, out.book_scales);
  table.choose(groups, kBook, out.book_scales, nullptr, &out.book_sums, out.book_codes);
  table.fit_range(groups, kRange, kCuts, 5, 2, values.n % 32 == 0, out.range_scales, out.minimums);
  table.choose(groups, kRange, out.range_scales, out.minimums, &out.range_sums, out.range_codes);
  return out;
}

TEST(Search, IsTheSameBitForBitOnAllInstructionSets) {
  for (const int n : {1, 16, 32, 33, 64}) {
    const Values values(n);
    const Found expected = search(*search_tables()[0], values);
    for (const SearchTable* table : search_tables()) {
      if (!can_run(*table)) continue;
      const Found found = search(*table, values);
      EXPECT_EQ(std::memcmp(&found, &expected, sizeof(found)), 0) << table->isa << ", n " << n;
    }
  }
}

TEST(Search, TheTableGoesWithTheKernels) {
  EXPECT_STREQ(search_table_for(kReferenceKernels).isa, "reference");
  for (const KernelTable* kernels : kernel_tables()) {
    const std::string_view chosen = search_table_for(*kernels).isa;
    EXPECT_TRUE(chosen == kernels->isa || chosen == "reference");
  }
}

double squared_error(const Values& values, int lane, double scale, double minimum, double low,
                     double high) {
  double sum = 0;
  for (int j = 0; j < values.n; ++j) {
    const auto at = static_cast<size_t>(j * kLanes + lane);
    const double x = static_cast<double>(values.x[at]);
    const double q =
        scale == 0 ? low : std::clamp(std::nearbyint((x - minimum) / scale), low, high);
    sum += static_cast<double>(values.w[at]) * std::pow(x - scale * q - minimum, 2);
  }
  return sum;
}

// An exhaustive ladder of scales is the best there is; the search stays near it.
TEST(Search, ScalesAreNearTheBest) {
  const Values values(32, 11);
  float scales[kLanes];
  float steps[32];
  for (int i = 0; i < 32; ++i) {
    steps[i] =
        i < 18 ? -9.6f + 0.2f * static_cast<float>(i) : 6.2f + 0.2f * static_cast<float>(i - 18);
  }
  search_tables()[0]->fit_scale(values.groups(), kNibbles, steps, 32, 3, scales);
  for (int lane = 9; lane < kLanes; ++lane) {
    double best = 1e300;
    for (int i = 1; i <= 20000; ++i) {
      for (const int sign : {-1, 1}) {
        best = std::min(best, squared_error(values, lane, sign * i * 2e-5, 0, -8, 7));
      }
    }
    EXPECT_LT(squared_error(values, lane, static_cast<double>(scales[lane]), 0, -8, 7), 1.03 * best)
        << lane;
  }
}

TEST(Search, ExactGroupsAreFoundExactly) {
  Values values(32, 3);
  Rng rng(5);
  for (int j = 0; j < 32; ++j) {
    for (int l = 0; l < kLanes; ++l) {
      const int code = j == 0 ? 0 : j == 1 ? 15 : static_cast<int>(rng.next() % 16);
      values.x[static_cast<size_t>(j * kLanes + l)] =
          0.25f * static_cast<float>(code) - 1.75f + 0.5f * static_cast<float>(l % 3);
    }
  }
  float scales[kLanes], minimums[kLanes];
  SearchSums sums;
  uint8_t codes[kLanes * 32];
  const SearchTable& table = *search_tables()[0];
  constexpr float kNone[] = {0, 0};
  table.fit_range(values.groups(), kRange, kNone, 1, 1, false, scales, minimums);
  table.choose(values.groups(), kRange, scales, minimums, &sums, codes);
  for (int l = 0; l < kLanes; ++l) {
    // Least squares in float32 leave rounding of the sums: 32 terms of about 2^3.
    EXPECT_NEAR(scales[l], 0.25f, 1e-5f) << l;
    EXPECT_EQ(codes[l * 32], 0) << l;
    EXPECT_EQ(codes[l * 32 + 1], 15) << l;
  }
}

TEST(Search, MinimumsAreNeverPositiveWhereTheyMayNot) {
  const Values values(32, 19);
  float scales[kLanes], minimums[kLanes];
  search_tables()[0]->fit_range(values.groups(), kRange, kCuts, 5, 3, true, scales, minimums);
  for (int l = 0; l < kLanes; ++l) {
    EXPECT_LE(minimums[l], 0.0f) << l;
    EXPECT_GE(scales[l], 0.0f) << l;
  }
}

TEST(Search, ZerosGiveZeros) {
  Values values(32);
  std::fill(values.x.begin(), values.x.end(), 0.0f);
  const Found found = search(*search_tables()[0], values);
  for (int l = 0; l < kLanes; ++l) {
    EXPECT_EQ(found.scales[l], 0.0f);
    EXPECT_EQ(found.sums.error[l], 0.0f);
    EXPECT_EQ(found.codes[l * 32], 8) << "the code of 0";
  }
}

TEST(Search, SumsAreThoseOfTheCodes) {
  const Values values(32, 23);
  const Found found = search(*search_tables()[0], values);
  for (const int lane : {0, 1, 2, 15}) {
    double wq = 0, wqq = 0, wxq = 0, w_sum = 0, wx = 0, error = 0;
    for (int j = 0; j < 32; ++j) {
      const auto at = static_cast<size_t>(j * kLanes + lane);
      const double w = static_cast<double>(values.w[at]), x = static_cast<double>(values.x[at]);
      const double q = found.codes[lane * 32 + j] - 8;
      w_sum += w;
      wx += w * x;
      wq += w * q;
      wqq += w * q * q;
      wxq += w * x * q;
      error += w * std::pow(x - static_cast<double>(found.scales[lane]) * q, 2);
    }
    // 32 rounded terms each: 32 * 2^-24 of the sum of magnitudes, which is below 32 * 64.
    const double tolerance = 32 * 64 * 32 * std::ldexp(1.0, -24);
    EXPECT_NEAR(static_cast<double>(found.sums.w[lane]), w_sum, tolerance);
    EXPECT_NEAR(static_cast<double>(found.sums.wx[lane]), wx, tolerance);
    EXPECT_NEAR(static_cast<double>(found.sums.wq[lane]), wq, tolerance);
    EXPECT_NEAR(static_cast<double>(found.sums.wqq[lane]), wqq, tolerance);
    EXPECT_NEAR(static_cast<double>(found.sums.wxq[lane]), wxq, tolerance);
    EXPECT_NEAR(static_cast<double>(found.sums.error[lane]), error, tolerance);
  }
}

}  // namespace
}  // namespace phial

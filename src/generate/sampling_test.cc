#include "generate/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace phial {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<TokenProbability> filtered(std::vector<float> logits, const SamplingOptions& options) {
  auto result = filtered_distribution(logits, options);
  EXPECT_TRUE(result.ok());
  if (!result.ok()) return {};
  std::ranges::stable_sort(*result, std::greater<>(), &TokenProbability::probability);
  return *result;  // most likely first
}

std::vector<int32_t> ids(const std::vector<TokenProbability>& distribution) {
  std::vector<int32_t> out;
  for (const TokenProbability& p : distribution) out.push_back(p.id);
  return out;
}

TEST(Sampling, ArgmaxTakesTheFirstOfEqualsAndSkipsNaN) {
  EXPECT_EQ(*argmax(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(*argmax(std::vector<float>{kNaN, -5, kNaN, -4}), 3);
  EXPECT_EQ(*argmax(std::vector<float>{1, kInfinity, 3}), 1);
  EXPECT_EQ(argmax(std::vector<float>{kNaN, kNaN}).error().code, ErrorCode::failed);
  EXPECT_EQ(argmax(std::vector<float>{-kInfinity, kNaN}).error().code, ErrorCode::failed);
}

TEST(Sampling, NamesOptionsOutOfRange) {
  for (const float t : {0.0f, -1.0f, kNaN, kInfinity}) {
    EXPECT_FALSE(check_sampling({.do_sample = true, .temperature = t}).ok()) << t;
  }
  for (const float p : {0.0f, -0.5f, 1.5f, kNaN}) {
    EXPECT_FALSE(check_sampling({.do_sample = true, .top_p = p}).ok()) << p;
  }
  EXPECT_FALSE(check_sampling({.do_sample = true, .top_k = -1}).ok());
  EXPECT_EQ(check_sampling({.top_p = 7}).error().where, "top_p");
}

TEST(Sampling, TopKKeepsEqualsOfTheLast) {
  EXPECT_EQ(ids(filtered({1, 5, 3, 4, 3}, {.do_sample = true, .top_k = 2})),
            (std::vector<int32_t>{1, 3}));
  EXPECT_EQ(ids(filtered({1, 5, 3, 4, 3}, {.do_sample = true, .top_k = 3})),
            (std::vector<int32_t>{1, 3, 2, 4}));
  EXPECT_EQ(filtered({1, 5, 3}, {.do_sample = true, .top_k = 100}).size(), 3u);
}

TEST(Sampling, TopPKeepsTheTokenThatReachesIt) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const float ln2 = std::log(2.0f);
  const std::vector<float> logits = {-3 * ln2, -1 * ln2, -3 * ln2, -2 * ln2};
  EXPECT_EQ(ids(filtered(logits, {.do_sample = true, .top_p = 0.4f})), (std::vector<int32_t>{1}));
  EXPECT_EQ(ids(filtered(logits, {.do_sample = true, .top_p = 0.6f})),
            (std::vector<int32_t>{1, 3}));
  // Of two equals the larger id stays, as with torch on a CPU.
  EXPECT_EQ(ids(filtered(logits, {.do_sample = true, .top_p = 0.8f})),
            (std::vector<int32_t>{1, 3, 2}));
  EXPECT_EQ(filtered(logits, {.do_sample = true, .top_p = 1e-9f}).size(), 1u);
}

TEST(Sampling, TemperatureSharpensTheDistribution) {
  const auto cold = filtered({0, 1}, {.do_sample = true, .temperature = 0.5f});
  EXPECT_NEAR(cold[0].probability, 1 / (1 + std::exp(-2.0)), 1e-12);
  // So cold that the quotient overflows: the best token alone.
  const auto frozen = filtered({1, 5}, {.do_sample = true, .temperature = 1e-40f});
  EXPECT_EQ(frozen[0].id, 1);
  EXPECT_EQ(frozen[0].probability, 1.0);
}

TEST(Sampling, ProbabilitiesSumToOneAndMaskedTokensAreOut) {
  const auto d = filtered({1, -kInfinity, 2, kNaN, 0.5f}, {.do_sample = true, .top_p = 0.99f});
  double sum = 0;
  for (const TokenProbability& p : d) sum += p.probability;
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_EQ(ids(d), (std::vector<int32_t>{2, 0, 4}));
}

TEST(Sampling, SeedDecidesTheTokens) {
  const std::vector<float> logits = {0, 0.5f, 1, 1.5f};
  const SamplingOptions options = {.do_sample = true};
  std::vector<int32_t> first, second;
  Rng a(42), b(42);
  for (int i = 0; i < 100; ++i) {
    first.push_back(*sample_token(logits, options, a));
    second.push_back(*sample_token(logits, options, b));
  }
  EXPECT_EQ(first, second);
}

// The statistic of `counts` against `expected`, in standard deviations of its distribution: with k
// degrees of freedom it has mean k and variance 2k.
double chi_square_deviations(const std::vector<double>& counts,
                             const std::vector<double>& expected) {
  double chi_square = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    chi_square += (counts[i] - expected[i]) * (counts[i] - expected[i]) / expected[i];
  }
  const double freedom = static_cast<double>(counts.size()) - 1;
  return (chi_square - freedom) / std::sqrt(2 * freedom);
}

// 100,000 draws for each set of filters. The seeds are fixed; another one would leave 4 deviations
// about once in a few thousand.
TEST(Sampling, DrawsFollowTheDistribution) {
  std::vector<float> logits(64);
  Rng noise(3);
  for (float& logit : logits) logit = static_cast<float>(3 * noise.uniform());
  constexpr int kDraws = 100000;
  const SamplingOptions kinds[] = {{.do_sample = true, .temperature = 0.8f},
                                   {.do_sample = true, .top_k = 20},
                                   {.do_sample = true, .top_p = 0.7f},
                                   {.do_sample = true, .min_p = 0.3f},
                                   {.do_sample = true, .typical_p = 0.5f},
                                   {.do_sample = true,
                                    .temperature = 1.5f,
                                    .top_k = 40,
                                    .top_p = 0.9f,
                                    .min_p = 0.05f,
                                    .typical_p = 0.9f}};
  uint64_t seed = 7;
  for (const SamplingOptions& options : kinds) {
    const auto distribution = filtered(logits, options);
    ASSERT_GT(distribution.size(), 3u);
    std::vector<double> by_id(logits.size());
    Rng rng(seed++);
    for (int i = 0; i < kDraws; ++i) {
      ++by_id[static_cast<size_t>(*sample_token(logits, options, rng))];
    }
    std::vector<double> counts, expected;
    double total = 0;
    for (const TokenProbability& p : distribution) {
      counts.push_back(by_id[static_cast<size_t>(p.id)]);
      expected.push_back(p.probability * kDraws);
      total += counts.back();
    }
    EXPECT_EQ(total, kDraws) << "nothing else is drawn";
    EXPECT_LT(std::abs(chi_square_deviations(counts, expected)), 4) << counts.size();
  }
}

// The probability of an ordered pair is p(a) p(b) / (1 - p(a)).
TEST(Sampling, DrawsWithoutReplacementFollowTheirDistribution) {
  const std::vector<double> weights = {1, 2, 0, 3, 4};
  constexpr int kDraws = 100000;
  std::vector<double> by_pair(25), counts, expected;
  Rng rng(11);
  for (int i = 0; i < kDraws; ++i) {
    const auto drawn = draw_without_replacement(weights, 2, rng);
    ASSERT_EQ(drawn.size(), 2u);
    ++by_pair[drawn[0] * 5 + drawn[1]];
  }
  double total = 0;
  for (size_t a = 0; a < 5; ++a) {
    for (size_t b = 0; b < 5; ++b) {
      if (a == b || weights[a] == 0 || weights[b] == 0) continue;
      counts.push_back(by_pair[a * 5 + b]);
      expected.push_back(kDraws * weights[a] / 10 * weights[b] / (10 - weights[a]));
      total += counts.back();
    }
  }
  EXPECT_EQ(total, kDraws);
  EXPECT_LT(std::abs(chi_square_deviations(counts, expected)), 4);
  EXPECT_EQ(draw_without_replacement(weights, 9, rng).size(), 4u) << "no more than there are";
}

}  // namespace
}  // namespace phial

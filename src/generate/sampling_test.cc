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

// 100,000 draws against the distribution; chi-square with 3 degrees of freedom exceeds 16.27 once
// in a thousand seeds, and the seed is fixed.
TEST(Sampling, DrawsFollowTheDistribution) {
  const std::vector<float> logits = {0, 0.5f, 1, 1.5f};
  const SamplingOptions options = {.do_sample = true, .temperature = 0.8f};
  const auto distribution = filtered(logits, options);
  constexpr int kDraws = 100000;
  std::vector<int> counts(logits.size());
  Rng rng(7);
  for (int i = 0; i < kDraws; ++i)
    ++counts[static_cast<size_t>(*sample_token(logits, options, rng))];
  double chi_square = 0;
  for (const TokenProbability& p : distribution) {
    const double expected = p.probability * kDraws;
    const double difference = counts[static_cast<size_t>(p.id)] - expected;
    chi_square += difference * difference / expected;
  }
  EXPECT_LT(chi_square, 16.27);
}

}  // namespace
}  // namespace phial

// The sampling filters against transformers' warpers on random logits (tests/golden/generation,
// made by tests/golden/make_generation.py).
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "base/rng.h"
#include "engine/golden_models.h"
#include "generate/warpers.h"

namespace phial {
namespace {

// Bell-shaped, of a spread between 0.5 and 8; make_generation.py draws the same numbers.
std::vector<float> random_logits(uint64_t seed, size_t vocabulary) {
  Rng rng(seed);
  const double spread = 0.5 + 7.5 * rng.uniform();
  std::vector<float> logits(vocabulary);
  for (float& logit : logits) {
    const double a = rng.uniform();
    const double b = rng.uniform();
    logit = static_cast<float>((a + b + rng.uniform() - 1.5) * spread);
  }
  return logits;
}

// 32-bit FNV-1a of the ids as 16-bit little-endian numbers.
uint32_t hash_ids(const std::vector<Candidate>& candidates) {
  uint32_t value = 0x811C9DC5;
  for (const Candidate& c : candidates) {
    for (const int32_t byte : {c.id & 255, c.id >> 8}) {
      value = (value ^ static_cast<uint32_t>(byte)) * 0x01000193;
    }
  }
  return value;
}

double weighted_sum(const std::vector<Candidate>& candidates) {
  const std::vector<double> weights = softmax_weights(candidates);
  double sum = 0;
  double weighted = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    sum += weights[i];
    weighted += weights[i] * ((candidates[i].id * 7919) % 1009) / 1009.0;
  }
  return weighted / sum;
}

SamplingOptions options_of(const Json& json) {
  SamplingOptions options;
  const auto real = [&json](const char* key, float& out) {
    if (const Json* value = json.find(key)) out = static_cast<float>(*value->number());
  };
  real("temperature", options.temperature);
  real("top_p", options.top_p);
  real("min_p", options.min_p);
  real("typical_p", options.typical_p);
  if (const Json* k = json.find("top_k")) options.top_k = static_cast<int32_t>(*k->if_integer());
  return options;
}

TEST(FiltersGolden, LeaveWhatTransformersLeaves) {
  const std::string path = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/generation/filters.json";
  const std::string text = must(read_text(*disk_files(), path, 1u << 22));
  const Json golden = must(parse_json(text, "filters.json"));
  const auto vectors = static_cast<uint64_t>(*golden.find("vectors")->if_integer());
  const auto vocabulary = static_cast<size_t>(*golden.find("vocabulary")->if_integer());
  std::vector<std::vector<float>> logits;
  for (uint64_t seed = 1; seed <= vectors; ++seed) {
    logits.push_back(random_logits(seed, vocabulary));
  }
  const Json::Array& cases = *golden.find("cases")->if_array();
  EXPECT_GE(cases.size(), 18u);
  for (const Json& item : cases) {
    const Json& given = *item.find("options");
    SCOPED_TRACE(to_text(given));
    const Json* keep = given.find("keep");
    const auto least = static_cast<size_t>(keep == nullptr ? 1 : *keep->if_integer());
    std::istringstream kept(*item.find("kept")->if_string());
    const Json::Array& checksums = *item.find("checksums")->if_array();
    size_t compared = 0;
    for (size_t i = 0; i < vectors; ++i) {
      std::string hash;
      kept >> hash;
      if (hash == "-") continue;  // a token within rounding of the border
      const auto left = must(warp(logits[i], options_of(given), least));
      ASSERT_EQ(hash_ids(left), std::stoul(hash, nullptr, 16)) << "vector " << i;
      // Probabilities are within 1e-6 of float32's, and the checksum is in millionths.
      const double expected = static_cast<double>(*checksums[i].if_integer()) * 1e-6;
      ASSERT_NEAR(weighted_sum(left), expected, 2e-6) << "vector " << i;
      ++compared;
    }
    EXPECT_GE(compared, 1000u);
  }
}

}  // namespace
}  // namespace phial

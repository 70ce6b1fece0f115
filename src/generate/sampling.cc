#include "generate/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace phial {

Status check_sampling(const SamplingOptions& options) {
  if (!std::isfinite(options.temperature) || options.temperature <= 0) {
    return usage_error("temperature",
                       fmt::format("expected a number above 0, got {}", options.temperature));
  }
  if (options.top_k < 0) {
    return usage_error("top_k", fmt::format("expected 0 or more, got {}", options.top_k));
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return usage_error(
        "top_p", fmt::format("expected a number above 0 and at most 1, got {}", options.top_p));
  }
  return {};
}

Result<int32_t> argmax(std::span<const float> logits) {
  int32_t best = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) continue;
    if (best < 0 || logits[i] > logits[static_cast<size_t>(best)]) best = static_cast<int32_t>(i);
  }
  if (best < 0 || logits[static_cast<size_t>(best)] == -std::numeric_limits<float>::infinity()) {
    return failed("sampling", "no token is possible: every logit is NaN or minus infinity");
  }
  return best;
}

Result<std::vector<TokenProbability>> filtered_distribution(std::span<const float> logits,
                                                            const SamplingOptions& options) {
  PHIAL_TRY(check_sampling(options));
  PHIAL_ASSIGN(const int32_t best, argmax(logits));
  struct Candidate {
    int32_t id;
    float logit;
    float scaled;  // by the temperature, in float32 as transformers does; may overflow
  };
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == -std::numeric_limits<float>::infinity()) continue;
    candidates.push_back({static_cast<int32_t>(i), logits[i], logits[i] / options.temperature});
  }
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    if (a.scaled != b.scaled) return a.scaled > b.scaled;
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  // Top-k keeps what is not below the k-th logit, equals included, as transformers does.
  const auto k = static_cast<size_t>(options.top_k);
  if (k > 0 && k < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<int64_t>(k - 1),
                     candidates.end(), likelier);
    const float least = candidates[k - 1].scaled;
    std::erase_if(candidates, [least](const Candidate& c) { return c.scaled < least; });
  }
  std::sort(candidates.begin(), candidates.end(), likelier);

  const float top = logits[static_cast<size_t>(best)];
  std::vector<TokenProbability> out;
  out.reserve(candidates.size());
  double sum = 0;
  for (const Candidate& c : candidates) {
    // An infinite logit wins alone; subtracting it would make NaN.
    const double below = static_cast<double>(c.logit) - static_cast<double>(top);
    const double weight = c.logit == top ? 1.0 : std::exp(below / options.temperature);
    out.push_back({c.id, weight});
    sum += weight;
  }
  if (options.top_p < 1) {
    // The first tokens whose sum reaches top_p stay, the one that reaches it included.
    double before = 0;
    size_t kept = 0;
    while (kept < out.size() && before < static_cast<double>(options.top_p) * sum) {
      before += out[kept++].probability;
    }
    out.resize(std::max<size_t>(kept, 1));
    sum = 0;
    for (const TokenProbability& p : out) sum += p.probability;
  }
  for (TokenProbability& p : out) p.probability /= sum;
  return out;
}

Result<int32_t> sample_token(std::span<const float> logits, const SamplingOptions& options,
                             Rng& rng) {
  if (!options.do_sample) return argmax(logits);
  PHIAL_ASSIGN(const auto distribution, filtered_distribution(logits, options));
  const double target = rng.uniform();
  double sum = 0;
  for (const TokenProbability& p : distribution) {
    sum += p.probability;
    if (target < sum) return p.id;
  }
  return distribution.back().id;  // rounding left the sum a little below 1
}

}  // namespace phial

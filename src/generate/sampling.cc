#include "generate/sampling.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "generate/warpers.h"

namespace phial {

Result<int32_t> argmax(std::span<const float> scores) {
  int32_t best = -1;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) continue;
    if (best < 0 || scores[i] > scores[static_cast<size_t>(best)]) best = static_cast<int32_t>(i);
  }
  if (best < 0 || scores[static_cast<size_t>(best)] == -std::numeric_limits<float>::infinity()) {
    return failed("sampling", "no token is possible: every score is NaN or minus infinity");
  }
  return best;
}

Result<std::vector<TokenProbability>> filtered_distribution(std::span<const float> scores,
                                                            const SamplingOptions& options) {
  PHIAL_TRY(check_sampling(options));
  PHIAL_ASSIGN(const std::vector<Candidate> candidates, warp(scores, options));
  const std::vector<double> weights = softmax_weights(candidates);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<TokenProbability> out;
  out.reserve(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    out.push_back({candidates[i].id, weights[i] / sum});
  }
  return out;
}

size_t draw(std::span<const double> weights, Rng& rng) {
  const double target = rng.uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  size_t last = 0;  // rounding may leave the sum a little below the target
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    sum += weights[i];
    last = i;
    if (target < sum) break;
  }
  return last;
}

std::vector<size_t> draw_without_replacement(std::vector<double> weights, size_t n, Rng& rng) {
  size_t possible = 0;
  for (const double weight : weights) possible += weight > 0 ? 1 : 0;
  std::vector<size_t> drawn;
  while (drawn.size() < std::min(n, possible)) {
    drawn.push_back(draw(weights, rng));
    weights[drawn.back()] = 0;
  }
  return drawn;
}

Result<int32_t> sample_token(std::span<const float> scores, const SamplingOptions& options,
                             Rng& rng) {
  if (!options.do_sample) return argmax(scores);
  PHIAL_ASSIGN(const std::vector<Candidate> candidates, warp(scores, options));
  return candidates[draw(softmax_weights(candidates), rng)].id;
}

}  // namespace phial

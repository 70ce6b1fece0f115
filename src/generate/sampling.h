// From scores to a token: the most likely one, or drawn from what the filters leave.
//
// The random numbers are integers made real, sums run over the tokens in the order of their ids and
// in double: a seed gives the same tokens on every instruction set unless a draw falls within the
// rounding of the logits of a border between two tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "generate/options.h"

namespace phial {

// The most likely token; the first of equals. failed when no score is a number.
// REQUIRES: !scores.empty()
Result<int32_t> argmax(std::span<const float> scores);

// What the filters leave, in the order of the ids; the probabilities sum to 1.
struct TokenProbability {
  int32_t id;
  double probability;
};
Result<std::vector<TokenProbability>> filtered_distribution(std::span<const float> scores,
                                                            const SamplingOptions& options);

// An index into `weights`, with a probability in proportion to its weight. Takes one number of
// `rng`. REQUIRES: no weight is below 0, one is above
size_t draw(std::span<const double> weights, Rng& rng);

// Up to `n` different indices, drawn one after another without putting back, in the order of the
// draws; fewer when fewer weights are above 0. Takes one number of `rng` each.
std::vector<size_t> draw_without_replacement(std::vector<double> weights, size_t n, Rng& rng);

// One token as `options` say. failed when no score is a number.
Result<int32_t> sample_token(std::span<const float> scores, const SamplingOptions& options,
                             Rng& rng);

}  // namespace phial

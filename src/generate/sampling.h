// From logits to a token: greedy, or drawn from the distribution that temperature, top-k and top-p
// leave, in the order and with the meaning of Hugging Face transformers' logits processors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "base/status.h"

namespace phial {

struct SamplingOptions {
  bool do_sample = false;    // false: the most likely token, the first of equals
  float temperature = 1.0f;  // divides the logits; > 0, finite
  int32_t top_k = 0;         // only the k most likely tokens (and those equal to the last); 0: off
  float top_p = 1.0f;        // only the most likely tokens whose probabilities reach it; 1: off
};

// usage, naming the option and its range.
Status check_sampling(const SamplingOptions& options);

// The most likely token; the first of equals. failed when no logit is a number.
// REQUIRES: !logits.empty()
Result<int32_t> argmax(std::span<const float> logits);

// What the filters leave: ids with their probabilities, most likely first; they sum to 1.
struct TokenProbability {
  int32_t id;
  double probability;
};
Result<std::vector<TokenProbability>> filtered_distribution(std::span<const float> logits,
                                                            const SamplingOptions& options);

// One token. The random numbers are integers made real, and sums run in a fixed order, so a seed
// gives the same tokens wherever the logits are the same. failed when no logit is a number.
Result<int32_t> sample_token(std::span<const float> logits, const SamplingOptions& options,
                             Rng& rng);

}  // namespace phial

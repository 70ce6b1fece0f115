// Log-probabilities of tokens, from raw logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace phial {

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

// The chosen token and the most likely ones, best first (of equals the smaller id).
struct TokenLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
};

// log of the sum of exp(logits): logit - this is a log-probability. NaN counts as minus infinity.
double log_sum_exp(std::span<const float> logits);

// REQUIRES: 0 <= chosen < logits.size(); top >= 0 (as many as there are, at most)
TokenLogprobs token_logprobs(std::span<const float> logits, int32_t chosen, int32_t top);

}  // namespace phial

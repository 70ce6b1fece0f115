// The filters of sampling, transformers' warpers: temperature, top-k, top-p, min-p, typical, in
// this order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "generate/options.h"

namespace phial {

struct Candidate {
  int32_t id;
  float score;
};

// The tokens that the filters of `options` leave, with their scores divided by the temperature, in
// the order of their ids; do_sample is not looked at. NaN and minus infinity are never left; where
// plus infinity occurs, only it is. Each filter leaves at least `min_tokens_to_keep` tokens, as
// beam search asks for. failed when no token is possible.
//
// Scores are float32, as in transformers. Probabilities are computed in double where transformers
// computes them in float32, so that a token whose rank is decided by the last bits of a float32 sum
// may fall on the other side. Of equal scores at top-p's edge the larger ids stay, which is what
// torch does on a CPU; at the edge of min_tokens_to_keep the smaller ones, which torch leaves open.
Result<std::vector<Candidate>> warp(std::span<const float> scores, const SamplingOptions& options,
                                    size_t min_tokens_to_keep = 1);

// exp(score - largest score) of each candidate: probabilities but for a factor.
std::vector<double> softmax_weights(std::span<const Candidate> candidates);

}  // namespace phial

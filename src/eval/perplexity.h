// Perplexity of a text: how surprised a model is, token by token.
#pragma once

#include <cstdint>
#include <span>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/sequence.h"
#include "eval/windows.h"

namespace phial {

//   nll = sum of -log p(token) / number of scored tokens,  perplexity = exp(nll)
//
// Hugging Face's guide, whose windows these are (eval/windows.h), averages per window and weighs
// the later windows by one token too few; the sum over tokens, which it approximates, is taken
// here.
struct PerplexityReport {
  double nll = 0;  // mean, in nats
  double perplexity = 0;
  int64_t tokens = 0;  // scored
  int64_t windows = 0;
};

// Scores `ids` with `sequence`, which is emptied before and after. A row's probabilities are
// float32, all sums are double. Errors: those of read_windows.
Result<PerplexityReport> perplexity(Sequence& sequence, std::span<const int32_t> ids,
                                    const WindowOptions& options, const OnScored& on_scored,
                                    const CancelFlag* cancel);

}  // namespace phial

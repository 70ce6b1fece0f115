// Perplexity of a text: how surprised a model is, token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/sequence.h"

namespace phial {

// Windows as in Hugging Face's guide (https://huggingface.co/docs/transformers/perplexity). Window
// i holds the tokens [i * stride, min(i * stride + context, n)), alone, at positions from 0 on;
// the last one is the first that reaches the end of the text. A window scores its tokens that no
// earlier window held, each by the logits of the token before it in the window: its very first
// token, which has none, is never scored. So with stride < context each token of the text but the
// first is scored exactly once, after at least context - stride tokens (fewer at the beginning);
// with stride = context the first of each window is left out.
//
// The text's ids come as the tokenizer makes them, its beginning token in front of the whole text
// only (then it is the one that is not scored); no window gets one of its own.
//
//   nll = sum of -log p(token) / number of scored tokens,  perplexity = exp(nll)
//
// The guide's own code averages per window and weighs the later windows by one token too few; the
// sum over tokens, which it approximates, is taken here.
struct PerplexityOptions {
  int64_t context = 2048;  // tokens of a window, 2 or more
  int64_t stride = 512;    // 1..context
};

struct PerplexityReport {
  double nll = 0;  // mean, in nats
  double perplexity = 0;
  int64_t tokens = 0;  // scored
  int64_t windows = 0;
};

// Told after each piece of a window how many tokens are scored, of all that will be; false stops.
using OnScored = std::function<bool(int64_t scored, int64_t total)>;

// Scores `ids` with `sequence`, which is emptied before and after. Logits are held for a few rows
// at a time, whatever the text's length. A row's probabilities are float32, all sums are double.
// Errors: usage (options; a window longer than the sequence's context), invalid_input (fewer than
// two ids; ids outside the vocabulary), cancelled (by `cancel` or by `on_scored`).
Result<PerplexityReport> perplexity(Sequence& sequence, std::span<const int32_t> ids,
                                    const PerplexityOptions& options, const OnScored& on_scored,
                                    const CancelFlag* cancel);

}  // namespace phial

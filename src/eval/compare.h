// How far one model is from another on a text: what a change of weights or of numerics costs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "base/json.h"
#include "base/status.h"
#include "engine/sequence.h"
#include "eval/windows.h"

namespace phial {

// A gap between the best two logits beyond which the first of them counts as decided: B is expected
// to choose the same token there.
inline constexpr double kDecidedGap = 0.25;

struct CompareOptions {
  WindowOptions windows;
  // Ids from here on are padding rows and no part of either distribution; at most the smaller of
  // the two models' vocabularies.
  int64_t vocabulary = 0;
  int64_t continuations = 4;   // greedy ones, from prompts spread evenly over the text; 0: none
  int64_t new_tokens = 32;     // of each, at most: it ends where the models part
  int64_t prompt_tokens = 64;  // of each, fewer where text or context have no room
};

// Of all scored tokens of a text. With P and Q what A and B make of a position, by softmax over the
// vocabulary, KL is the sum of P * log(P / Q) in nats, in double from float32 logits: exactly 0 for
// the same logits.
struct Divergence {
  double kl_mean = 0;
  double kl_median = 0;  // quantiles interpolate linearly, as numpy.percentile does
  double kl_p99 = 0;
  double kl_max = 0;
  int64_t kl_max_at = 0;  // the token of the text whose prediction has it
  double nll_a = 0;       // means, in nats
  double nll_b = 0;
  int64_t tokens = 0;       // scored
  int64_t windows = 0;      // of the text
  int64_t same_top = 0;     // tokens where both have the same best one (of equals, the first)
  int64_t decided = 0;      // tokens where A's best two are more than kDecidedGap apart
  int64_t decided_top = 0;  // of these, where both have the same best one
  double widest_gap = 0;    // largest such gap where B's best one is another; 0 where none is
};

// A greedy continuation of `prompt_tokens` ids of the text by both models, up to the first token
// that differs.
struct Continuation {
  int64_t begin = 0;  // of the prompt in the text
  int64_t prompt_tokens = 0;
  int64_t equal_tokens = 0;
  struct Parting {
    int32_t a = 0, b = 0;  // what each would go on with
    double gap = 0;        // between A's logits of the two
  };
  std::optional<Parting> parting;  // none: all new tokens are equal
};

struct CompareReport {
  Divergence divergence;
  std::vector<Continuation> continuations;
};

// Reads `ids` with both sequences in turns, window by window (eval/windows.h); they are emptied
// before and after. Logits are held for a few rows at a time, besides a number per token. Progress
// counts the tokens scored and, behind them, those continued. Errors: those of read_windows; usage
// (options; one sequence given twice), invalid_input (ids outside the vocabulary), failed (logits
// that are not finite).
Result<CompareReport> compare(Sequence& a, Sequence& b, std::span<const int32_t> ids,
                              const CompareOptions& options, const OnScored& on_progress,
                              const CancelFlag* cancel);

// The values' quantile `q` in [0, 1], interpolated linearly between the nearest two. REQUIRES: at
// least one value; they are reordered.
double quantile(std::span<double> values, double q);

// The first member with the smallest number of equal tokens of those that part; null if none does.
const Continuation* first_difference(std::span<const Continuation> continuations);

// {"kl_mean","kl_median","kl_p99","kl_max","kl_max_at","top1_agreement","decided_gap",
//  "decided_tokens","decided_agreement","widest_gap","ppl_a","ppl_b","nll_a","nll_b","tokens",
//  "windows"}; agreements are shares in [0, 1], that of no tokens is 1.
Json divergence_json(const Divergence& divergence);

}  // namespace phial

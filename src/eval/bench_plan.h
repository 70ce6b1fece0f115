// Which samples a benchmark of a model takes, from what was asked for and what the model can hold.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "eval/bench_model.h"

namespace phial {

// A prompt is read in pieces of so many tokens, each with a probe of its own before it: a multiple
// of the rows of an engine's pass, so that the pieces cost what the whole costs.
inline constexpr int64_t kBenchPiece = 512;
// The most tokens that one sample makes.
inline constexpr int64_t kMaxDecodeTokens = 64;

struct BenchPlan {
  std::vector<int64_t> short_prompts;  // each read from the beginning, in every round
  std::vector<int64_t> long_prompts;   // milestones of one long prompt, multiples of kBenchPiece
  std::vector<int64_t> depths;         // above 0
  bool at_the_beginning = false;       // whether depth 0 is wanted
  std::vector<int64_t> batches;
  int64_t positions = 0;  // that a sequence must hold
};

// All lists in order, each number once. Errors as bench_model.
Result<BenchPlan> make_bench_plan(const ModelBenchOptions& options, int64_t context);

}  // namespace phial

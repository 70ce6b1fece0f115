// The logits processors of one generation, in transformers' order: sequence bias, repetition
// penalty, presence and frequency, n-grams, bad words, minimal lengths, the caller's own.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "generate/options.h"
#include "generate/penalties.h"

namespace phial {

class LogitsProcessors {
 public:
  // `options` must outlive the processors and have passed check_options; what is changed in them
  // holds from the next apply() on.
  explicit LogitsProcessors(const GenerateOptions& options) : options_(&options) {}

  // Changes `scores` [vocabulary], those of the token behind `tokens`, of which the first
  // `prompt_tokens` are the prompt. `output`: see EditScores, whose errors are the only ones.
  Status apply(size_t output, std::span<const int32_t> tokens, int64_t prompt_tokens,
               std::span<float> scores);

 private:
  const GenerateOptions* options_;
  IdCounts counts_;
};

}  // namespace phial

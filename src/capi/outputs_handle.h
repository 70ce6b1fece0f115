// What stands behind phial_outputs.
#pragma once

#include <memory>
#include <vector>

#include "generate/generate.h"
#include "phial/phial.h"

struct phial_outputs {
  struct Answer {
    std::vector<int32_t> ids;
    std::string text;
    phial_finish finish = PHIAL_FINISH_STOP;
    float score = 0;
    // Of each id, when asked for: its own, and behind it the most likely ones.
    std::vector<std::vector<phial_logprob>> logprobs;
  };
  std::vector<Answer> answers;
  phial_generate_stats stats = PHIAL_GENERATE_STATS_INIT;
};

namespace phial::capi {

std::unique_ptr<phial_outputs> outputs_of(GenerateResult result);

}  // namespace phial::capi

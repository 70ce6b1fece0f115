// Penalties on tokens that were read or produced before.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace phial {

// Scratch of the penalties: a count for each id, all zero between two calls.
using IdCounts = std::vector<int32_t>;

// transformers' RepetitionPenaltyLogitsProcessor (CTRL, Keskar et al. 2019): the score of each id
// in `tokens` is divided by `penalty` when it is not below 0, else multiplied, once however often
// it occurs. REQUIRES: ids are inside `scores`; counts.size() == scores.size()
void apply_repetition_penalty(std::span<const int32_t> tokens, float penalty, IdCounts& counts,
                              std::span<float> scores);

// As the OpenAI API has them: score -= presence + frequency * count for each id in `new_tokens`.
// REQUIRES: as above
void apply_count_penalties(std::span<const int32_t> new_tokens, float presence, float frequency,
                           IdCounts& counts, std::span<float> scores);

}  // namespace phial

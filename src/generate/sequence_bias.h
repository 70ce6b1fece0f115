// transformers' SequenceBiasLogitsProcessor, of which bad words are the case of minus infinity.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "generate/options.h"

namespace phial {

// Adds, to each id, the sum of the biases that it completes: of the one-token sequences always, of
// longer ones where `tokens` ends with all but their last id. REQUIRES: ids are inside `scores`
void apply_sequence_bias(std::span<const SequenceBias> biases, std::span<const int32_t> tokens,
                         std::span<float> scores);

// Bad words as biases. An end id by itself is no bad word, as in transformers.
std::vector<SequenceBias> bad_word_biases(const std::vector<std::vector<int32_t>>& bad_words,
                                          std::span<const int32_t> end_ids);

}  // namespace phial

// Tokens that must not come next: their scores become minus infinity.
#pragma once

#include <cstdint>
#include <span>

namespace phial {

// transformers' NoRepeatNGramLogitsProcessor: bans every token that would complete a run of `n`
// tokens which `tokens` holds already. REQUIRES: n >= 1; ids are inside `scores`
void ban_repeated_ngrams(std::span<const int32_t> tokens, int32_t n, std::span<float> scores);

// transformers' MinLength and MinNewTokens processors. Ids outside `scores` are passed over.
void ban_ids(std::span<const int32_t> ids, std::span<float> scores);

}  // namespace phial

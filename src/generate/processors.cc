#include "generate/processors.h"

#include "generate/bans.h"
#include "generate/sequence_bias.h"

namespace phial {

Status LogitsProcessors::apply(size_t output, std::span<const int32_t> tokens,
                               int64_t prompt_tokens, std::span<float> scores) {
  const GenerateOptions& options = *options_;
  const auto length = static_cast<int64_t>(tokens.size());
  const std::span<const int32_t> new_tokens = tokens.subspan(static_cast<size_t>(prompt_tokens));
  counts_.resize(scores.size());
  if (!options.sequence_bias.empty()) apply_sequence_bias(options.sequence_bias, tokens, scores);
  if (options.repetition_penalty != 1) {
    apply_repetition_penalty(tokens, options.repetition_penalty, counts_, scores);
  }
  if (options.presence_penalty != 0 || options.frequency_penalty != 0) {
    apply_count_penalties(new_tokens, options.presence_penalty, options.frequency_penalty, counts_,
                          scores);
  }
  if (options.no_repeat_ngram_size > 0) {
    ban_repeated_ngrams(tokens, options.no_repeat_ngram_size, scores);
  }
  if (!options.bad_words.empty()) {
    apply_sequence_bias(bad_word_biases(options.bad_words, options.end_ids), tokens, scores);
  }
  const int64_t least =
      options.min_new_tokens > 0 ? prompt_tokens + options.min_new_tokens : options.min_length;
  if (length < least) ban_ids(options.end_ids, scores);
  if (options.edit_scores) PHIAL_TRY(options.edit_scores(output, tokens, scores));
  return {};
}

}  // namespace phial

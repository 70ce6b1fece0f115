// What a generation may be asked for. Names and meanings are those of Hugging Face transformers'
// GenerationConfig (5.23); presence and frequency penalties, which it lacks, are those of the
// OpenAI API.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/decoder.h"
#include "model/model.h"

namespace phial {

// The largest count of drafted tokens.
inline constexpr int32_t kMaxDrafts = static_cast<int32_t>(kTogetherRows) - 1;

// How a token is drawn. A filter that is off changes nothing.
struct SamplingOptions {
  bool do_sample = false;    // false: the most likely token, the first of equals
  float temperature = 1.0f;  // divides the logits; > 0, finite
  int32_t top_k = 0;         // only the k most likely tokens (and those equal to the last); 0: off
  float top_p = 1.0f;        // only the fewest tokens whose probabilities reach it; (0, 1], 1: off
  // Only tokens at least this likely, in parts of the most likely one's probability; [0, 1], 0:
  // off.
  float min_p = 0.0f;
  // Only the tokens whose information is closest to the expected one (locally typical sampling,
  // Meister et al. 2022) that together reach this probability; (0, 1], 1: off.
  float typical_p = 1.0f;
};

// Added to the logit of the last of `ids` wherever the tokens before it have just been read.
struct SequenceBias {
  std::vector<int32_t> ids;  // at least one
  float bias = 0;            // finite, or minus infinity: never
};

struct BeamOptions {
  int32_t num_beams = 1;  // 1: no beam search
  // A finished beam's score is the sum of its log-probabilities divided by the number of its new
  // tokens to this power: above 0 favours long answers, below 0 short ones. Finite.
  float length_penalty = 1.0f;
  // When the search ends. `yes`: with num_beams finished beams. `no`: also when the best running
  // beam, were it to finish now, could not enter them. `never`: only when it could not at any
  // length.
  EarlyStopping early_stopping = EarlyStopping::no;
};

// Changes the scores of the next token in place: custom scoring. `output` counts the answers that
// run at once (sequences, beams), `tokens` are prompt and answer so far, `scores` [vocabulary] are
// what the processors made of the logits (of the log-probabilities under beam search); temperature
// and filters come after. An error ends the generation.
using EditScores =
    std::function<Status(size_t output, std::span<const int32_t> tokens, std::span<float> scores)>;

struct SpeculationOptions {
  // Most tokens that are drafted from the text so far (or by the assistant) for one pass; 0: none.
  // How many of them are worth it is found out while it runs.
  int32_t max_drafts = kMaxDrafts;
  std::shared_ptr<Decoder> assistant = {};  // a smaller model that drafts; null: prompt lookup
};

struct GenerateOptions {
  SamplingOptions sampling = {};
  int64_t max_new_tokens = -1;        // -1: up to max_length
  std::vector<int32_t> end_ids = {};  // generation stops behind one of these; empty: never
  int64_t max_length = -1;            // prompt and answer together; -1: the context
  int64_t min_new_tokens = 0;         // end ids are impossible until then
  int64_t min_length = 0;             // the same, the prompt counted; without min_new_tokens only
  // Generation stops with the token that completes one of these texts, whatever tokens it is spread
  // over, the last ones of the prompt included. None is empty. Needs a tokenizer.
  std::vector<std::string> stop_strings = {};

  // Processors, in the order in which they are applied.
  std::vector<SequenceBias> sequence_bias = {};
  // Divides the scores above 0 of tokens that occur in prompt or answer, multiplies those below 0;
  // > 0, finite; 1: off.
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;     // taken off the score of every token that the answer holds
  float frequency_penalty = 0.0f;    // the same, for each time it holds it
  int32_t no_repeat_ngram_size = 0;  // no run of n tokens, the prompt's included, twice; 0: off
  std::vector<std::vector<int32_t>> bad_words = {};  // runs of ids that are never completed
  EditScores edit_scores = {};

  BeamOptions beams = {};
  // Answers to give: drawn independently, or the best beams. More than one needs sampling or
  // beams; with beams at most num_beams.
  int32_t num_return_sequences = 1;
  // For each new token its log-probability and that of the n most likely ones, from the raw logits.
  std::optional<int32_t> logprobs = {};

  // Changes how long it takes, nothing else. Not under beam search, for one answer of one request.
  SpeculationOptions speculation = {};
};

// The largest count of beams, of answers and of log-probabilities per token.
inline constexpr int32_t kMaxBeams = 256;
inline constexpr int32_t kMaxLogprobs = 1024;

// usage, naming the option and its range.
Status check_sampling(const SamplingOptions& options);
// usage, naming the option and its range; ids are in [0, vocabulary). Sampling is looked at only
// when it is on.
Status check_options(const GenerateOptions& options, int64_t vocabulary);

}  // namespace phial

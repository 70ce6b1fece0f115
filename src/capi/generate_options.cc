#include "capi/generate_options.h"

#include <string>
#include <vector>

#include "capi/guard.h"
#include "capi/options.h"

namespace phial::capi {
namespace {

// A list is the caller's unless it is left out.
template <class T>
Result<bool> is_given(const T* list, size_t count, const char* function, const char* name) {
  if (list == nullptr && count > 0) return usage_error(function, std::string(name) + " is NULL");
  return list != nullptr;
}

Result<std::vector<int32_t>> copy_ids(const int32_t* ids, size_t count, const char* function,
                                      const char* name) {
  PHIAL_ASSIGN(const auto given, ids_of(ids, count, function, name));
  return std::vector<int32_t>(given.begin(), given.end());
}

Status read_words(const phial_generate_options& given, const GenerationDefaults& defaults,
                  const char* function, GenerateOptions& out) {
  PHIAL_ASSIGN(const bool biases, is_given(given.biases, given.bias_count, function, "biases"));
  for (size_t i = 0; biases && i < given.bias_count; ++i) {
    const phial_bias& bias = given.biases[i];
    PHIAL_ASSIGN(auto ids, copy_ids(bias.ids, bias.count, function, "biases"));
    out.sequence_bias.push_back({std::move(ids), bias.bias});
  }
  if (!biases) {
    for (const auto& [ids, bias] : defaults.sequence_bias) out.sequence_bias.push_back({ids, bias});
  }
  PHIAL_ASSIGN(const bool words,
               is_given(given.bad_words, given.bad_word_count, function, "bad_words"));
  for (size_t i = 0; words && i < given.bad_word_count; ++i) {
    const phial_ids& word = given.bad_words[i];
    PHIAL_ASSIGN(auto ids, copy_ids(word.ids, word.count, function, "bad_words"));
    out.bad_words.push_back(std::move(ids));
  }
  if (!words) out.bad_words = defaults.bad_words;
  PHIAL_ASSIGN(const bool stops,
               is_given(given.stop_strings, given.stop_string_count, function, "stop_strings"));
  for (size_t i = 0; stops && i < given.stop_string_count; ++i) {
    const phial_text& stop = given.stop_strings[i];
    PHIAL_ASSIGN(const std::string_view text,
                 text_of(stop.text, stop.bytes, function, "stop_strings"));
    out.stop_strings.emplace_back(text);
  }
  if (!stops) out.stop_strings = defaults.stop_strings;
  return {};
}

Result<EarlyStopping> early_stopping_of(phial_early_stopping given,
                                        const GenerationDefaults& defaults, const char* function) {
  switch (given) {
    case PHIAL_EARLY_STOPPING_MODEL:
      return defaults.early_stopping.value_or(EarlyStopping::no);
    case PHIAL_EARLY_STOPPING_NO:
      return EarlyStopping::no;
    case PHIAL_EARLY_STOPPING_YES:
      return EarlyStopping::yes;
    case PHIAL_EARLY_STOPPING_NEVER:
      return EarlyStopping::never;
    case PHIAL_EARLY_STOPPING_FORCE_INT:
      break;
  }
  return usage_error(function, "early_stopping is none of the values of phial_early_stopping");
}

Status read_outputs(const phial_generate_options& given, const GenerationDefaults& defaults,
                    const char* function, GenerateOptions& out) {
  out.beams.num_beams = given.num_beams == 0 ? defaults.num_beams.value_or(1) : given.num_beams;
  out.beams.length_penalty =
      given.has_length_penalty != 0 ? given.length_penalty : defaults.length_penalty.value_or(1.0f);
  PHIAL_ASSIGN(out.beams.early_stopping,
               early_stopping_of(given.early_stopping, defaults, function));
  out.num_return_sequences = given.num_return_sequences == 0
                                 ? defaults.num_return_sequences.value_or(1)
                                 : given.num_return_sequences;
  if (given.logprobs != -1) out.logprobs = given.logprobs;
  return {};
}

// A minimum or maximum of new tokens wins over one that counts the prompt, as in transformers; both
// of the caller win over those of the model.
Status read_lengths(const phial_generate_options& given, const GenerationDefaults& defaults,
                    int64_t prompt_tokens, GenerateOptions& out) {
  out.max_new_tokens = given.max_new_tokens;
  if (given.max_new_tokens == -1 && given.max_length != -1) {
    out.max_length = given.max_length;
    if (given.max_length >= 0 && given.max_length < prompt_tokens) {
      return usage_error("max_length", "the prompt is longer: it has " +
                                           std::to_string(prompt_tokens) + " tokens");
    }
  } else if (given.max_new_tokens == -1) {
    out.max_new_tokens = defaults.max_new_tokens.value_or(-1);
    // A prompt that has reached the model's own limit goes on to the context.
    const int64_t max_length = defaults.max_length.value_or(-1);
    if (max_length > prompt_tokens) out.max_length = max_length;
  }
  if (given.min_new_tokens != -1) {
    out.min_new_tokens = given.min_new_tokens;
  } else if (given.min_length != -1) {
    out.min_length = given.min_length;
  } else {
    out.min_new_tokens = defaults.min_new_tokens.value_or(0);
    out.min_length = defaults.min_length.value_or(0);
  }
  return {};
}

EditScores edit_scores_of(const phial_generate_options& given) {
  if (given.on_scores == nullptr) return {};
  return [callback = given.on_scores, user = given.user](
             size_t output, std::span<const int32_t> tokens, std::span<float> scores) -> Status {
    if (callback(user, output, tokens.data(), tokens.size(), scores.data(), scores.size()) == 0) {
      return {};
    }
    return failed("on_scores", "the callback ended the generation");
  };
}

}  // namespace

Result<Sampling> read_sampling(OpenModel& model, const phial_sampling* given,
                               const char* function) {
  Sampling sampling;
  SamplingOptions& out = sampling.options;
  if (given == nullptr) {
    PHIAL_ASSIGN(const GenerationDefaults defaults, model.generation_defaults());
    out.do_sample = defaults.do_sample;
    out.temperature = defaults.temperature.value_or(out.temperature);
    out.top_k = defaults.top_k.value_or(out.top_k);
    out.top_p = defaults.top_p.value_or(out.top_p);
    out.min_p = defaults.min_p.value_or(out.min_p);
    out.typical_p = defaults.typical_p.value_or(out.typical_p);
    return sampling;
  }
  PHIAL_ASSIGN(const phial_sampling read, read_options(given, PHIAL_SAMPLING_INIT, function));
  out = {.do_sample = read.do_sample != 0,
         .temperature = read.temperature,
         .top_k = read.top_k,
         .top_p = read.top_p,
         .min_p = read.min_p,
         .typical_p = read.typical_p};
  if (read.has_seed != 0) sampling.seed = read.seed;
  PHIAL_TRY(check_sampling(out));
  return sampling;
}

Result<GenerateCall> read_generate_options(OpenModel& model, const phial_generate_options* given,
                                           int64_t prompt_tokens, const char* function) {
  PHIAL_ASSIGN(const phial_generate_options read,
               read_options(given, PHIAL_GENERATE_OPTIONS_INIT, function));
  PHIAL_ASSIGN(const GenerationDefaults defaults, model.generation_defaults());
  PHIAL_ASSIGN(const Sampling sampling, read_sampling(model, read.sampling, function));
  GenerateCall call;
  call.seed = sampling.seed;
  call.on_token = read.on_token;
  call.user = read.user;
  GenerateOptions& out = call.options;
  out.sampling = sampling.options;
  if (read.ignore_eos == 0) out.end_ids = defaults.end_ids;
  PHIAL_TRY(read_lengths(read, defaults, prompt_tokens, out));
  out.repetition_penalty = read.repetition_penalty == 0 ? defaults.repetition_penalty.value_or(1.0f)
                                                        : read.repetition_penalty;
  out.presence_penalty = read.presence_penalty;
  out.frequency_penalty = read.frequency_penalty;
  out.no_repeat_ngram_size = read.no_repeat_ngram_size == -1
                                 ? defaults.no_repeat_ngram_size.value_or(0)
                                 : read.no_repeat_ngram_size;
  PHIAL_TRY(read_words(read, defaults, function, out));
  PHIAL_TRY(read_outputs(read, defaults, function, out));
  out.edit_scores = edit_scores_of(read);
  if (read.prompt_lookup_num_tokens != -1) {
    out.speculation.max_drafts = read.prompt_lookup_num_tokens;
  }
  if (read.assistant != nullptr) {
    PHIAL_ASSIGN(out.speculation.assistant, read.assistant->open->decoder("assistant"));
  }
  return call;
}

}  // namespace phial::capi

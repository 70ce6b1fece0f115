#include "generate/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace phial {
namespace {

template <class T>
Error out_of_range(const char* option, const char* range, T value) {
  return usage_error(option, fmt::format("expected {}, got {}", range, value));
}

Status check_count(const char* option, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return {};
  return usage_error(option, fmt::format("expected {}..{}, got {}", least, most, value));
}

Status check_least(const char* option, int64_t value, int64_t least, const char* range) {
  if (value < least) return out_of_range(option, range, value);
  return {};
}

Status check_finite_option(const char* option, float value) {
  if (!std::isfinite(value)) return out_of_range(option, "a finite number", value);
  return {};
}

Status check_ids(const char* option, std::span<const int32_t> ids, int64_t vocabulary) {
  if (ids.empty()) return usage_error(option, "expected at least one id");
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocabulary) {
      return usage_error(option,
                         fmt::format("the id {} is outside the vocabulary of {}", id, vocabulary));
    }
  }
  return {};
}

Status check_biases(const std::vector<SequenceBias>& biases, int64_t vocabulary) {
  constexpr char kOption[] = "sequence_bias";
  std::vector<std::vector<int32_t>> seen;
  for (const SequenceBias& bias : biases) {
    PHIAL_TRY(check_ids(kOption, bias.ids, vocabulary));
    if (std::isnan(bias.bias) || bias.bias == std::numeric_limits<float>::infinity()) {
      return out_of_range(kOption, "a finite number or minus infinity", bias.bias);
    }
    seen.push_back(bias.ids);
  }
  std::ranges::sort(seen);
  const auto twice = std::ranges::adjacent_find(seen);
  if (twice != seen.end()) {
    return usage_error(kOption, fmt::format("the ids {} have two biases", fmt::join(*twice, " ")));
  }
  return {};
}

Status check_outputs(const GenerateOptions& options) {
  PHIAL_TRY(check_count("num_beams", options.beams.num_beams, 1, kMaxBeams));
  PHIAL_TRY(check_count("num_return_sequences", options.num_return_sequences, 1, kMaxBeams));
  PHIAL_TRY(check_finite_option("length_penalty", options.beams.length_penalty));
  if (options.beams.num_beams > 1 && options.num_return_sequences > options.beams.num_beams) {
    return usage_error("num_return_sequences",
                       fmt::format("expected at most num_beams, {}, got {}",
                                   options.beams.num_beams, options.num_return_sequences));
  }
  if (options.beams.num_beams == 1 && !options.sampling.do_sample &&
      options.num_return_sequences > 1) {
    return usage_error("num_return_sequences",
                       "the most likely tokens give one answer only, again and again",
                       "switch sampling on, or use beams");
  }
  return {};
}

}  // namespace

Status check_sampling(const SamplingOptions& options) {
  if (!std::isfinite(options.temperature) || options.temperature <= 0) {
    return out_of_range("temperature", "a number above 0", options.temperature);
  }
  PHIAL_TRY(check_least("top_k", options.top_k, 0, "0 or more"));
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return out_of_range("top_p", "a number above 0 and at most 1", options.top_p);
  }
  if (!(options.min_p >= 0 && options.min_p <= 1)) {
    return out_of_range("min_p", "a number from 0 to 1", options.min_p);
  }
  if (!(options.typical_p > 0 && options.typical_p <= 1)) {
    return out_of_range("typical_p", "a number above 0 and at most 1", options.typical_p);
  }
  return {};
}

Status check_options(const GenerateOptions& options, int64_t vocabulary) {
  // Published files hold temperatures of 0 beside do_sample = false.
  if (options.sampling.do_sample) PHIAL_TRY(check_sampling(options.sampling));
  PHIAL_TRY(check_least("max_new_tokens", options.max_new_tokens, -1, "0 or more, or -1 for none"));
  PHIAL_TRY(check_least("max_length", options.max_length, -1, "0 or more, or -1 for none"));
  PHIAL_TRY(check_least("min_new_tokens", options.min_new_tokens, 0, "0 or more"));
  PHIAL_TRY(check_least("min_length", options.min_length, 0, "0 or more"));
  for (const std::string& stop : options.stop_strings) {
    if (stop.empty()) return usage_error("stop_strings", "a stop string is empty");
  }
  PHIAL_TRY(check_biases(options.sequence_bias, vocabulary));
  if (!std::isfinite(options.repetition_penalty) || options.repetition_penalty <= 0) {
    return out_of_range("repetition_penalty", "a number above 0", options.repetition_penalty);
  }
  PHIAL_TRY(check_finite_option("presence_penalty", options.presence_penalty));
  PHIAL_TRY(check_finite_option("frequency_penalty", options.frequency_penalty));
  PHIAL_TRY(check_least("no_repeat_ngram_size", options.no_repeat_ngram_size, 0, "0 or more"));
  for (const std::vector<int32_t>& word : options.bad_words) {
    PHIAL_TRY(check_ids("bad_words", word, vocabulary));
  }
  if (options.logprobs) PHIAL_TRY(check_count("logprobs", *options.logprobs, 0, kMaxLogprobs));
  PHIAL_TRY(check_count("prompt_lookup_num_tokens", options.speculation.max_drafts, 0, kMaxDrafts));
  return check_outputs(options);
}

}  // namespace phial

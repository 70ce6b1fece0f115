#include "generation_flags.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace phial_cli {
namespace {

constexpr int64_t kMaxAnswers = 256;    // of beams too
constexpr int64_t kMaxLogprobs = 1024;  // a token

bool above_zero(double x) { return x > 0; }
bool zero_or_above(double x) { return x >= 0; }
bool any_number(double) { return true; }
bool probability(double x) { return x >= 0 && x <= 1; }
bool positive_probability(double x) { return x > 0 && x <= 1; }

void declare_sampling(GenerationFlags& flags, CommandLine& line) {
  line.flag("--greedy", flags.greedy, "always the most likely token");
  line.real("--temperature", "X", flags.temperature, zero_or_above,
            "above 0, or 0 for the most likely token",
            "sample; below 1 steadier, above 1 wilder; 0: as --greedy");
  line.integer("--top-k", "N", flags.top_k, 0, INT32_MAX, "sample among the N most likely; 0: all");
  line.real("--top-p", "X", flags.top_p, positive_probability, "above 0, up to 1",
            "sample among the fewest tokens that reach this probability");
  line.real("--min-p", "X", flags.min_p, probability, "from 0 to 1",
            "sample among tokens at least this likely beside the most likely one");
  line.real("--typical-p", "X", flags.typical_p, positive_probability, "above 0, up to 1",
            "sample among the most typical tokens that reach this probability");
  line.seed("--seed", flags.seed, "any 64-bit integer: the same seed gives the same answer");
}

void declare_scores(GenerationFlags& flags, CommandLine& line) {
  line.real("--repetition-penalty", "X", flags.repetition_penalty, above_zero, "above 0",
            "above 1: tokens of prompt and answer become less likely; 1: off");
  line.real("--presence-penalty", "X", flags.presence_penalty, any_number, "that is finite",
            "taken off the score of every token of the answer");
  line.real("--frequency-penalty", "X", flags.frequency_penalty, any_number, "that is finite",
            "taken off for each time the answer holds the token");
  line.integer("--no-repeat-ngram-size", "N", flags.no_repeat_ngram_size, 0, INT32_MAX,
               "no run of N tokens twice; 0: off");
  line.texts("--logit-bias", "ID=X", flags.logit_biases,
             "add X to the score of a token id; may be repeated");
}

void declare_outputs(GenerationFlags& flags, CommandLine& line) {
  line.integer("--num-beams", "N", flags.num_beams, 1, kMaxAnswers,
               "beam search with N beams, 1..256; 1: none");
  line.real("--length-penalty", "X", flags.length_penalty, any_number, "that is finite",
            "beams: above 0 favours long answers, below 0 short ones (default 1)");
  line.text(
      "--early-stopping", "true|false|never", flags.early_stopping,
      "beams: stop when N answers are there, when no better one is likely (the default), or when "
      "none is possible");
  line.integer("--num-return-sequences", "N", flags.num_return_sequences, 1, kMaxAnswers,
               "answers to give, 1..256; with beams at most their number");
  line.texts("--stop", "TEXT", flags.stop_strings, "end before this text; may be repeated");
  line.integer("--logprobs", "N", flags.logprobs, 0, kMaxLogprobs,
               "log-probabilities of each token and of the N most likely, 0..1024");
  line.integer("--prompt-lookup-num-tokens", "N", flags.prompt_lookup_num_tokens, 0, 7,
               "check up to N tokens at once that the text so far suggests, 0..7; the answer stays "
               "the same (default: as many as pay)");
}

// "ID=X"
std::pair<std::vector<int32_t>, float> parse_bias(const std::string& text) {
  const size_t equals = text.find('=');
  int32_t id = -1;
  double bias = 0;
  bool good = equals != std::string::npos;
  if (good) {
    const char* end = text.data() + text.size();
    const char* sign = text.data() + equals;
    const auto first = std::from_chars(text.data(), sign, id);
    // from_chars takes no plus.
    const char* number = sign + 1 < end && sign[1] == '+' ? sign + 2 : sign + 1;
    const auto second = std::from_chars(number, end, bias);
    good = first.ec == std::errc() && first.ptr == sign && id >= 0 && second.ec == std::errc() &&
           second.ptr == end && std::isfinite(static_cast<float>(bias));
  }
  if (!good) {
    fail_usage(
        "--logit-bias",
        fmt::format("expected ID=X, a token id of 0 or more and a finite number; got '{}'", text));
  }
  return {{id}, static_cast<float>(bias)};
}

}  // namespace

const std::vector<PlayedBy> kOptionNames = {
    {"num_return_sequences", "--num-return-sequences"},
    {"num_beams", "--num-beams"},
    {"sequence_bias", "--logit-bias"},
    {"stop_strings", "--stop"},
};

void GenerationFlags::declare(CommandLine& line) {
  line.heading("Generation");
  line.integer("--max-new-tokens", "N", max_new_tokens, 0, INT64_MAX,
               "most new tokens (default: the model's, else up to the context)");
  line.integer("--min-new-tokens", "N", min_new_tokens, 0, INT64_MAX,
               "no end token before so many new ones");
  declare_sampling(*this, line);
  declare_scores(*this, line);
  declare_outputs(*this, line);
  line.flag("--ignore-eos", ignore_eos, "end tokens are ordinary tokens");
}

void GenerationFlags::remarks(CommandLine& line) const {
  line.remark(
      "Any of --temperature, --top-k, --top-p, --min-p, --typical-p switches sampling on, and "
      "which of them is not given is off; --temperature 0 switches it off; with none of them the "
      "model's generation_config.json "
      "decides, else the most likely token is taken. What that file says about the other options "
      "holds unless they are given.");
  line.remark(
      "One answer without beams is written as it grows; several are written at the end, best "
      "first, "
      "with a line of dashes between them.");
}

void GenerationFlags::check() const {
  if (greedy && (filters() || temperature.value_or(0) > 0)) {
    fail_usage("--greedy",
               "does not go with --temperature, --top-k, --top-p, --min-p or --typical-p");
  }
  if (min_new_tokens && max_new_tokens && *min_new_tokens > *max_new_tokens) {
    fail_usage("--min-new-tokens", fmt::format("expected at most --max-new-tokens, {}; got {}",
                                               *max_new_tokens, *min_new_tokens));
  }
  if (early_stopping && *early_stopping != "true" && *early_stopping != "false" &&
      *early_stopping != "never") {
    fail_usage("--early-stopping",
               fmt::format("expected true, false or never; got '{}'", *early_stopping));
  }
  for (const std::string& stop : stop_strings) {
    if (stop.empty()) fail_usage("--stop", "expected a text that is not empty");
    phial::check_text(stop, "--stop");
  }
  for (const std::string& bias : logit_biases) parse_bias(bias);
}

std::optional<phial_sampling> GenerationFlags::sampling(const phial::Model& model) const {
  if (!samples() && !takes_best() && !seed) return std::nullopt;
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  if (samples()) {
    sampling.do_sample = 1;
    sampling.temperature = temperature.value_or(sampling.temperature);
    sampling.top_k = static_cast<int32_t>(top_k.value_or(sampling.top_k));
    sampling.top_p = top_p.value_or(sampling.top_p);
    sampling.min_p = min_p.value_or(sampling.min_p);
    sampling.typical_p = typical_p.value_or(sampling.typical_p);
  } else if (!takes_best()) {
    sampling = model.sampling();
  }
  if (seed) {
    sampling.seed = *seed;
    sampling.has_seed = 1;
  }
  return sampling;
}

phial::GenerateOptions GenerationFlags::request(const phial::Model& model) const {
  phial::GenerateOptions out;
  out.sampling = sampling(model);
  phial_generate_options& plain = out.plain;
  plain.max_new_tokens = max_new_tokens.value_or(plain.max_new_tokens);
  plain.min_new_tokens = min_new_tokens.value_or(plain.min_new_tokens);
  plain.ignore_eos = ignore_eos ? 1 : 0;
  plain.repetition_penalty = repetition_penalty.value_or(plain.repetition_penalty);
  plain.presence_penalty = presence_penalty.value_or(plain.presence_penalty);
  plain.frequency_penalty = frequency_penalty.value_or(plain.frequency_penalty);
  plain.no_repeat_ngram_size =
      static_cast<int32_t>(no_repeat_ngram_size.value_or(plain.no_repeat_ngram_size));
  plain.num_beams = static_cast<int32_t>(num_beams.value_or(plain.num_beams));
  plain.num_return_sequences =
      static_cast<int32_t>(num_return_sequences.value_or(plain.num_return_sequences));
  plain.has_length_penalty = length_penalty ? 1 : 0;
  plain.length_penalty = length_penalty.value_or(plain.length_penalty);
  if (early_stopping) {
    plain.early_stopping = *early_stopping == "true"    ? PHIAL_EARLY_STOPPING_YES
                           : *early_stopping == "false" ? PHIAL_EARLY_STOPPING_NO
                                                        : PHIAL_EARLY_STOPPING_NEVER;
  }
  plain.logprobs = static_cast<int32_t>(logprobs.value_or(plain.logprobs));
  plain.prompt_lookup_num_tokens =
      static_cast<int32_t>(prompt_lookup_num_tokens.value_or(plain.prompt_lookup_num_tokens));
  for (const std::string& bias : logit_biases) out.biases.push_back(parse_bias(bias));
  out.stop_strings = stop_strings;
  return out;
}

int64_t GenerationFlags::sequences() const {
  const int64_t beams = num_beams.value_or(1), answers = num_return_sequences.value_or(1);
  if (beams > 1) return beams + 2;
  return answers > 1 ? answers + 1 : 1;
}

}  // namespace phial_cli

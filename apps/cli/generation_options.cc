#include "generation_options.h"

namespace phial_cli {

void GenerationOptions::declare(CommandLine& line) {
  line.heading("Generation");
  line.integer("--max-new-tokens", "N", max_new_tokens, 0, INT64_MAX,
               "most new tokens (default: the model's, else up to the context)");
  line.flag("--greedy", greedy, "always the most likely token");
  line.real(
      "--temperature", "X", temperature, [](double x) { return x > 0; },
      "above 0 (--greedy takes the most likely token)", "sample; below 1 bolder, above 1 wilder");
  line.integer("--top-k", "N", top_k, 0, INT32_MAX, "sample among the N most likely; 0: all");
  line.real(
      "--top-p", "X", top_p, [](double x) { return x > 0 && x <= 1; }, "above 0, up to 1",
      "sample among the fewest tokens that reach this probability");
  line.seed("--seed", seed, "any 64-bit integer: the same seed gives the same answer");
  line.flag("--ignore-eos", ignore_eos, "end tokens are ordinary tokens");
  line.planned({"--min-new-tokens", "--min-p", "--typical-p", "--repetition-penalty",
                "--presence-penalty", "--frequency-penalty", "--no-repeat-ngram-size",
                "--num-beams", "--length-penalty", "--early-stopping", "--num-return-sequences",
                "--stop", "--logit-bias", "--logprobs"});
}

void GenerationOptions::check() const {
  if (greedy && (temperature || top_k || top_p)) {
    fail_usage("--greedy", "does not go with --temperature, --top-k or --top-p");
  }
}

std::optional<phial_sampling> GenerationOptions::sampling(const phial::Model& model) const {
  const bool filters = temperature || top_k || top_p;
  if (!filters && !greedy && !seed) return std::nullopt;
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  if (filters) {
    sampling.do_sample = 1;
    sampling.temperature = temperature.value_or(1.0f);
    sampling.top_k = static_cast<int32_t>(top_k.value_or(0));
    sampling.top_p = top_p.value_or(1.0f);
  } else if (!greedy) {
    sampling = model.sampling();
  }
  if (seed) {
    sampling.seed = *seed;
    sampling.has_seed = 1;
  }
  return sampling;
}

}  // namespace phial_cli

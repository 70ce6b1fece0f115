// The flags that say how an answer is made; they are named after Hugging Face's options.
#pragma once

#include <optional>
#include <phial/phial.hpp>
#include <string>
#include <vector>

#include "command_line.h"
#include "commands.h"

namespace phial_cli {

struct GenerationFlags {
  bool greedy = false;
  bool ignore_eos = false;
  std::optional<int64_t> max_new_tokens, min_new_tokens;
  std::optional<float> temperature, top_p, min_p, typical_p;
  std::optional<int64_t> top_k;
  std::optional<uint64_t> seed;
  std::optional<float> repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> no_repeat_ngram_size;
  std::optional<int64_t> num_beams, num_return_sequences;
  std::optional<float> length_penalty;
  std::optional<std::string> early_stopping;
  std::vector<std::string> stop_strings;
  std::vector<std::string> logit_biases;
  std::optional<int64_t> logprobs;
  std::optional<int64_t> prompt_lookup_num_tokens;

  // Declares the flags, and says at the end of the help how they go together.
  void declare(CommandLine& line);
  void remarks(CommandLine& line) const;
  // Throws phial::Error (usage) for flags that do not go together.
  void check() const;
  // What the flags ask for; what they leave open is the model's.
  phial::GenerateOptions request(const phial::Model& model) const;
  // For how many sequences there has to be memory: of the answers or, beside the prompt's, of the
  // beams; of several, one more, in place of their logits.
  int64_t sequences() const;

 private:
  bool filters() const { return top_k || top_p || min_p || typical_p; }
  // A temperature that goes to 0 leaves the most likely token alone.
  bool takes_best() const { return greedy || (temperature && *temperature == 0); }
  bool samples() const { return !takes_best() && (temperature || filters()); }
  std::optional<phial_sampling> sampling(const phial::Model& model) const;
};

// What the library calls by an option's name and the user by a flag's.
extern const std::vector<PlayedBy> kOptionNames;

}  // namespace phial_cli

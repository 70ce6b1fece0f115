// The generation options of the command line, for every command that answers.
#pragma once

#include <cstdint>
#include <optional>
#include <phial/phial.hpp>

#include "command_line.h"

namespace phial_cli {

struct GenerationOptions {
  bool greedy = false;
  bool ignore_eos = false;
  std::optional<int64_t> max_new_tokens;
  std::optional<float> temperature;
  std::optional<int64_t> top_k;
  std::optional<float> top_p;
  std::optional<uint64_t> seed;

  void declare(CommandLine& line);
  // Throws phial::Error (usage) for options that do not go together.
  void check() const;
  // What the options ask for; nothing: the model's own.
  std::optional<phial_sampling> sampling(const phial::Model& model) const;
};

}  // namespace phial_cli

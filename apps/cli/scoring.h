// What the commands that score a text have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <phial/phial.hpp>
#include <string>
#include <vector>

#include "command_line.h"
#include "commands.h"
#include "output.h"

namespace phial_cli {

// The windows in which a text is read.
struct WindowFlags {
  static constexpr int64_t kMostTokens = 2048;  // of a window, unless --context says more

  std::optional<int64_t> context, stride;

  void declare(CommandLine& line);
  // Throws a usage error when the stride is longer than the window.
  void check() const;
};

// Two models on one text, with what the user calls them.
struct ModelPair {
  const phial::Model& a;
  const phial::Model& b;
  std::string name_a, name_b;
};

// The ids that both tokenizers make of `text`, which came from `name`. Other ids would be another
// text for B: throws phial::Error (invalid_input) where they differ.
std::vector<int32_t> shared_ids(const ModelPair& models, const std::string& text,
                                const std::string& name);

// phial_compare_json's report on `ids`, which came from `source`; says how far it is.
Json compare_models(const ModelPair& models, const std::vector<int32_t>& ids,
                    const std::string& source, const phial_compare_options& options,
                    const CommonOptions& common);

// The text of `file` ("-": stdin); throws phial::Error for one that is no text.
std::string read_text_input(const std::string& file);

// Perplexities, KL and agreement, a line each; the models are called by `a` and `b`.
std::string divergence_text(const Json& report, const char* a, const char* b);

// How windows are placed, for the end of the help.
inline constexpr char kWindowsRemark[] =
    "Sliding windows as in Hugging Face's guide: each window scores the tokens that none before it "
    "held, given the tokens before them in the window. The tokenizer's own special tokens are "
    "added to the text as a whole.";

}  // namespace phial_cli

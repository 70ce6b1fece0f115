// Opening a model: from a path to spec, weights, tokenizer, template and generation defaults.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "formats/checkpoint.h"
#include "model/model_spec.h"
#include "model/weights.h"
#include "sys/files.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace phial {

// Spec and weights. Immutable; shared by every decoder made from it.
struct Model {
  std::shared_ptr<const Checkpoint> checkpoint;
  ModelSpec spec;
  Weights weights;
};

// Errors: those of read_checkpoint and bind_weights; unsupported for an unknown architecture, with
// the list of known ones.
Result<std::shared_ptr<const Model>> open_model(std::shared_ptr<const Checkpoint> checkpoint);

// The spec alone, without looking at weights.
Result<ModelSpec> model_spec_of(const Checkpoint& checkpoint);

// The tokenizer, whichever way the checkpoint holds it. not_found when it holds none.
Result<std::shared_ptr<const Tokenizer>> open_tokenizer(const Checkpoint& checkpoint);

// All chat templates of the checkpoint, names differ. One without a name is called "default". Files
// of their own win over tokenizer_config.json, as in transformers.
struct NamedTemplate {
  std::string name;
  std::string source;
};
Result<std::vector<NamedTemplate>> chat_templates(const Checkpoint& checkpoint);

// The template called `name`; without a name the one that transformers takes: "tool_use" if there
// are tools and it exists, else "default". not_found lists the names that `templates` has.
// REQUIRES: templates is not empty
Result<NamedTemplate> choose_chat_template(const std::vector<NamedTemplate>& templates,
                                           std::string_view name, bool with_tools);

// Members that templates see besides messages and options: bos_token, eos_token and the other
// special tokens by role, as strings. An object.
Json template_variables(const Checkpoint& checkpoint, const Tokenizer* tokenizer);

// When a beam search ends; generate/options.h says what each means.
enum class EarlyStopping : uint8_t { no, yes, never };

// What generation_config.json (or the GGUF) says, under transformers' names; what it does not say
// is empty. What phial does not do is passed over.
struct GenerationDefaults {
  bool do_sample = false;
  std::optional<float> temperature, top_p, min_p, typical_p;
  std::optional<int32_t> top_k;
  std::optional<int64_t> max_new_tokens, max_length, min_new_tokens, min_length;
  std::optional<float> repetition_penalty, length_penalty;
  std::optional<int32_t> no_repeat_ngram_size, num_beams, num_return_sequences;
  std::optional<EarlyStopping> early_stopping;
  std::vector<std::string> stop_strings;
  std::vector<std::vector<int32_t>> bad_words;
  std::vector<std::pair<std::vector<int32_t>, float>> sequence_bias;
  // generation_config.json's list; else config.json's; else the tokenizer's end token.
  std::vector<int32_t> end_ids;
};
Result<GenerationDefaults> generation_defaults(const Checkpoint& checkpoint,
                                               const Tokenizer* tokenizer);
// One part of it: what generation_config.json says but for the end ids. damaged for values that are
// of another kind or out of range.
Result<GenerationDefaults> read_generation_config(const Json& config);

// `name` as a path: itself when something is there, else `models_folder`/name, with ".gguf" added
// where that is what is there. not_found lists what the folder holds.
Result<std::string> locate_model(const Files& files, const std::string& name,
                                 const std::string& models_folder);

}  // namespace phial

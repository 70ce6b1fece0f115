// A family: one file that reads a configuration into a ModelSpec and says what is peculiar about
// its files. families/*.cc define one each; registry.cc lists them.
#pragma once

#include <span>
#include <string_view>

#include "base/status.h"
#include "model/config_reader.h"
#include "model/model_spec.h"

namespace phial {

struct Family {
  const char* name;
  const char* architecture;  // Hugging Face's class name
  // config.json's model_type.
  std::span<const char* const> model_types;
  // GGUF files of this family hold q and k with interleaved heads (see RowOrder).
  bool gguf_interleaves_heads;
  // Hugging Face tensor names that may be there and are not needed ('#' stands for a number).
  std::span<const char* const> ignored_tensors;
  // Fills everything but family and architecture.
  Result<ModelSpec> (*make_spec)(const ConfigReader& config);
};

extern const Family kLlamaFamily;
extern const Family kPhi3Family;
extern const Family kPhiFamily;

std::span<const Family* const> families();

// By model_type. unsupported for an unknown one, with the list of known ones.
Result<const Family*> find_family(const ConfigReader& config);

// ---- What several families share
// ------------------------------------------------------------------

// hidden, layers, intermediate, vocabulary, context, heads, kv_heads, head_dim, scale, tied
// embeddings: the keys that all families spell alike.
Result<ModelSpec> read_common(const ConfigReader& config);

// Fills spec.rope from rope_theta and partial_rotary_factor, wherever this version of the config
// keeps them (top level, or rope_parameters since transformers 5); unsupported for a rope scaling.
Status read_plain_rope(const ConfigReader& config, ModelSpec& spec);

// inv_freq[i] = 1 / theta^(2i / rotary) in float32, as transformers computes it.
std::vector<float> plain_inv_freq(double theta, int64_t rotary);

// unsupported unless config's `hidden_act` is one of `accepted` (missing: the first).
Status check_activation(const ConfigReader& config,
                        std::initializer_list<std::string_view> accepted);

}  // namespace phial

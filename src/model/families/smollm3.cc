// SmolLM3: a Llama block in which every fourth layer leaves q and k unturned.
// Source: modeling_smollm3.py of transformers.
#include <fmt/format.h>

#include "model/family.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"smollm3"};

// no_rope_layers: 1 where a layer turns; else every no_rope_layer_interval-th does not.
Status read_rotating_layers(const ConfigReader& config, ModelSpec& spec) {
  PHIAL_ASSIGN(const auto interval,
               config.optional_integer("no_rope_layer_interval", 1, INT32_MAX));
  const Json* turns = config.find("no_rope_layers");
  const Json::Array* list = turns != nullptr ? turns->if_array() : nullptr;
  if (turns != nullptr && (list == nullptr || list->size() < spec.layer_kinds.size())) {
    return damaged(config.where("no_rope_layers"),
                   fmt::format("expected a list of {} numbers", spec.layers));
  }
  for (size_t i = 0; i < spec.layer_kinds.size(); ++i) {
    bool rotates = static_cast<int64_t>(i + 1) % interval.value_or(4) != 0;
    if (list != nullptr) {
      const int64_t* flag = (*list)[i].if_integer();
      if (flag == nullptr || (*flag != 0 && *flag != 1)) {
        return damaged(config.where("no_rope_layers"), "expected a list of 0 and 1");
      }
      rotates = *flag == 1;
    }
    spec.layer_kinds[i].rotates = rotates;
  }
  return {};
}

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config, /*tied=*/true));
  PHIAL_TRY(read_llama_block(config, 1e-6, spec));
  PHIAL_TRY(read_llama_biases(config, spec));
  PHIAL_ASSIGN(const bool windowed, config.boolean_or("use_sliding_window", false));
  if (windowed) {
    return unsupported(config.where("use_sliding_window"), "no published SmolLM3 has a window");
  }
  PHIAL_TRY(read_rotating_layers(config, spec));
  PHIAL_TRY(read_rope(config, {.theta = 2e6}, spec));
  return spec;
}

}  // namespace

const Family kSmolLm3Family = {
    .name = "smollm3",
    .architecture = "SmolLM3ForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = true,
    .make_spec = make_spec,
};

}  // namespace phial

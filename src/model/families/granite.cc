// Granite 3 (dense): a Llama block with four factors of its own, of embeddings, attention scores,
// what is added to the residual stream, and logits. Source: modeling_granite.py of transformers.
#include "model/family.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"granite"};

Result<float> read_factor(const ConfigReader& config, std::string_view key) {
  PHIAL_ASSIGN(const auto factor, config.optional_real(key, 1e-6, 1e6));
  return static_cast<float>(factor.value_or(1));
}

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config));
  PHIAL_TRY(read_llama_block(config, 1e-6, spec));
  PHIAL_TRY(read_llama_biases(config, spec));
  PHIAL_ASSIGN(spec.attention.scale, read_factor(config, "attention_multiplier"));
  PHIAL_ASSIGN(spec.scales.embedding, read_factor(config, "embedding_multiplier"));
  PHIAL_ASSIGN(spec.scales.residual, read_factor(config, "residual_multiplier"));
  PHIAL_ASSIGN(const float divisor, read_factor(config, "logits_scaling"));
  spec.scales.logits = 1 / divisor;
  PHIAL_TRY(read_rope(config, {}, spec));
  return spec;
}

}  // namespace

const Family kGraniteFamily = {
    .name = "granite",
    .architecture = "GraniteForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = true,
    .make_spec = make_spec,
};

}  // namespace phial

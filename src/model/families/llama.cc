// Llama (1, 2 and 3 without rope scaling), TinyLlama, SmolLM2: serial blocks, RMSNorm, gated SiLU.
// Source: modeling_llama.py of transformers.
#include "model/family.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"llama"};
constexpr const char* kIgnored[] = {"model.layers.#.self_attn.rotary_emb.inv_freq"};

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config));
  PHIAL_TRY(check_activation(config, {"silu", "swish"}));
  PHIAL_ASSIGN(const auto eps, config.optional_real("rms_norm_eps", 0.0, 1.0));
  spec.norm = NormKind::rms;
  spec.norm_eps = static_cast<float>(eps.value_or(1e-6));
  spec.mlp = MlpKind::silu_gated;
  PHIAL_ASSIGN(const bool attention_bias, config.boolean_or("attention_bias", false));
  spec.bias.qkv = attention_bias;
  spec.bias.attention_out = attention_bias;
  PHIAL_ASSIGN(spec.bias.mlp, config.boolean_or("mlp_bias", false));
  PHIAL_TRY(read_plain_rope(config, spec));
  return spec;
}

}  // namespace

const Family kLlamaFamily = {
    .name = "llama",
    .architecture = "LlamaForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = true,
    .ignored_tensors = kIgnored,
    .make_spec = make_spec,
};

}  // namespace phial

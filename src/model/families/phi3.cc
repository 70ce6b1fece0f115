// Phi-3, Phi-3.5 and Phi-4 without LongRoPE: a Llama block whose q, k, v and gate, up are fused,
// and a sliding window. Source: modeling_phi3.py of transformers.
#include "model/family.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"phi3"};
constexpr const char* kIgnored[] = {"model.layers.#.self_attn.rotary_emb.inv_freq"};

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config));
  PHIAL_TRY(check_activation(config, {"silu", "swish"}));
  PHIAL_ASSIGN(const auto eps, config.optional_real("rms_norm_eps", 0.0, 1.0));
  spec.norm = NormKind::rms;
  spec.norm_eps = static_cast<float>(eps.value_or(1e-5));
  spec.mlp = MlpKind::silu_gated;
  // Query q sees the positions p with q - window < p <= q; 0 and null mean all.
  PHIAL_ASSIGN(const auto window, config.optional_integer("sliding_window", 0, INT32_MAX));
  spec.attention.window = window.value_or(0);
  PHIAL_TRY(read_plain_rope(config, spec));
  return spec;
}

}  // namespace

const Family kPhi3Family = {
    .name = "phi3",
    .architecture = "Phi3ForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = false,
    .ignored_tensors = kIgnored,
    .make_spec = make_spec,
};

}  // namespace phial

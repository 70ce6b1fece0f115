// Phi-1, Phi-1.5 and Phi-2: attention and mlp read one LayerNorm and are added together; biases
// everywhere; part of each head turns. Source: modeling_phi.py of transformers.
#include "model/family.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"phi"};
constexpr Role kSecondNames[] = {Role::attention_out, Role::up, Role::down, Role::final_norm};

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config));
  PHIAL_TRY(check_activation(config, {"gelu_new", "gelu_pytorch_tanh"}));
  PHIAL_ASSIGN(const bool qk_norm, config.boolean_or("qk_layernorm", false));
  if (qk_norm) {
    return unsupported(config.where("qk_layernorm"), "norms of q and k are not supported here");
  }
  PHIAL_ASSIGN(const auto eps, config.optional_real("layer_norm_eps", 0.0, 1.0));
  spec.block_order = BlockOrder::parallel;
  spec.norm = NormKind::layer;
  spec.norm_eps = static_cast<float>(eps.value_or(1e-5));
  spec.mlp = MlpKind::gelu_tanh;
  spec.bias = {.qkv = true, .attention_out = true, .mlp = true, .lm_head = true};
  PHIAL_TRY(read_rope(config, {.partial = true}, spec));
  return spec;
}

}  // namespace

const Family kPhiFamily = {
    .name = "phi",
    .architecture = "PhiForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = false,
    .second_names = kSecondNames,
    .make_spec = make_spec,
};

}  // namespace phial

// Gemma 2: embeddings times sqrt(hidden); norms before and after attention and mlp, by 1 + weight;
// every second layer with a sliding window; soft caps of the scores and of the logits; a scale of
// its own; GELU. Source: modeling_gemma2.py of transformers.
#include <cmath>

#include "model/family.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"gemma2"};
constexpr Role kSecondNames[] = {Role::mlp_norm};

// Null switches a cap off; a missing key means the default.
Result<float> read_cap(const ConfigReader& config, std::string_view key, double fallback) {
  PHIAL_ASSIGN(const auto cap, config.optional_real(key, 1e-3, 1e6));
  if (cap) return static_cast<float>(*cap);
  return config.is_null(key) ? 0.0f : static_cast<float>(fallback);
}

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config, /*tied=*/true));
  PHIAL_TRY(check_activation(config, {"gelu_pytorch_tanh"}, "hidden_activation"));
  PHIAL_ASSIGN(const bool two_way, config.boolean_or("use_bidirectional_attention", false));
  if (two_way) {
    return unsupported(config.where("use_bidirectional_attention"),
                       "attention to later positions is not supported");
  }
  PHIAL_ASSIGN(const auto eps, config.optional_real("rms_norm_eps", 0.0, 1.0));
  spec.norm_eps = static_cast<float>(eps.value_or(1e-6));
  spec.norm_place = NormPlace::before_and_after;
  spec.mlp = MlpKind::gelu_tanh_gated;
  PHIAL_ASSIGN(const bool attention_bias, config.boolean_or("attention_bias", false));
  spec.bias.qkv = attention_bias;
  spec.bias.attention_out = attention_bias;
  PHIAL_ASSIGN(const auto scalar, config.optional_real("query_pre_attn_scalar", 1e-3, 1e6));
  spec.attention.scale = static_cast<float>(1 / std::sqrt(scalar.value_or(256)));
  PHIAL_ASSIGN(spec.attention.softcap, read_cap(config, "attn_logit_softcapping", 50));
  PHIAL_ASSIGN(spec.logits_softcap, read_cap(config, "final_logit_softcapping", 30));
  spec.scales.embedding = static_cast<float>(std::sqrt(static_cast<double>(spec.hidden)));
  PHIAL_TRY(read_layer_types(
      config, 4096, [](int64_t layer) { return layer % 2 == 0; }, spec));
  PHIAL_TRY(read_rope(config, {}, spec));
  return spec;
}

}  // namespace

const Family kGemma2Family = {
    .name = "gemma2",
    .architecture = "Gemma2ForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = false,
    .norm_weights_minus_one = true,
    .second_names = kSecondNames,
    .make_spec = make_spec,
};

}  // namespace phial

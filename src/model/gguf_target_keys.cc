// Keys that say what a model computes, under llama.cpp's names (gguf-py's constants.py) and with
// the types its converter gives them. gguf_config.cc reads them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/config_reader.h"
#include "model/gguf_target_parts.h"

namespace phial {
namespace {

constexpr BiasSpec kLlamaBiases = {.qkv = true, .attention_out = true, .mlp = true};
constexpr BiasSpec kAllBiases = {.qkv = true, .attention_out = true, .mlp = true, .lm_head = true};

constexpr GgufArchitecture kArchitectures[] = {
    {.family = "llama", .name = "llama", .freq_factors = true, .biases = kLlamaBiases},
    {.family = "mistral", .name = "llama", .freq_factors = true, .biases = kLlamaBiases},
    {.family = "granite", .name = "granite", .freq_factors = true, .biases = kLlamaBiases},
    {.family = "smollm3", .name = "smollm3"},
    {.family = "phi3", .name = "phi3", .fuses = true, .longrope = true},
    {.family = "phi", .name = "phi2", .biases = kAllBiases},
    {.family = "qwen2", .name = "qwen2", .biases = {.qkv = true}},
    {.family = "qwen3", .name = "qwen3"},
    {.family = "gemma2", .name = "gemma2", .always_tied = true},
};

Error cannot_say(const ModelSpec& spec, std::string_view what) {
  return unsupported(spec.family,
                     fmt::format("a GGUF file of this architecture cannot say {}", what),
                     "a safetensors or MLX folder keeps it");
}

// Windows and layers without rotation follow a fixed pattern in llama.cpp.
Status check_layer_kinds(const ModelSpec& spec) {
  for (int64_t i = 0; i < spec.layers; ++i) {
    const LayerKind& kind = spec.layer_kinds[static_cast<size_t>(i)];
    const bool turns = spec.family != "smollm3" || (i + 1) % 4 != 0;
    if (kind.rotates != turns) return cannot_say(spec, "which layers do not turn");
    const bool slides = spec.family != "gemma2" || i % 2 == 0;
    const bool may_slide =
        spec.family == "gemma2" || spec.family == "phi3" || spec.family == "mistral";
    const int64_t window = may_slide && slides ? spec.layer_kinds[0].window : 0;
    if (kind.window != window) return cannot_say(spec, "which layers have a sliding window");
  }
  return {};
}

// Gemma 2's scale is not read from the file.
Status check_scale(const ModelSpec& spec) {
  constexpr int64_t kLayersOf27B = 46;
  const int64_t scalar =
      spec.layers == kLayersOf27B ? spec.hidden / spec.attention.heads : spec.attention.head_dim;
  const auto known = static_cast<float>(1 / std::sqrt(static_cast<double>(scalar)));
  if (spec.family == "gemma2" && spec.attention.scale != known) {
    return cannot_say(spec, "this query_pre_attn_scalar");
  }
  return {};
}

Status check_rope(const ModelSpec& spec, const GgufArchitecture& architecture) {
  const RopeRecipe& recipe = spec.rope.recipe;
  // There are keys for the bounds of yarn's ramp, but these architectures do not read them.
  const RopeRecipe usual;
  const bool usual_ramp =
      recipe.beta_fast == usual.beta_fast && recipe.beta_slow == usual.beta_slow && recipe.truncate;
  if (recipe.type == "dynamic" || !usual_ramp) {
    return cannot_say(spec, "this kind of rope scaling");
  }
  if (recipe.type == "llama3" && !architecture.freq_factors) {
    return cannot_say(spec, "rope scaling \"llama3\"");
  }
  if (recipe.type == "longrope" && !architecture.longrope) {
    return cannot_say(spec, "rope scaling \"longrope\"");
  }
  return {};
}

class KeyWriter {
 public:
  KeyWriter(const Model& model, const GgufArchitecture& architecture)
      : spec_(model.spec), model_(model), arch_(architecture.name) {}

  Result<std::vector<GgufPair>> write() {
    count("block_count", spec_.layers);
    count("context_length", spec_.context);
    count("embedding_length", spec_.hidden);
    count("feed_forward_length", spec_.intermediate);
    count("attention.head_count", spec_.attention.heads);
    count("attention.head_count_kv", spec_.attention.kv_heads);
    count("attention.key_length", spec_.attention.head_dim);
    count("attention.value_length", spec_.attention.head_dim);
    real(spec_.norm == NormKind::rms ? "attention.layer_norm_rms_epsilon"
                                     : "attention.layer_norm_epsilon",
         spec_.norm_eps);
    count("vocab_size", spec_.vocabulary);
    const int64_t window = spec_.layer_kinds.at(0).window;
    // In phi3 its absence means a window.
    if (window > 0 || arch_ == "phi3") count("attention.sliding_window", window);
    write_rope();
    if (spec_.attention.softcap > 0) real("attn_logit_softcapping", spec_.attention.softcap);
    if (spec_.logits_softcap > 0) real("final_logit_softcapping", spec_.logits_softcap);
    if (spec_.family == "granite") PHIAL_TRY(write_granite());
    return std::move(out_);
  }

 private:
  void add(std::string_view suffix, GgufPair::Value value) {
    out_.push_back({fmt::format("{}.{}", arch_, suffix), std::move(value)});
  }
  void count(std::string_view suffix, int64_t value) { add(suffix, static_cast<uint32_t>(value)); }
  void real(std::string_view suffix, double value) { add(suffix, static_cast<float>(value)); }

  void write_rope() {
    const RopeSpec& rope = spec_.rope;
    const RopeRecipe& recipe = rope.recipe;
    count("rope.dimension_count", rope.rotary);
    real("rope.freq_base", recipe.theta);
    const bool scales = recipe.type == "linear" || recipe.type == "yarn";
    if (scales) {
      add("rope.scaling.type", recipe.type);
      real("rope.scaling.factor", recipe.factor);
    }
    if (arch_ == "phi3" || recipe.type == "yarn") {
      count("rope.scaling.original_context_length", recipe.original_context);
    }
    if (recipe.type == "longrope") real("rope.scaling.attn_factor", rope.mscale);
    if (recipe.type == "yarn") write_yarn_factor();
  }

  // llama.cpp multiplies its own factor by this one.
  void write_yarn_factor() {
    const double factor = spec_.rope.recipe.factor;
    const double own = factor <= 1 ? 1.0 : 0.1 * std::log(factor) + 1.0;
    if (spec_.rope.mscale != static_cast<float>(own)) {
      real("rope.scaling.attn_factor", static_cast<double>(spec_.rope.mscale) / own);
    }
  }

  Status write_granite() {
    real("attention.scale", spec_.attention.scale);
    real("embedding_scale", spec_.scales.embedding);
    real("residual_scale", spec_.scales.residual);
    // The spec holds the reciprocal.
    PHIAL_ASSIGN(const ModelConfig config, read_config(*model_.checkpoint));
    PHIAL_ASSIGN(const auto divisor, config.reader().optional_real("logits_scaling", 1e-6, 1e6));
    real("logit_scale", divisor.value_or(1));
    return {};
  }

  const ModelSpec& spec_;
  const Model& model_;
  const std::string_view arch_;
  std::vector<GgufPair> out_;
};

}  // namespace

Result<const GgufArchitecture*> gguf_architecture(const ModelSpec& spec) {
  const auto* known = std::ranges::find(kArchitectures, spec.family, &GgufArchitecture::family);
  if (known == std::end(kArchitectures)) {
    return unsupported(spec.family,
                       "llama.cpp has no architecture that phial writes for this family");
  }
  const BiasSpec& has = spec.bias;
  const BiasSpec& may = known->biases;
  if ((has.qkv && !may.qkv) || (has.attention_out && !may.attention_out) || (has.mlp && !may.mlp) ||
      (has.lm_head && !may.lm_head)) {
    return cannot_say(spec, "the biases that this model has");
  }
  if (known->always_tied && !spec.tied_embeddings) {
    return cannot_say(spec, "an output matrix beside the embedding");
  }
  PHIAL_TRY(check_layer_kinds(spec));
  PHIAL_TRY(check_scale(spec));
  PHIAL_TRY(check_rope(spec, *known));
  return known;
}

Result<std::vector<GgufPair>> gguf_model_pairs(const Model& model,
                                               const GgufArchitecture& architecture) {
  return KeyWriter(model, architecture).write();
}

}  // namespace phial

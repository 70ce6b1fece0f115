#include <fmt/format.h>

#include <cmath>

#include "model/family.h"

namespace phial {
namespace {

constexpr const Family* kFamilies[] = {
    &kLlamaFamily, &kPhi3Family,   &kPhiFamily,     &kMistralFamily, &kQwen2Family,
    &kQwen3Family, &kGemma2Family, &kGraniteFamily, &kSmolLm3Family,
};

// Bounds that no real model comes near and that keep all products of two of them in int64.
constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxVocabulary = int64_t{1} << 24;
constexpr int64_t kMaxContext = int64_t{1} << 30;

std::string known_types() {
  std::string list;
  for (const Family* family : kFamilies) {
    for (const char* type : family->model_types) {
      if (!list.empty()) list += ", ";
      list += type;
    }
  }
  return list;
}

Result<int64_t> window_of(const ConfigReader& config, int64_t default_window) {
  PHIAL_ASSIGN(const auto window, config.optional_integer("sliding_window", 0, INT32_MAX));
  return window.value_or(config.is_null("sliding_window") ? 0 : default_window);
}

}  // namespace

std::span<const Family* const> families() { return kFamilies; }

Result<const Family*> find_family(const ConfigReader& config) {
  PHIAL_ASSIGN(const std::string type, config.string_or("model_type", ""));
  for (const Family* family : kFamilies) {
    for (const char* known : family->model_types) {
      if (type == known) return family;
    }
  }
  return unsupported(config.where("model_type"),
                     type.empty() ? std::string("missing; it names the architecture")
                                  : fmt::format("the architecture \"{}\" is not supported", type),
                     "supported: " + known_types());
}

Result<ModelSpec> read_common(const ConfigReader& config, bool tied) {
  ModelSpec spec;
  PHIAL_ASSIGN(spec.hidden, config.integer("hidden_size", 1, kMaxWidth));
  PHIAL_ASSIGN(spec.layers, config.integer("num_hidden_layers", 1, kMaxLayers));
  PHIAL_ASSIGN(spec.intermediate, config.integer("intermediate_size", 1, kMaxWidth));
  PHIAL_ASSIGN(spec.vocabulary, config.integer("vocab_size", 1, kMaxVocabulary));
  PHIAL_ASSIGN(spec.context, config.integer("max_position_embeddings", 1, kMaxContext));
  AttentionSpec& attention = spec.attention;
  PHIAL_ASSIGN(attention.heads, config.integer("num_attention_heads", 1, kMaxWidth));
  PHIAL_ASSIGN(const auto kv_heads,
               config.optional_integer("num_key_value_heads", 1, attention.heads));
  attention.kv_heads = kv_heads.value_or(attention.heads);
  if (attention.heads % attention.kv_heads != 0) {
    return damaged(config.where("num_key_value_heads"),
                   fmt::format("{} does not divide the {} attention heads", attention.kv_heads,
                               attention.heads));
  }
  PHIAL_ASSIGN(const auto head_dim, config.optional_integer("head_dim", 1, kMaxWidth));
  if (!head_dim && spec.hidden % attention.heads != 0) {
    return damaged(
        config.where("num_attention_heads"),
        fmt::format("{} does not divide the hidden size {}", attention.heads, spec.hidden));
  }
  attention.head_dim = head_dim.value_or(spec.hidden / attention.heads);
  if (attention.head_dim > 1024 || attention.heads * attention.head_dim > kMaxWidth) {
    return damaged(config.where("num_attention_heads"),
                   fmt::format("{} heads of {} dimensions are more than any model has",
                               attention.heads, attention.head_dim));
  }
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  PHIAL_ASSIGN(spec.tied_embeddings, config.boolean_or("tie_word_embeddings", tied));
  spec.layer_kinds.resize(static_cast<size_t>(spec.layers));
  return spec;
}

Status read_llama_block(const ConfigReader& config, double default_eps, ModelSpec& spec) {
  PHIAL_TRY(check_activation(config, {"silu", "swish"}));
  PHIAL_ASSIGN(const auto eps, config.optional_real("rms_norm_eps", 0.0, 1.0));
  spec.norm = NormKind::rms;
  spec.norm_eps = static_cast<float>(eps.value_or(default_eps));
  spec.mlp = MlpKind::silu_gated;
  return {};
}

Status read_llama_biases(const ConfigReader& config, ModelSpec& spec) {
  PHIAL_ASSIGN(const bool attention_bias, config.boolean_or("attention_bias", false));
  spec.bias.qkv = attention_bias;
  spec.bias.attention_out = attention_bias;
  PHIAL_ASSIGN(spec.bias.mlp, config.boolean_or("mlp_bias", false));
  return {};
}

Status read_window(const ConfigReader& config, int64_t default_window, ModelSpec& spec) {
  PHIAL_ASSIGN(const int64_t window, window_of(config, default_window));
  for (LayerKind& kind : spec.layer_kinds) kind.window = window;
  return {};
}

Status read_layer_types(const ConfigReader& config, int64_t default_window,
                        const std::function<bool(int64_t)>& slides, ModelSpec& spec) {
  PHIAL_ASSIGN(const int64_t window, window_of(config, default_window));
  const Json* types = config.find("layer_types");
  if (types == nullptr) {
    for (int64_t i = 0; i < spec.layers; ++i) {
      if (slides(i)) spec.layer_kinds[static_cast<size_t>(i)].window = window;
    }
    return {};
  }
  const Json::Array* list = types->if_array();
  if (list == nullptr || list->size() != spec.layer_kinds.size()) {
    return damaged(config.where("layer_types"),
                   fmt::format("expected a list of {} layer types", spec.layers));
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string* type = (*list)[i].if_string();
    if (type != nullptr && *type == "full_attention") continue;
    if (type == nullptr || *type != "sliding_attention") {
      return unsupported(
          config.where("layer_types"),
          fmt::format("the layer type {} is not supported", printable(to_text((*list)[i]), 60)),
          "supported: full_attention, sliding_attention");
    }
    spec.layer_kinds[i].window = window;
  }
  return {};
}

Status read_upper_windows(const ConfigReader& config, ModelSpec& spec) {
  PHIAL_ASSIGN(const bool windowed, config.boolean_or("use_sliding_window", false));
  if (!windowed) return {};
  PHIAL_ASSIGN(const auto first, config.optional_integer("max_window_layers", 0, kMaxLayers));
  return read_layer_types(
      config, 4096, [&](int64_t layer) { return layer >= first.value_or(28); }, spec);
}

Status check_activation(const ConfigReader& config,
                        std::initializer_list<std::string_view> accepted, std::string_view key) {
  PHIAL_ASSIGN(const std::string act, config.string_or(key, std::string(*accepted.begin())));
  for (const std::string_view name : accepted) {
    if (act == name) return {};
  }
  return unsupported(config.where(key),
                     fmt::format("the activation \"{}\" is not supported here", act));
}

}  // namespace phial

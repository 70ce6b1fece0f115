// GGUF metadata under Hugging Face's names, so that a family reads one kind of configuration.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/config_reader.h"
#include "model/roles.h"

namespace phial {
namespace {

// llama.cpp's architecture names and Hugging Face's model_type, where they differ or not.
struct ArchitectureName {
  const char* gguf;
  const char* model_type;
};
constexpr ArchitectureName kArchitectures[] = {
    {"llama", "llama"}, {"phi3", "phi3"},     {"phi2", "phi"},        {"qwen2", "qwen2"},
    {"qwen3", "qwen3"}, {"gemma2", "gemma2"}, {"granite", "granite"}, {"smollm3", "smollm3"},
};

// Keys are "<architecture>." + suffix (gguf-py's constants).
struct KeyName {
  const char* suffix;
  const char* hugging_face;
};
constexpr KeyName kKeys[] = {
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"block_count", "num_hidden_layers"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.key_length", "head_dim"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"attention.layer_norm_epsilon", "layer_norm_eps"},
    {"attention.sliding_window", "sliding_window"},
    {"attention.scale", "attention_multiplier"},
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"final_logit_softcapping", "final_logit_softcapping"},
    {"embedding_scale", "embedding_multiplier"},
    {"residual_scale", "residual_multiplier"},
    {"logit_scale", "logits_scaling"},
    {"rope.freq_base", "rope_theta"},
};

Result<Json> to_json(const GgufMetadata::Value& value, const std::string& where) {
  if (const auto* integer = std::get_if<int64_t>(&value.data)) return Json(*integer);
  if (const auto* real = std::get_if<double>(&value.data)) return Json(*real);
  if (const auto* flag = std::get_if<bool>(&value.data)) return Json(*flag);
  if (const auto* text = std::get_if<std::string_view>(&value.data)) return Json(*text);
  return unsupported(where,
                     fmt::format("a value for each layer ({}) is not supported", value.type_name));
}

// Keys of rope scaling, "<architecture>.rope.scaling." + suffix, by Hugging Face's names inside
// rope_scaling.
constexpr KeyName kScalingKeys[] = {
    {"factor", "factor"},
    {"attn_factor", "attention_factor"},
    {"original_context_length", "original_max_position_embeddings"},
    {"yarn_beta_fast", "beta_fast"},
    {"yarn_beta_slow", "beta_slow"},
};
// Keys that change the result in a way that no supported model uses.
constexpr const char* kRefusedScalingKeys[] = {"alpha", "yarn_log_multiplier", "yarn_ext_factor",
                                               "yarn_attn_factor"};

// Tensors that stand for lists of the configuration.
struct FactorTensor {
  const char* gguf;
  const char* hugging_face;  // inside rope_scaling
};
constexpr FactorTensor kFactorTensors[] = {
    {"rope_freqs.weight", "freq_factors"},  // what llama3 scaling comes to
    {"rope_factors_short.weight", "short_factor"},
    {"rope_factors_long.weight", "long_factor"},
};
// No head has more dimensions (registry.cc).
constexpr int64_t kMaxFactors = 512;

Result<Json> factors_of(const NamedTensor& tensor) {
  const int64_t count = tensor.view.shape.size() == 1 ? tensor.view.shape[0] : 0;
  if (count < 1 || count > kMaxFactors || tensor.view.grid != Grid::f32) {
    return damaged(tensor.file + ": " + tensor.name,
                   fmt::format("expected 1..{} F32 numbers", kMaxFactors));
  }
  std::vector<float> values(static_cast<size_t>(count));
  decode_row(Grid::f32, tensor.view.bytes.data(), count, values.data());
  Json list{Json::Array()};
  for (const float value : values) list.push(static_cast<double>(value));
  return list;
}

// The part of a head that turns.
Status translate_rotary(const GgufMetadata& gguf, const std::string& arch, ModelConfig& config) {
  PHIAL_ASSIGN(const auto rotary, gguf.integer(arch + ".rope.dimension_count"));
  PHIAL_ASSIGN(const auto heads, gguf.integer(arch + ".attention.head_count"));
  PHIAL_ASSIGN(const auto hidden, gguf.integer(arch + ".embedding_length"));
  PHIAL_ASSIGN(auto head_dim, gguf.integer(arch + ".attention.key_length"));
  if (!head_dim && heads && hidden && *heads > 0) head_dim = *hidden / *heads;
  if (rotary && head_dim && *head_dim > 0) {
    config.values.set("partial_rotary_factor",
                      static_cast<double>(*rotary) / static_cast<double>(*head_dim));
    config.shown_names["partial_rotary_factor"] = arch + ".rope.dimension_count";
  }
  return {};
}

// llama.cpp multiplies attn_factor by YaRN's own factor; Hugging Face's attention_factor replaces
// it.
Status complete_yarn_factor(const GgufMetadata& gguf, const std::string& prefix, Json& scaling) {
  PHIAL_ASSIGN(const auto attention, gguf.real(prefix + "attn_factor"));
  PHIAL_ASSIGN(const auto factor, gguf.real(prefix + "factor"));
  if (!attention || !factor || !(*factor > 1)) return {};
  Json completed{Json::Object()};
  for (const Json::Member& member : *scaling.if_object()) {
    if (member.first != "attention_factor") completed.set(member.first, member.second);
  }
  completed.set("attention_factor", *attention * (0.1 * std::log(*factor) + 1.0));
  scaling = std::move(completed);
  return {};
}

Status translate_scaling(const Checkpoint& checkpoint, const std::string& arch,
                         ModelConfig& config) {
  const GgufMetadata& gguf = checkpoint.gguf;
  const std::string prefix = arch + ".rope.scaling.";
  for (const char* key : kRefusedScalingKeys) {
    if (gguf.find(prefix + key) != nullptr) {
      return unsupported(gguf.file + ": " + prefix + key, "this rope scaling is not supported");
    }
  }
  Json scaling{Json::Object()};
  PHIAL_ASSIGN(const auto named, gguf.string(prefix + "type"));
  std::string type(named && *named != "none" ? *named : "default");
  for (const KeyName& key : kScalingKeys) {
    PHIAL_ASSIGN(const auto value, gguf.real(prefix + key.suffix));
    if (!value) continue;
    // A context length is an integer in every file that a converter wrote.
    const bool whole = *value == std::floor(*value) && std::abs(*value) < 1e15;
    scaling.set(key.hugging_face, whole ? Json(static_cast<int64_t>(*value)) : Json(*value));
  }
  for (const FactorTensor& known : kFactorTensors) {
    const NamedTensor* tensor = checkpoint.find(known.gguf);
    if (tensor == nullptr) continue;
    PHIAL_ASSIGN(Json factors, factors_of(*tensor));
    scaling.set(known.hugging_face, std::move(factors));
  }
  if (type == "yarn") PHIAL_TRY(complete_yarn_factor(gguf, prefix, scaling));
  if (scaling.find("freq_factors") != nullptr) type = "freq_factors";
  if (scaling.find("long_factor") != nullptr) type = "longrope";
  scaling.set("rope_type", type);
  config.values.set("rope_scaling", std::move(scaling));
  config.shown_names["rope_scaling"] = arch + ".rope.scaling";
  return {};
}

Result<std::string> model_type_of(const GgufMetadata& gguf, const std::string& arch) {
  PHIAL_ASSIGN(const auto window, gguf.integer(arch + ".attention.sliding_window"));
  if (arch == "llama" && window.value_or(0) > 0) return std::string("mistral");
  for (const ArchitectureName& known : kArchitectures) {
    if (arch == known.gguf) return std::string(known.model_type);
  }
  return arch;
}

// What llama.cpp's loader knows without reading it from a key.
Status add_unwritten(const Checkpoint& checkpoint, const std::string& arch, ModelConfig& config) {
  const GgufMetadata& gguf = checkpoint.gguf;
  const auto has_bias = [&checkpoint](Role role) {
    return find_role(checkpoint, role, 0, ".bias") != nullptr;
  };
  config.values.set("attention_bias", has_bias(Role::q));
  config.values.set("mlp_bias", has_bias(Role::up));
  const auto integer = [&](const char* key) { return gguf.integer(arch + key); };
  if (arch == "phi3" && gguf.find("phi3.attention.sliding_window") == nullptr) {
    // Files from before the key existed: Phi-3-mini-4k and Phi-3-medium-4k have a window.
    PHIAL_ASSIGN(const auto layers, integer(".block_count"));
    PHIAL_ASSIGN(const auto context, integer(".context_length"));
    if ((layers == 32 || layers == 40) && context == 4096) {
      config.values.set("sliding_window", int64_t{2047});
    }
  }
  if (arch == "gemma2") {
    // Gemma 2 27B alone scales by hidden / heads instead of the head's dimensions.
    PHIAL_ASSIGN(const auto layers, integer(".block_count"));
    PHIAL_ASSIGN(const auto heads, integer(".attention.head_count"));
    PHIAL_ASSIGN(const auto hidden, integer(".embedding_length"));
    PHIAL_ASSIGN(const auto head_dim, integer(".attention.key_length"));
    PHIAL_ASSIGN(const auto scale, gguf.real(arch + ".attention.scale"));
    if (scale && *scale > 0) {
      config.values.set("query_pre_attn_scalar", 1 / (*scale * *scale));
    } else if (layers == 46 && heads && hidden && *heads > 0) {
      config.values.set("query_pre_attn_scalar", *hidden / *heads);
    } else if (head_dim) {
      config.values.set("query_pre_attn_scalar", *head_dim);
    }
  }
  return {};
}

}  // namespace

Result<ModelConfig> config_from_gguf(const Checkpoint& checkpoint) {
  const GgufMetadata& gguf = checkpoint.gguf;
  ModelConfig config;
  config.file = gguf.file;
  PHIAL_ASSIGN(const auto named, gguf.string("general.architecture"));
  if (!named) return damaged(gguf.file + ": general.architecture", "missing; every GGUF names it");
  const std::string arch(*named);
  PHIAL_ASSIGN(std::string model_type, model_type_of(gguf, arch));
  config.values.set("model_type", std::move(model_type));
  config.shown_names["model_type"] = "general.architecture";
  for (const KeyName& key : kKeys) {
    const std::string full = arch + "." + key.suffix;
    if (const GgufMetadata::Value* value = gguf.find(full)) {
      PHIAL_ASSIGN(Json translated, to_json(*value, gguf.file + ": " + full));
      config.values.set(key.hugging_face, std::move(translated));
    }
    config.shown_names[key.hugging_face] = full;
  }
  PHIAL_TRY(translate_rotary(gguf, arch, config));
  PHIAL_TRY(translate_scaling(checkpoint, arch, config));
  PHIAL_TRY(add_unwritten(checkpoint, arch, config));
  // The rows of the embedding say how many logits there are, padding included.
  const NamedTensor* embedding = find_role(checkpoint, Role::token_embedding, 0, ".weight");
  if (embedding != nullptr && embedding->view.shape.size() == 2) {
    config.values.set("vocab_size", embedding->view.shape[0]);
    config.values.set("tie_word_embeddings",
                      find_role(checkpoint, Role::lm_head, 0, ".weight") == nullptr);
  }
  config.shown_names["vocab_size"] = "token_embd.weight";
  return config;
}

bool is_config_tensor(std::string_view name) {
  return std::any_of(std::begin(kFactorTensors), std::end(kFactorTensors),
                     [&](const FactorTensor& known) { return name == known.gguf; });
}

}  // namespace phial

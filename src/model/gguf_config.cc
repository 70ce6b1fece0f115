// GGUF metadata under Hugging Face's names, so that a family reads one kind of configuration.
#include <fmt/format.h>

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
    {"llama", "llama"},
    {"phi3", "phi3"},
    {"phi2", "phi"},
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

// Rope: the part of a head that turns, and scaling, which this version only knows as "none".
Status translate_rope(const GgufMetadata& gguf, const std::string& arch, const std::string& file,
                      ModelConfig& config) {
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
  PHIAL_ASSIGN(const auto scaling, gguf.string(arch + ".rope.scaling.type"));
  if (scaling && *scaling != "none") {
    return unsupported(file + ": " + arch + ".rope.scaling.type",
                       fmt::format("rope scaling \"{}\" is not supported", *scaling));
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
  config.values.set("model_type", arch);
  for (const ArchitectureName& known : kArchitectures) {
    if (arch == known.gguf) config.values = Json(Json::Object{{"model_type", known.model_type}});
  }
  config.shown_names["model_type"] = "general.architecture";
  for (const KeyName& key : kKeys) {
    const std::string full = arch + "." + key.suffix;
    if (const GgufMetadata::Value* value = gguf.find(full)) {
      PHIAL_ASSIGN(Json translated, to_json(*value, gguf.file + ": " + full));
      config.values.set(key.hugging_face, std::move(translated));
    }
    config.shown_names[key.hugging_face] = full;
  }
  PHIAL_TRY(translate_rope(gguf, arch, gguf.file, config));
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

}  // namespace phial

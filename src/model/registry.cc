#include <fmt/format.h>

#include <cmath>

#include "model/family.h"

namespace phial {
namespace {

constexpr const Family* kFamilies[] = {&kLlamaFamily, &kPhi3Family, &kPhiFamily};

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

Result<ModelSpec> read_common(const ConfigReader& config) {
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
  PHIAL_ASSIGN(spec.tied_embeddings, config.boolean_or("tie_word_embeddings", false));
  return spec;
}

std::vector<float> plain_inv_freq(double theta, int64_t rotary) {
  std::vector<float> inv_freq(static_cast<size_t>(rotary / 2));
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary);
    inv_freq[i] = 1.0f / std::pow(static_cast<float>(theta), exponent);
  }
  return inv_freq;
}

Status read_plain_rope(const ConfigReader& config, ModelSpec& spec) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const ConfigReader section = config.section(key);
    PHIAL_ASSIGN(const std::string old_name, section.string_or("type", "default"));
    PHIAL_ASSIGN(const std::string type, section.string_or("rope_type", old_name));
    if (type != "default") {
      return unsupported(config.where(key),
                         fmt::format("rope scaling \"{}\" is not supported", type),
                         "supported: none");
    }
  }
  const ConfigReader parameters = config.section("rope_parameters");
  constexpr double kMaxTheta = 1e12;
  PHIAL_ASSIGN(const auto old_theta, config.optional_real("rope_theta", 1.0, kMaxTheta));
  PHIAL_ASSIGN(const auto theta, parameters.optional_real("rope_theta", 1.0, kMaxTheta));
  PHIAL_ASSIGN(const auto old_factor, config.optional_real("partial_rotary_factor", 0.0, 1.0));
  PHIAL_ASSIGN(const auto factor, parameters.optional_real("partial_rotary_factor", 0.0, 1.0));
  const double share = factor.value_or(old_factor.value_or(1.0));
  spec.rope.rotary = static_cast<int64_t>(static_cast<double>(spec.attention.head_dim) * share);
  if (spec.rope.rotary < 2 || spec.rope.rotary % 2 != 0) {
    return damaged(config.where("partial_rotary_factor"),
                   fmt::format("{} of {} head dimensions cannot turn in pairs", spec.rope.rotary,
                               spec.attention.head_dim));
  }
  spec.rope.inv_freq =
      plain_inv_freq(theta.value_or(old_theta.value_or(10000.0)), spec.rope.rotary);
  return {};
}

Status check_activation(const ConfigReader& config,
                        std::initializer_list<std::string_view> accepted) {
  PHIAL_ASSIGN(const std::string act,
               config.string_or("hidden_act", std::string(*accepted.begin())));
  for (const std::string_view name : accepted) {
    if (act == name) return {};
  }
  return unsupported(config.where("hidden_act"),
                     fmt::format("the activation \"{}\" is not supported here", act));
}

}  // namespace phial

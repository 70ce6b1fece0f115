#include "model/hf_target_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numbers>
#include <optional>

#include "model/config_reader.h"
#include "model/rope.h"

namespace phial {
namespace {

using Members = std::map<std::string, Json>;  // sorted, as transformers writes them

// A number that was a float, with the fewest digits that lead back to that float.
double shortest(double value) {
  const auto single = static_cast<float>(value);
  if (static_cast<double>(single) != value) return value;
  char digits[32];
  const char* end = std::to_chars(digits, digits + sizeof(digits), single).ptr;
  double out = value;
  std::from_chars(digits, end, out);
  return out;
}

Json shortest(const Json& value) {
  if (const double* real = value.if_real()) return Json(shortest(*real));
  if (const Json::Array* list = value.if_array()) {
    Json::Array out;
    for (const Json& item : *list) out.push_back(shortest(item));
    return Json(std::move(out));
  }
  return value;
}

std::vector<double> numbers_of(const Json& list) {
  std::vector<double> out;
  if (list.if_array() == nullptr) return out;
  for (const Json& item : *list.if_array()) out.push_back(item.number().value_or(0));
  return out;
}

// The parameters of llama3's scaling (rope.h): frequencies of long waves are divided by `factor`,
// those of short ones kept, between them it is a blend, linear in the frequency.
struct Llama3 {
  double factor = 1, low = 1, high = 4, original = 0;

  double factor_of(double inv_freq) const {
    const double turns = original * inv_freq / (2 * std::numbers::pi);
    const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    return 1 / ((1 - kept) / factor + kept);
  }
};

bool lead_to(const Llama3& parameters, const std::vector<double>& factors,
             const std::vector<float>& inv_freq) {
  // The factors are floats, made in float32 from frequencies that are.
  constexpr double kTolerance = 1e-5;
  for (size_t i = 0; i < factors.size(); ++i) {
    const double expected = parameters.factor_of(static_cast<double>(inv_freq[i]));
    if (std::fabs(expected - factors[i]) > kTolerance * expected) return false;
  }
  return true;
}

// With the usual low_freq_factor 1 and high_freq_factor 4 (any multiple of both and of the context
// says the same), from the context of each frequency that is blended; without one, from where the
// change lies.
std::optional<Llama3> llama3_parameters(const std::vector<double>& factors,
                                        const std::vector<float>& inv_freq) {
  if (factors.size() != inv_freq.size() || factors.empty()) return std::nullopt;
  Llama3 out;
  out.factor = *std::max_element(factors.begin(), factors.end());
  std::vector<double> contexts;
  for (size_t i = 0; i < factors.size(); ++i) {
    const double wave = 2 * std::numbers::pi / static_cast<double>(inv_freq[i]);
    if (factors[i] > 1 && factors[i] < out.factor) {
      const double kept = (1 / factors[i] - 1 / out.factor) / (1 - 1 / out.factor);
      contexts.push_back(wave * (out.low + kept * (out.high - out.low)));
    } else {
      contexts.push_back(wave * (factors[i] > 1 ? out.low : out.high));
    }
  }
  for (const double context : contexts) {
    out.original = std::round(context);
    if (out.original >= 1 && lead_to(out, factors, inv_freq)) return out;
  }
  // Powers of two are what contexts are.
  for (out.original = 2; out.original <= 0x1p30; out.original *= 2) {
    if (lead_to(out, factors, inv_freq)) return out;
  }
  return std::nullopt;
}

Result<Json> llama3_scaling(const Json& factors, double theta, const ModelSpec& spec,
                            const std::string& where) {
  const std::vector<float> plain = plain_inv_freq(theta, spec.rope.rotary);
  const std::optional<Llama3> parameters = llama3_parameters(numbers_of(factors), plain);
  if (!parameters) {
    return unsupported(where, "factors that llama3's rope scaling does not lead to");
  }
  Json out;
  out.set("rope_type", "llama3");
  out.set("factor", shortest(parameters->factor));
  out.set("low_freq_factor", parameters->low);
  out.set("high_freq_factor", parameters->high);
  out.set("original_max_position_embeddings", static_cast<int64_t>(parameters->original));
  out.set("freq_factors", shortest(factors));
  return out;
}

// What transformers takes for attention_factor when it is missing.
double default_attention_factor(const std::string& type, double factor, double original) {
  if (factor <= 1) return 1;
  if (type == "yarn") return 0.1 * std::log(factor) + 1;
  return std::sqrt(1 + std::log(factor) / std::log(original));
}

// `scaling` as config_from_gguf makes it.
Result<Json> scaling_of(const ConfigReader& config, const ModelSpec& spec, Members& outer) {
  const Json* scaling = config.find("rope_scaling");
  const Json* named = scaling != nullptr ? scaling->find("rope_type") : nullptr;
  if (named == nullptr || *named == Json("default")) return Json();
  const std::string type = *named->if_string();
  const std::string where = config.where("rope_scaling");
  if (const Json* factors = scaling->find("freq_factors")) {
    PHIAL_ASSIGN(const auto theta, config.optional_real("rope_theta", 1, 1e12));
    return llama3_scaling(*factors, theta.value_or(10000.0), spec, where);
  }
  const bool longrope = type == "longrope";
  const auto number = [&](const char* key, double missing) {
    const Json* value = scaling->find(key);
    return value != nullptr ? value->number().value_or(missing) : missing;
  };
  const double context = static_cast<double>(spec.context);
  const double original = number("original_max_position_embeddings", context);
  Json out;
  out.set("rope_type", type);
  if (longrope) {
    out.set("type", type);  // what transformers 4 and mlx-lm read
    outer["original_max_position_embeddings"] = static_cast<int64_t>(original);
  }
  for (const auto& [key, value] : *scaling->if_object()) {
    if (key == "rope_type") continue;
    if (longrope && key == "original_max_position_embeddings") continue;
    if (longrope && key == "factor" && value.number() == context / original) continue;
    if (key == "attention_factor") {
      const double factor = number("factor", context / original);
      const double usual = default_attention_factor(type, factor, original);
      if (static_cast<float>(usual) == static_cast<float>(value.number().value_or(0))) continue;
    }
    out.set(key, shortest(value));
  }
  return out;
}

// What transformers' configuration classes would take for granted otherwise, or read differently.
void complete(const Model& model, Members& out) {
  const ModelSpec& spec = model.spec;
  out["architectures"] = Json::Array{spec.architecture};
  out["head_dim"] = spec.attention.head_dim;
  out["num_key_value_heads"] = spec.attention.kv_heads;
  out["tie_word_embeddings"] = spec.tied_embeddings;
  out["use_cache"] = true;
  const char* activation = "silu";
  if (spec.mlp == MlpKind::gelu_tanh_gated) activation = "gelu_pytorch_tanh";
  if (spec.mlp == MlpKind::gelu_tanh) activation = "gelu_new";
  out["hidden_act"] = activation;
  if (spec.mlp == MlpKind::gelu_tanh_gated) out["hidden_activation"] = activation;
  if (spec.rope.rotary == spec.attention.head_dim) out.erase("partial_rotary_factor");
  const int64_t widest =
      std::max_element(spec.layer_kinds.begin(), spec.layer_kinds.end(),
                       [](const LayerKind& a, const LayerKind& b) { return a.window < b.window; })
          ->window;
  if (widest > 0) {
    out["sliding_window"] = widest;
  } else {
    out["sliding_window"] = Json();
  }
  // attention_multiplier is Granite's; of Gemma 2 query_pre_attn_scalar says the same.
  if (out.contains("query_pre_attn_scalar")) out.erase("attention_multiplier");
  if (spec.norm == NormKind::layer) {
    out.erase("rms_norm_eps");
  } else {
    out.erase("layer_norm_eps");
  }
}

Status add_token_ids(const Model& model, Members& out) {
  // Given in any case: the defaults of some classes lie outside of small vocabularies.
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) out[key] = Json();
  if (!has_vocabulary(*model.checkpoint)) return {};
  PHIAL_ASSIGN(const auto tokenizer, open_tokenizer(*model.checkpoint));
  const TokenizerSpec& spec = tokenizer->spec();
  const std::pair<const char*, std::optional<int32_t>> roles[] = {
      {"bos_token_id", spec.bos_id}, {"eos_token_id", spec.eos_id}, {"pad_token_id", spec.pad_id}};
  for (const auto& [key, id] : roles) {
    if (id) out[key] = static_cast<int64_t>(*id);
  }
  return {};
}

}  // namespace

bool has_vocabulary(const Checkpoint& checkpoint) {
  return checkpoint.gguf.find("tokenizer.ggml.tokens") != nullptr;
}

Result<Json> config_to_hf(const Model& model) {
  PHIAL_ASSIGN(const ModelConfig config, config_from_gguf(*model.checkpoint));
  Members out;
  for (const auto& [key, value] : *config.values.if_object()) out[key] = shortest(value);
  PHIAL_ASSIGN(Json scaling, scaling_of(config.reader(), model.spec, out));
  out["rope_scaling"] = std::move(scaling);
  complete(model, out);
  PHIAL_TRY(add_token_ids(model, out));
  Json::Object sorted;
  for (auto& [key, value] : out) sorted.emplace_back(key, std::move(value));
  return Json(std::move(sorted));
}

}  // namespace phial

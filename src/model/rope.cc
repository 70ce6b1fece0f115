#include "model/rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace phial {
namespace {

constexpr double kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;

// The rope keys of a configuration, wherever it keeps them.
struct RopeKeys {
  ConfigReader scaling;  // rope_scaling, else rope_parameters
  std::string type;
  double theta = 0;
  double partial = 1;
  int64_t original_context = 0;
};

Result<RopeKeys> read_keys(const ConfigReader& config, const RopeDefaults& defaults,
                           const ModelSpec& spec) {
  const Json* old_style = config.find("rope_scaling");
  const bool has_old = old_style != nullptr && old_style->if_object() != nullptr;
  RopeKeys keys{config.section(has_old ? "rope_scaling" : "rope_parameters"), {}};
  PHIAL_ASSIGN(const std::string old_name, keys.scaling.string_or("type", "default"));
  PHIAL_ASSIGN(keys.type, keys.scaling.string_or("rope_type", old_name));
  if (defaults.su_is_longrope && (keys.type == "su" || keys.type == "yarn")) keys.type = "longrope";
  PHIAL_ASSIGN(const auto outer_theta, config.optional_real("rope_theta", 1.0, kMaxTheta));
  PHIAL_ASSIGN(const auto theta, keys.scaling.optional_real("rope_theta", 1.0, kMaxTheta));
  keys.theta = theta.value_or(outer_theta.value_or(defaults.theta));
  PHIAL_ASSIGN(const auto outer_part, config.optional_real("partial_rotary_factor", 0.0, 1.0));
  PHIAL_ASSIGN(const auto part, keys.scaling.optional_real("partial_rotary_factor", 0.0, 1.0));
  keys.partial = part.value_or(outer_part.value_or(1.0));
  // A value beside the scaling wins over one inside of it.
  constexpr const char* kOriginal = "original_max_position_embeddings";
  PHIAL_ASSIGN(const auto outer, config.optional_integer(kOriginal, 1, INT32_MAX));
  PHIAL_ASSIGN(const auto inner, keys.scaling.optional_integer(kOriginal, 1, INT32_MAX));
  keys.original_context = outer.value_or(inner.value_or(spec.context));
  return keys;
}

Result<double> required_real(const ConfigReader& config, std::string_view key, double min,
                             double max) {
  PHIAL_ASSIGN(const auto value, config.optional_real(key, min, max));
  if (!value) return damaged(config.where(key), "missing; the rope scaling needs it");
  return *value;
}

// [count] positive factors.
Result<std::vector<float>> read_factors(const ConfigReader& config, std::string_view key,
                                        size_t count) {
  const Json* value = config.find(key);
  const Json::Array* list = value != nullptr ? value->if_array() : nullptr;
  if (list == nullptr) {
    return damaged(config.where(key), fmt::format("expected a list of {} numbers", count));
  }
  if (list->size() != count) {
    return damaged(config.where(key),
                   fmt::format("expected {} numbers, one for each pair of dimensions that turns, "
                               "found {}",
                               count, list->size()));
  }
  std::vector<float> factors;
  for (const Json& item : *list) {
    const std::optional<double> number = item.number();
    if (!number || !(*number > 0 && *number <= kMaxFactor)) {
      return damaged(config.where(key), fmt::format("expected positive numbers, got {}",
                                                    printable(to_text(item), 60)));
    }
    factors.push_back(static_cast<float>(*number));
  }
  return factors;
}

// 1 / (factor * theta^(2i / rotary))
std::vector<float> scaled_inv_freq(double theta, int64_t rotary,
                                   const std::vector<float>& factors) {
  std::vector<float> inv_freq(factors.size());
  for (size_t i = 0; i < factors.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary);
    inv_freq[i] = 1.0f / (factors[i] * std::pow(static_cast<float>(theta), exponent));
  }
  return inv_freq;
}

Status read_linear(const RopeKeys& keys, RopeSpec& rope) {
  PHIAL_ASSIGN(const double factor, required_real(keys.scaling, "factor", 1e-6, kMaxFactor));
  for (float& f : rope.inv_freq) f /= static_cast<float>(factor);
  rope.recipe.factor = factor;
  return {};
}

Status read_llama3(const RopeKeys& keys, RopeSpec& rope) {
  PHIAL_ASSIGN(const double factor, required_real(keys.scaling, "factor", 1.0, kMaxFactor));
  PHIAL_ASSIGN(const double low, required_real(keys.scaling, "low_freq_factor", 1e-3, 1e3));
  PHIAL_ASSIGN(const double high, required_real(keys.scaling, "high_freq_factor", 1e-3, 1e3));
  if (high <= low) {
    return damaged(keys.scaling.where("high_freq_factor"),
                   fmt::format("expected more than low_freq_factor, which is {:g}", low));
  }
  const auto original = static_cast<float>(keys.original_context);
  const auto by = static_cast<float>(factor);
  const auto low_factor = static_cast<float>(low);
  const float longest = original / low_factor;
  const float shortest = original / static_cast<float>(high);
  for (float& f : rope.inv_freq) {
    const float wavelength = 2 * std::numbers::pi_v<float> / f;
    if (wavelength > longest) {
      f /= by;
    } else if (wavelength >= shortest) {
      const float smooth = (original / wavelength - low_factor) / static_cast<float>(high - low);
      f = (1 - smooth) * f / by + smooth * f;
    }
  }
  return {};
}

// The index of the frequency that turns `turns` times over `context` positions.
double yarn_dimension(double turns, const RopeKeys& keys, int64_t rotary) {
  return static_cast<double>(rotary) *
         std::log(static_cast<double>(keys.original_context) / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(keys.theta));
}

// YaRN (Peng et al. 2023).
Status read_yarn(const RopeKeys& keys, const ModelSpec& spec, RopeSpec& rope) {
  const ConfigReader& scaling = keys.scaling;
  PHIAL_ASSIGN(const auto given, scaling.optional_real("factor", 1e-6, kMaxFactor));
  const double factor = given.value_or(static_cast<double>(spec.context) /
                                       static_cast<double>(keys.original_context));
  PHIAL_ASSIGN(const auto beta_fast, scaling.optional_real("beta_fast", 1e-6, kMaxFactor));
  PHIAL_ASSIGN(const auto beta_slow, scaling.optional_real("beta_slow", 1e-6, kMaxFactor));
  PHIAL_ASSIGN(const auto attention, scaling.optional_real("attention_factor", 0.0, kMaxFactor));
  PHIAL_ASSIGN(const auto mscale, scaling.optional_real("mscale", 0.0, kMaxFactor));
  PHIAL_ASSIGN(const auto mscale_all, scaling.optional_real("mscale_all_dim", 0.0, kMaxFactor));
  PHIAL_ASSIGN(const bool truncate, scaling.boolean_or("truncate", true));
  rope.recipe.factor = factor;
  rope.recipe.beta_fast = beta_fast.value_or(rope.recipe.beta_fast);
  rope.recipe.beta_slow = beta_slow.value_or(rope.recipe.beta_slow);
  rope.recipe.truncate = truncate;
  const auto mscale_of = [factor](double m) {
    return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
  };
  if (attention) {
    rope.mscale = static_cast<float>(*attention);
  } else if (mscale.value_or(0) != 0 && mscale_all.value_or(0) != 0) {
    rope.mscale = static_cast<float>(mscale_of(*mscale) / mscale_of(*mscale_all));
  } else {
    rope.mscale = static_cast<float>(mscale_of(1));
  }
  double low = yarn_dimension(rope.recipe.beta_fast, keys, rope.rotary);
  double high = yarn_dimension(rope.recipe.beta_slow, keys, rope.rotary);
  if (truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rope.rotary - 1));
  if (low == high) high += 0.001;
  for (size_t i = 0; i < rope.inv_freq.size(); ++i) {
    const float place =
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float kept = 1 - std::clamp(place, 0.0f, 1.0f);
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rope.rotary);
    const float period = std::pow(static_cast<float>(keys.theta), exponent);
    rope.inv_freq[i] =
        1.0f / (static_cast<float>(factor) * period) * (1 - kept) + 1.0f / period * kept;
  }
  return {};
}

// LongRoPE (Ding et al. 2024), as Phi-3 has it.
Status read_longrope(const RopeKeys& keys, const ModelSpec& spec, RopeSpec& rope) {
  const size_t half = rope.inv_freq.size();
  RopeRecipe& recipe = rope.recipe;
  PHIAL_ASSIGN(recipe.short_factors, read_factors(keys.scaling, "short_factor", half));
  PHIAL_ASSIGN(recipe.long_factors, read_factors(keys.scaling, "long_factor", half));
  PHIAL_ASSIGN(const auto given, keys.scaling.optional_real("factor", 1e-6, kMaxFactor));
  PHIAL_ASSIGN(const auto attention,
               keys.scaling.optional_real("attention_factor", 0.0, kMaxFactor));
  const auto original = static_cast<double>(keys.original_context);
  const double factor = given.value_or(static_cast<double>(spec.context) / original);
  if (attention) {
    rope.mscale = static_cast<float>(*attention);
  } else if (factor > 1) {
    if (keys.original_context < 2) {
      return damaged(keys.scaling.where("original_max_position_embeddings"), "expected at least 2");
    }
    rope.mscale = static_cast<float>(std::sqrt(1 + std::log(factor) / std::log(original)));
  }
  rope.by_length = RopeLength::longrope;
  rope.limit = keys.original_context;
  rope.inv_freq = scaled_inv_freq(keys.theta, rope.rotary, recipe.short_factors);
  rope.long_inv_freq = scaled_inv_freq(keys.theta, rope.rotary, recipe.long_factors);
  return {};
}

Status read_dynamic(const RopeKeys& keys, ModelSpec& spec) {
  PHIAL_ASSIGN(const double factor, required_real(keys.scaling, "factor", 1.0, kMaxFactor));
  RopeSpec& rope = spec.rope;
  if (rope.rotary < 4) {
    return unsupported(keys.scaling.where("rope_type"), "dynamic needs at least 4 dimensions");
  }
  rope.by_length = RopeLength::dynamic;
  rope.limit = spec.context;
  rope.theta = static_cast<float>(keys.theta);
  rope.factor = static_cast<float>(factor);
  spec.context = std::min(static_cast<int64_t>(factor * static_cast<double>(spec.context)),
                          int64_t{INT32_MAX});
  return {};
}

// The factors of a GGUF file's rope_freqs tensor: inv_freq[i] / factor[i].
Status read_freq_factors(const RopeKeys& keys, RopeSpec& rope) {
  PHIAL_ASSIGN(const auto factors,
               read_factors(keys.scaling, "freq_factors", rope.inv_freq.size()));
  for (size_t i = 0; i < factors.size(); ++i) rope.inv_freq[i] /= factors[i];
  return {};
}

}  // namespace

std::vector<float> plain_inv_freq(double theta, int64_t rotary) {
  std::vector<float> inv_freq(static_cast<size_t>(rotary / 2));
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary);
    inv_freq[i] = 1.0f / std::pow(static_cast<float>(theta), exponent);
  }
  return inv_freq;
}

std::vector<float> dynamic_inv_freq(const RopeSpec& rope, int64_t length) {
  const auto n = static_cast<float>(length);
  const auto rotary = static_cast<float>(rope.rotary);
  const float growth = rope.factor * n / static_cast<float>(rope.limit) - (rope.factor - 1);
  const float theta = rope.theta * std::pow(growth, rotary / (rotary - 2));
  return plain_inv_freq(static_cast<double>(theta), rope.rotary);
}

Status read_rope(const ConfigReader& config, const RopeDefaults& defaults, ModelSpec& spec) {
  PHIAL_ASSIGN(const RopeKeys keys, read_keys(config, defaults, spec));
  RopeSpec& rope = spec.rope;
  if (!defaults.partial && keys.partial != 1.0) {
    return unsupported(config.where("partial_rotary_factor"),
                       "models of this family turn whole heads");
  }
  rope.rotary = static_cast<int64_t>(static_cast<double>(spec.attention.head_dim) * keys.partial);
  if (rope.rotary < 2 || rope.rotary % 2 != 0) {
    return damaged(config.where("partial_rotary_factor"),
                   fmt::format("{} of {} head dimensions cannot turn in pairs", rope.rotary,
                               spec.attention.head_dim));
  }
  rope.inv_freq = plain_inv_freq(keys.theta, rope.rotary);
  rope.recipe = {.type = keys.type, .theta = keys.theta, .original_context = keys.original_context};
  if (keys.type == "default") return {};
  if (keys.type == "linear") return read_linear(keys, rope);
  // Factors beside llama3's parameters are what those came to when a GGUF file was made.
  const bool as_factors = keys.scaling.find("freq_factors") != nullptr;
  if (keys.type == "llama3" && !as_factors) return read_llama3(keys, rope);
  if (keys.type == "yarn") return read_yarn(keys, spec, rope);
  if (keys.type == "longrope") return read_longrope(keys, spec, rope);
  if (keys.type == "dynamic") return read_dynamic(keys, spec);
  if (keys.type == "freq_factors" || keys.type == "llama3") return read_freq_factors(keys, rope);
  return unsupported(keys.scaling.where("rope_type"),
                     fmt::format("rope scaling \"{}\" is not supported", keys.type),
                     "supported: default, linear, llama3, yarn, longrope, dynamic");
}

}  // namespace phial

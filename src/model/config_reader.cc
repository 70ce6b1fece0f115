#include "model/config_reader.h"

#include <fmt/format.h>

#include <cmath>

namespace phial {

ConfigReader::ConfigReader(const Json& config, std::string file,
                           std::map<std::string, std::string, std::less<>> shown_names)
    : config_(&config), file_(std::move(file)), shown_names_(std::move(shown_names)) {}

const Json* ConfigReader::find(std::string_view key) const {
  const Json* value = config_->find(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

bool ConfigReader::is_null(std::string_view key) const {
  const Json* value = config_->find(key);
  return value != nullptr && value->is_null();
}

std::string ConfigReader::where(std::string_view key) const {
  const auto shown = shown_names_.find(key);
  return file_ + ": " + (shown != shown_names_.end() ? shown->second : std::string(key));
}

Result<std::optional<int64_t>> ConfigReader::optional_integer(std::string_view key, int64_t min,
                                                              int64_t max) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<int64_t>();
  const int64_t* integer = value->if_integer();
  if (integer == nullptr || *integer < min || *integer > max) {
    return damaged(where(key), fmt::format("expected an integer in {}..{}, got {}", min, max,
                                           printable(to_text(*value), 60)));
  }
  return std::optional<int64_t>(*integer);
}

Result<int64_t> ConfigReader::integer(std::string_view key, int64_t min, int64_t max) const {
  PHIAL_ASSIGN(const std::optional<int64_t> value, optional_integer(key, min, max));
  if (!value) {
    return damaged(where(key), fmt::format("missing; expected an integer in {}..{}", min, max));
  }
  return *value;
}

Result<std::optional<double>> ConfigReader::optional_real(std::string_view key, double min,
                                                          double max) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<double>();
  const std::optional<double> number = value->number();
  if (!number || !std::isfinite(*number) || *number < min || *number > max) {
    return damaged(where(key), fmt::format("expected a number in {:g}..{:g}, got {}", min, max,
                                           printable(to_text(*value), 60)));
  }
  return number;
}

Result<bool> ConfigReader::boolean_or(std::string_view key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (const bool* flag = value->if_bool()) return *flag;
  return damaged(where(key), fmt::format("expected true or false, got {}", value->kind_name()));
}

Result<std::string> ConfigReader::string_or(std::string_view key, std::string fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (const std::string* text = value->if_string()) return *text;
  return damaged(where(key), fmt::format("expected a string, got {}", value->kind_name()));
}

ConfigReader ConfigReader::section(std::string_view key) const {
  static const Json kEmpty;
  const Json* value = find(key);
  return ConfigReader(value != nullptr ? *value : kEmpty, where(key));
}

Result<ModelConfig> read_config(const Checkpoint& checkpoint) {
  if (checkpoint.format == Checkpoint::Format::gguf) return config_from_gguf(checkpoint);
  if (checkpoint.config.if_object() == nullptr) {
    return damaged(checkpoint.path, "there is no config.json beside the weights",
                   "copy config.json from the model's page into the same folder");
  }
  return ModelConfig{checkpoint.config, "config.json", {}};
}

}  // namespace phial

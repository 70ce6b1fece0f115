// Typed, range-checked access to a model's configuration under Hugging Face's key names.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "formats/checkpoint.h"

namespace phial {

class ConfigReader {
 public:
  // `config` must outlive the reader. `file` and `shown_names` (Hugging Face key to the key that
  // stands in the file) are for messages only.
  ConfigReader(const Json& config, std::string file,
               std::map<std::string, std::string, std::less<>> shown_names = {});

  // The integer `key` in [min, max]. damaged when missing, of another kind, or out of range.
  Result<int64_t> integer(std::string_view key, int64_t min, int64_t max) const;
  // As above, nothing when missing or null.
  Result<std::optional<int64_t>> optional_integer(std::string_view key, int64_t min,
                                                  int64_t max) const;
  // A finite number in [min, max]; nothing when missing or null.
  Result<std::optional<double>> optional_real(std::string_view key, double min, double max) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;
  Result<std::string> string_or(std::string_view key, std::string fallback) const;

  // The value of `key`; null when missing or null.
  const Json* find(std::string_view key) const;
  // Whether `key` is there and null: some configurations switch a feature off that way.
  bool is_null(std::string_view key) const;
  // A reader of the object `key`, or one without members when there is none.
  ConfigReader section(std::string_view key) const;

  // "config.json: hidden_size"
  std::string where(std::string_view key) const;

 private:
  const Json* config_;
  std::string file_;
  std::map<std::string, std::string, std::less<>> shown_names_;
};

// The configuration of a checkpoint of any format, under Hugging Face's keys.
struct ModelConfig {
  Json values;
  std::string file;
  std::map<std::string, std::string, std::less<>> shown_names;

  ConfigReader reader() const { return ConfigReader(values, file, shown_names); }
};

// config.json as it is, or a GGUF's metadata translated (gguf_config.cc holds the table).
// damaged when the checkpoint has no configuration.
Result<ModelConfig> read_config(const Checkpoint& checkpoint);
// One half of it: the GGUF table.
Result<ModelConfig> config_from_gguf(const Checkpoint& checkpoint);

// Whether a GGUF tensor of this name is read into the configuration (factors of rope frequencies).
bool is_config_tensor(std::string_view name);

}  // namespace phial

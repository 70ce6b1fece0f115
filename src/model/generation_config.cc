// generation_config.json: how a model's authors want its answers to be made.
#include <fmt/format.h>

#include "model/config_reader.h"
#include "model/model.h"

namespace phial {
namespace {

Error expected(const ConfigReader& config, const char* key, const char* what, const Json& got) {
  return damaged(config.where(key),
                 fmt::format("expected {}, got {}", what, printable(to_text(got), 60)));
}

Status read_real(const ConfigReader& config, const char* key, double min, double max,
                 std::optional<float>& out) {
  PHIAL_ASSIGN(const auto value, config.optional_real(key, min, max));
  if (value) out = static_cast<float>(*value);
  return {};
}

Status read_count(const ConfigReader& config, const char* key, int64_t min,
                  std::optional<int32_t>& out) {
  PHIAL_ASSIGN(const auto value, config.optional_integer(key, min, INT32_MAX));
  if (value) out = static_cast<int32_t>(*value);
  return {};
}

// A list of token ids that is not empty; nothing for anything else.
std::optional<std::vector<int32_t>> word_of(const Json& value) {
  const Json::Array* items = value.if_array();
  if (items == nullptr || items->empty()) return std::nullopt;
  std::vector<int32_t> ids;
  for (const Json& item : *items) {
    const int64_t* id = item.if_integer();
    if (id == nullptr || *id < 0 || *id > INT32_MAX) return std::nullopt;
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

// The elements of an array; none when `key` is missing or null.
Result<Json::Array> read_list(const ConfigReader& config, const char* key) {
  const Json* value = config.find(key);
  if (value == nullptr) return Json::Array();
  if (value->if_array() == nullptr) return expected(config, key, "a list", *value);
  return Json::Array(*value->if_array());
}

Status read_sampling(const ConfigReader& config, GenerationDefaults& out) {
  PHIAL_ASSIGN(out.do_sample, config.boolean_or("do_sample", false));
  PHIAL_TRY(read_real(config, "temperature", 0.0, 1e6, out.temperature));
  PHIAL_TRY(read_real(config, "top_p", 0.0, 1.0, out.top_p));
  PHIAL_TRY(read_count(config, "top_k", 0, out.top_k));
  PHIAL_TRY(read_real(config, "min_p", 0.0, 1.0, out.min_p));
  return read_real(config, "typical_p", 0.0, 1.0, out.typical_p);
}

Status read_beams(const ConfigReader& config, GenerationDefaults& out) {
  PHIAL_TRY(read_count(config, "num_beams", 1, out.num_beams));
  PHIAL_TRY(read_count(config, "num_return_sequences", 1, out.num_return_sequences));
  PHIAL_TRY(read_real(config, "length_penalty", -1e6, 1e6, out.length_penalty));
  constexpr char kKey[] = "early_stopping";
  const Json* stopping = config.find(kKey);
  if (stopping == nullptr) return {};
  if (*stopping == Json(true)) {
    out.early_stopping = EarlyStopping::yes;
  } else if (*stopping == Json(false)) {
    out.early_stopping = EarlyStopping::no;
  } else if (*stopping == Json("never")) {
    out.early_stopping = EarlyStopping::never;
  } else {
    return expected(config, kKey, "true, false or \"never\"", *stopping);
  }
  return {};
}

Status read_stop_strings(const ConfigReader& config, GenerationDefaults& out) {
  constexpr char kKey[] = "stop_strings";
  const Json* value = config.find(kKey);
  if (value == nullptr) return {};
  const Json::Array single = {*value};
  for (const Json& item : value->if_array() != nullptr ? *value->if_array() : single) {
    const std::string* text = item.if_string();
    if (text == nullptr || text->empty()) {
      return expected(config, kKey, "texts that are not empty", item);
    }
    out.stop_strings.push_back(*text);
  }
  return {};
}

Status read_words(const ConfigReader& config, GenerationDefaults& out) {
  constexpr char kWords[] = "bad_words_ids";
  PHIAL_ASSIGN(const Json::Array words, read_list(config, kWords));
  for (const Json& item : words) {
    const auto word = word_of(item);
    if (!word) return expected(config, kWords, "lists of token ids", item);
    out.bad_words.push_back(*word);
  }
  constexpr char kBiases[] = "sequence_bias";
  PHIAL_ASSIGN(const Json::Array biases, read_list(config, kBiases));
  for (const Json& item : biases) {
    const Json::Array* pair = item.if_array();
    const auto word = pair != nullptr && pair->size() == 2 ? word_of(pair->front()) : std::nullopt;
    const auto bias = word ? pair->back().number() : std::nullopt;
    if (!bias) return expected(config, kBiases, "pairs of token ids and a number", item);
    out.sequence_bias.emplace_back(*word, static_cast<float>(*bias));
  }
  return {};
}

}  // namespace

Result<GenerationDefaults> read_generation_config(const Json& json) {
  const ConfigReader config(json, "generation_config.json");
  GenerationDefaults out;
  PHIAL_TRY(read_sampling(config, out));
  PHIAL_TRY(read_beams(config, out));
  PHIAL_TRY(read_stop_strings(config, out));
  PHIAL_TRY(read_words(config, out));
  PHIAL_TRY(read_real(config, "repetition_penalty", 1e-6, 1e6, out.repetition_penalty));
  PHIAL_TRY(read_count(config, "no_repeat_ngram_size", 0, out.no_repeat_ngram_size));
  PHIAL_ASSIGN(out.max_new_tokens, config.optional_integer("max_new_tokens", 0, INT64_MAX));
  PHIAL_ASSIGN(out.max_length, config.optional_integer("max_length", 0, INT64_MAX));
  PHIAL_ASSIGN(out.min_new_tokens, config.optional_integer("min_new_tokens", 0, INT64_MAX));
  PHIAL_ASSIGN(out.min_length, config.optional_integer("min_length", 0, INT64_MAX));
  return out;
}

}  // namespace phial

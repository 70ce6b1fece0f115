// Test help: the tiny models of every family and variant in tests/golden/families, and what
// transformers answers for them.
#pragma once

#include <gtest/gtest.h>

#include "engine/golden_models.h"

namespace phial {

inline const std::string kFamilyGoldens = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/families/";

struct FamilyVariant {
  std::string name, weights, golden;
  std::string gguf;  // empty: the format cannot say it
};

inline std::vector<FamilyVariant> family_variants() {
  std::vector<FamilyVariant> variants;
  const std::string text = must(read_text(*disk_files(), kFamilyGoldens + "index.json", 1u << 20));
  const Json index = must(parse_json(text, "index.json"));
  for (const Json& entry : *index.if_array()) {
    const auto text_of = [&](const char* key) {
      const Json* value = entry.find(key);
      return value != nullptr ? *value->if_string() : std::string();
    };
    variants.push_back({text_of("name"), text_of("weights"), text_of("golden"), text_of("gguf")});
  }
  return variants;
}

// The variant's folder as a hub would have it: its own configuration beside shared weights.
inline std::shared_ptr<const Model> load_family(const FamilyVariant& variant, bool from_gguf) {
  const auto disk = disk_files();
  if (from_gguf) {
    return must(open_model(std::make_shared<const Checkpoint>(
        must(read_checkpoint(*disk, kFamilyGoldens + variant.gguf)))));
  }
  MemoryFiles files;
  const auto copy = [&](const std::string& from, const std::string& to) {
    files.put("model/" + to, std::string(must(disk->map(kFamilyGoldens + from))->text()));
  };
  copy(variant.name + ".config.json", "config.json");
  copy(variant.weights + ".safetensors", "model.safetensors");
  return must(
      open_model(std::make_shared<const Checkpoint>(must(read_checkpoint(files, "model")))));
}

inline FamilyVariant family_variant(const std::string& name) {
  for (const FamilyVariant& variant : family_variants()) {
    if (variant.name == name) return variant;
  }
  throw std::runtime_error("no variant " + name);
}

struct FamilyGolden {
  std::vector<int32_t> ids;
  // Rows of `logits` that hold for a sequence of at most `short_rows` tokens; those after them hold
  // for longer ones. 0: the rows hold for every length.
  size_t short_rows = 0;
  // Dynamic rope: the rows hold for a prompt of so many ids and single steps after it.
  size_t cached_prompt = 0;
  std::vector<float> logits;  // [rows, vocabulary]
  size_t vocabulary = 0;
  double range = 0;
  std::vector<Golden::Short> prompts, turns;

  // Of position `p` in a sequence of `length` tokens.
  const float* row(size_t p, size_t length) const {
    const size_t first = short_rows > 0 && length > short_rows ? short_rows : 0;
    return logits.data() + (first + p) * vocabulary;
  }
};

inline FamilyGolden load_family_golden(const std::string& name, size_t vocabulary) {
  const auto files = disk_files();
  const std::string text =
      must(read_text(*files, kFamilyGoldens + name + ".golden.json", 1u << 20));
  const Json json = must(parse_json(text, name));
  FamilyGolden golden;
  golden.vocabulary = vocabulary;
  golden.ids = ids_of(*json.find("ids"));
  const auto count_of = [&](const char* key) {
    const Json* value = json.find(key);
    return value != nullptr ? static_cast<size_t>(*value->if_integer()) : size_t{0};
  };
  golden.short_rows = count_of("short_rows");
  golden.cached_prompt = count_of("cached_prompt");
  const double low = *json.find("low")->number();
  golden.range = *json.find("high")->number() - low;
  for (auto [key, list] : {std::pair("prompts", &golden.prompts), {"turns", &golden.turns}}) {
    for (const Json& item : *json.find(key)->if_array()) {
      list->push_back({ids_of(*item.find("prompt_ids")), ids_of(*item.find("greedy_ids"))});
    }
  }
  const auto mapped = must(files->map(kFamilyGoldens + name + ".logits"));
  const std::span<const uint8_t> bytes = mapped->bytes();
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    const double code = bytes[i] + 256.0 * bytes[i + 1];
    golden.logits.push_back(static_cast<float>(low + golden.range * code / 65535));
  }
  if (golden.logits.size() != (golden.short_rows + golden.ids.size()) * vocabulary) {
    throw std::runtime_error(name + ": logits of another size");
  }
  return golden;
}

}  // namespace phial

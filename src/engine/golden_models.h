// Test help: the golden checkpoints of tests/golden/models and what transformers answers for them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/npy.h"
#include "engine/native_decoder.h"
#include "engine/sequence.h"
#include "formats/checkpoint.h"
#include "generate/generate.h"
#include "model/model.h"

namespace phial {

inline const std::string kGoldenModels = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/models/";

// Unwraps a result; the test cannot go on without it.
template <class T>
T must(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().to_string());
  return std::move(result).value();
}
inline void must(Status status) {
  if (!status.ok()) throw std::runtime_error(status.error().to_string());
}

inline std::vector<int32_t> ids_of(const Json& array) {
  std::vector<int32_t> ids;
  for (const Json& id : *array.if_array()) ids.push_back(static_cast<int32_t>(*id.if_integer()));
  return ids;
}

struct Golden {
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> greedy_ids;
  struct Short {
    std::vector<int32_t> prompt_ids, greedy_ids;
  };
  std::vector<Short> short_prompts;
  int64_t vocabulary = 0;
  std::vector<float> logits;  // [prompt + greedy, vocabulary]
  double range = 0;           // largest minus smallest logit

  const float* row(size_t r) const { return logits.data() + r * static_cast<size_t>(vocabulary); }
};

inline Golden load_golden(const std::string& name) {
  const auto files = disk_files();
  const std::string text = must(read_text(*files, kGoldenModels + name + "/golden.json", 1u << 20));
  const Json json = must(parse_json(text, "golden.json"));
  Golden golden;
  golden.prompt_ids = ids_of(*json.find("prompt_ids"));
  golden.greedy_ids = ids_of(*json.find("greedy_ids"));
  for (const Json& item : *json.find("short_prompts")->if_array()) {
    golden.short_prompts.push_back(
        {ids_of(*item.find("prompt_ids")), ids_of(*item.find("greedy_ids"))});
  }
  const auto mapped = must(files->map(kGoldenModels + name + "/logits.npy"));
  NpyArray npy = must(parse_npy(mapped->bytes(), "logits.npy"));
  golden.vocabulary = static_cast<int64_t>(npy.shape[1]);
  golden.logits = std::move(npy.values);
  const auto [low, high] = std::ranges::minmax(golden.logits);
  golden.range = static_cast<double>(high) - static_cast<double>(low);
  return golden;
}

inline std::shared_ptr<const Model> load_model(const std::string& name) {
  const auto files = disk_files();
  auto checkpoint =
      std::make_shared<const Checkpoint>(must(read_checkpoint(*files, kGoldenModels + name)));
  return must(open_model(std::move(checkpoint)));
}

inline std::shared_ptr<Decoder> load_decoder(const std::string& name, const std::string& isa,
                                             int threads) {
  return must(
      make_native_decoder(must(Runtime::create(threads, isa, disk_files())), load_model(name)));
}

// The n most likely tokens behind `sequence`, one after another.
inline std::vector<int32_t> greedy_ids(Sequence& sequence, size_t n) {
  Rng rng(0);
  GenerateRequest request;
  request.sequence = &sequence;
  request.options.max_new_tokens = static_cast<int64_t>(n);
  request.rng = &rng;
  return must(generate(request)).outputs.at(0).ids;
}

}  // namespace phial

// What the tests of --compute share: family goldens in blocks, and their logits.
#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/family_goldens.h"
#include "engine/native_decoder.h"

namespace phial {

// A model with its matrices in blocks of q8_0, which panels can hold.
struct BlockModel {
  Model model;
  std::vector<std::vector<uint8_t>> blocks;
};

inline void encode(MatrixView& view, BlockModel& owner) {
  if (view.empty() || view.columns % grid_info(Grid::q8_0).block_values != 0) return;
  const auto stride = static_cast<size_t>(row_bytes(Grid::q8_0, view.columns));
  std::vector<uint8_t>& bytes = owner.blocks.emplace_back(stride * static_cast<size_t>(view.rows));
  std::vector<float> row(static_cast<size_t>(view.columns));
  for (int64_t r = 0; r < view.rows; ++r) {
    view.decode(r, row.data());
    must(encode_row(Grid::q8_0, row.data(), view.columns,
                    bytes.data() + static_cast<size_t>(r) * stride));
  }
  view.grid = Grid::q8_0;
  view.row_stride = static_cast<int64_t>(stride);
  view.data = bytes.data();
}

inline std::shared_ptr<const Model> in_blocks(const Model& model) {
  auto owner = std::make_shared<BlockModel>();
  owner->model = model;
  Weights& w = owner->model.weights;
  encode(w.embedding, *owner);
  if (model.spec.tied_embeddings) {
    w.lm_head.weight = w.embedding;
  } else {
    encode(w.lm_head.weight, *owner);
  }
  for (LayerWeights& layer : w.layers) {
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.attention_out, &layer.gate,
                           &layer.up, &layer.down}) {
      encode(linear->weight, *owner);
    }
  }
  const Model* made = &owner->model;
  return {std::move(owner), made};
}

inline std::shared_ptr<Decoder> make_decoder(std::shared_ptr<const Model> model, Compute compute,
                                             int threads = 2) {
  return must(make_native_decoder(must(Runtime::create(threads, "", disk_files())),
                                  std::move(model), {.compute = compute}));
}

// All rows of `ids`, given `chunk` at a time.
inline std::vector<float> logits_of(Decoder& decoder, std::span<const int32_t> ids, size_t chunk) {
  const SequenceId id = must(decoder.open(decoder.traits().context));
  std::vector<float> all;
  for (size_t at = 0; at < ids.size(); at += chunk) {
    Step step;
    step.sequence = id;
    step.tokens = ids.subspan(at, std::min(chunk, ids.size() - at));
    step.logits = LogitsRows::all;
    Logits logits;
    must(decoder.forward({&step, 1}, logits, nullptr));
    all.insert(all.end(), logits.values.begin(), logits.values.end());
  }
  decoder.close(id);
  return all;
}

// |a - b| / |b - mean b|
inline double relative_distance(std::span<const float> a, std::span<const float> b) {
  double mean = 0;
  for (const float x : b) mean += static_cast<double>(x) / static_cast<double>(b.size());
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    const double s = static_cast<double>(b[i]) - mean;
    error += d * d;
    size += s * s;
  }
  return std::sqrt(error / size);
}

// Those whose logits do not depend on how a sequence was cut into forwards.
inline std::vector<std::string> pure_variants() {
  std::vector<std::string> names;
  for (const FamilyVariant& variant : family_variants()) {
    if (variant.name.find("dynamic") == std::string::npos) names.push_back(variant.name);
  }
  return names;
}

inline std::string variant_test_name(const testing::TestParamInfo<std::string>& test) {
  std::string name = test.param;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

}  // namespace phial

// Models of every family and format made into folders of Hugging Face, and read back.
#include "model/hf_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "formats/checkpoint.h"
#include "model/config_reader.h"
#include "model/model.h"
#include "model/test_folders.h"
#include "sys/files.h"

namespace phial {
namespace {

const std::string kGolden = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/";

std::shared_ptr<const Model> open_golden(const Files& files, const std::string& path) {
  auto checkpoint = read_checkpoint(files, path);
  if (!checkpoint.ok()) {
    ADD_FAILURE() << checkpoint.error().to_string();
    return nullptr;
  }
  auto model = open_model(std::make_shared<const Checkpoint>(std::move(*checkpoint)));
  if (!model.ok()) ADD_FAILURE() << path << ": " << model.error().to_string();
  return model.ok() ? *model : nullptr;
}

std::vector<std::string> gguf_files(const std::string& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(kGolden + folder)) {
    if (entry.path().extension() == ".gguf") out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<float> row_of(const MatrixView& view, int64_t r) {
  std::vector<float> out(static_cast<size_t>(view.columns));
  view.decode(r, out.data());
  return out;
}

// Row `r` in its natural order.
std::vector<float> natural_row(const MatrixView& view, int64_t r) {
  const TargetRows rows{.view = view, .order = RowOrder::natural, .head_rows = view.head_rows};
  return row_of(view, rows.source_row(r));
}

void expect_same_matrix(const MatrixView& a, const MatrixView& b, const std::string& what) {
  ASSERT_EQ(a.rows, b.rows) << what;
  ASSERT_EQ(a.columns, b.columns) << what;
  for (int64_t r = 0; r < a.rows; ++r) {
    ASSERT_EQ(natural_row(a, r), natural_row(b, r)) << what << " row " << r;
  }
}

void expect_same_linear(const Linear& a, const Linear& b, const std::string& what) {
  expect_same_matrix(a.weight, b.weight, what);
  EXPECT_EQ(a.bias, b.bias) << what;
}

void expect_same_norm(const NormWeights& a, const NormWeights& b, const std::string& what) {
  EXPECT_EQ(a.weight, b.weight) << what;
  EXPECT_EQ(a.bias, b.bias) << what;
}

void expect_same_weights(const Weights& a, const Weights& b) {
  expect_same_matrix(a.embedding, b.embedding, "embedding");
  expect_same_linear(a.lm_head, b.lm_head, "lm_head");
  expect_same_norm(a.final_norm, b.final_norm, "final norm");
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (size_t i = 0; i < a.layers.size(); ++i) {
    const LayerWeights& x = a.layers[i];
    const LayerWeights& y = b.layers[i];
    expect_same_norm(x.attention_norm, y.attention_norm, "attention norm");
    expect_same_norm(x.q_norm, y.q_norm, "q norm");
    expect_same_norm(x.k_norm, y.k_norm, "k norm");
    expect_same_norm(x.attention_post_norm, y.attention_post_norm, "attention post norm");
    expect_same_norm(x.mlp_norm, y.mlp_norm, "mlp norm");
    expect_same_norm(x.mlp_post_norm, y.mlp_post_norm, "mlp post norm");
    expect_same_linear(x.q, y.q, "q");
    expect_same_linear(x.k, y.k, "k");
    expect_same_linear(x.v, y.v, "v");
    expect_same_linear(x.attention_out, y.attention_out, "attention out");
    if (!x.gate.weight.empty()) expect_same_linear(x.gate, y.gate, "gate");
    expect_same_linear(x.up, y.up, "up");
    expect_same_linear(x.down, y.down, "down");
  }
}

void expect_same_spec(const ModelSpec& a, const ModelSpec& b) {
  EXPECT_EQ(a.family, b.family);
  EXPECT_EQ(a.architecture, b.architecture);
  EXPECT_EQ(std::tuple(a.hidden, a.layers, a.intermediate, a.vocabulary, a.context),
            std::tuple(b.hidden, b.layers, b.intermediate, b.vocabulary, b.context));
  EXPECT_EQ(std::tuple(a.block_order, a.norm, a.norm_place, a.norm_eps, a.mlp),
            std::tuple(b.block_order, b.norm, b.norm_place, b.norm_eps, b.mlp));
  EXPECT_EQ(std::tuple(a.attention.heads, a.attention.kv_heads, a.attention.head_dim,
                       a.attention.scale, a.attention.softcap, a.attention.qk_norm),
            std::tuple(b.attention.heads, b.attention.kv_heads, b.attention.head_dim,
                       b.attention.scale, b.attention.softcap, b.attention.qk_norm));
  ASSERT_EQ(a.layer_kinds.size(), b.layer_kinds.size());
  for (size_t i = 0; i < a.layer_kinds.size(); ++i) {
    EXPECT_EQ(a.layer_kinds[i].window, b.layer_kinds[i].window) << i;
    EXPECT_EQ(a.layer_kinds[i].rotates, b.layer_kinds[i].rotates) << i;
  }
  EXPECT_EQ(a.rope.rotary, b.rope.rotary);
  EXPECT_EQ(a.rope.inv_freq, b.rope.inv_freq);
  EXPECT_EQ(a.rope.long_inv_freq, b.rope.long_inv_freq);
  EXPECT_EQ(std::tuple(a.rope.mscale, a.rope.by_length, a.rope.limit, a.rope.theta, a.rope.factor),
            std::tuple(b.rope.mscale, b.rope.by_length, b.rope.limit, b.rope.theta, b.rope.factor));
  EXPECT_EQ(std::tuple(a.bias.qkv, a.bias.attention_out, a.bias.mlp, a.bias.lm_head),
            std::tuple(b.bias.qkv, b.bias.attention_out, b.bias.mlp, b.bias.lm_head));
  EXPECT_EQ(std::tuple(a.scales.embedding, a.scales.residual, a.scales.logits, a.logits_softcap,
                       a.tied_embeddings),
            std::tuple(b.scales.embedding, b.scales.residual, b.scales.logits, b.logits_softcap,
                       b.tied_embeddings));
}

class FromGguf : public testing::TestWithParam<std::string> {};

// Weights bit for bit, the same spec bit for bit: so the same logits.
TEST_P(FromGguf, ComesBackAsItWas) {
  const auto source = open_golden(*disk_files(), GetParam());
  ASSERT_NE(source, nullptr);
  const auto target = hf_target(*disk_files(), *source);
  ASSERT_TRUE(target.ok()) << target.error().to_string();
  MemoryFiles files;
  test::write_float_folder(files, "m", *target);
  const auto back = open_golden(files, "m");
  ASSERT_NE(back, nullptr);
  expect_same_spec(source->spec, back->spec);
  expect_same_weights(source->weights, back->weights);
}

INSTANTIATE_TEST_SUITE_P(Families, FromGguf, testing::ValuesIn(gguf_files("families")),
                         test::path_name);
INSTANTIATE_TEST_SUITE_P(Models, FromGguf, testing::ValuesIn(gguf_files("models")),
                         test::path_name);
INSTANTIATE_TEST_SUITE_P(Grids, FromGguf, testing::ValuesIn(gguf_files("grid_models")),
                         test::path_name);

// Of the tensors of a folder: names, shapes and bits are what they were.
TEST(HfTarget, KeepsAFolderAsItIs) {
  for (const char* name : {"llama-smol", "llama-tiny-sharded", "phi3-plain", "phi2"}) {
    const auto source = open_golden(*disk_files(), kGolden + "models/" + name);
    ASSERT_NE(source, nullptr);
    const auto target = hf_target(*disk_files(), *source);
    ASSERT_TRUE(target.ok()) << target.error().to_string();
    MemoryFiles files;
    test::write_float_folder(files, "m", *target);
    const auto back = read_checkpoint(files, "m");
    ASSERT_TRUE(back.ok()) << back.error().to_string();
    ASSERT_EQ(back->tensors.size(), source->checkpoint->tensors.size()) << name;
    for (size_t i = 0; i < back->tensors.size(); ++i) {
      const NamedTensor& before = source->checkpoint->tensors[i];
      const NamedTensor& after = back->tensors[i];
      ASSERT_EQ(before.name, after.name);
      ASSERT_EQ(before.view.shape, after.view.shape) << before.name;
      std::vector<float> a(static_cast<size_t>(before.view.elements())), b(a.size());
      decode_row(before.view.grid, before.view.bytes.data(), before.view.elements(), a.data());
      decode_row(after.view.grid, after.view.bytes.data(), after.view.elements(), b.data());
      ASSERT_EQ(a, b) << before.name;
    }
    for (const char* side : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
      const std::string original = kGolden + "models/" + name + "/" + side;
      EXPECT_EQ(*read_text(files, std::string("m/") + side, 1 << 24),
                *read_text(*disk_files(), original, 1 << 24));
    }
    EXPECT_EQ(back->config.find("hidden_size")->if_integer() != nullptr, true);
  }
}

TEST(HfTarget, VectorsKeepAFloatThatHoldsThem) {
  EXPECT_EQ(exact_float_grid(std::vector<float>{1.0f, -0.0f, 0x1.02p-100f}), Grid::bf16);
  EXPECT_EQ(exact_float_grid(std::vector<float>{1.0f, 0x1.004p+3f}), Grid::f16);
  EXPECT_EQ(exact_float_grid(std::vector<float>{0x1.02p-100f, 0x1.004p+3f}), Grid::f32);
  EXPECT_EQ(exact_float_grid({}), Grid::bf16);
}

TEST(HfTarget, SaysTheTypeOfItsNumbersWhereTheConfigurationDid) {
  Json old_style;
  old_style.set("model_type", "llama");
  old_style.set("vocab_size", int64_t{3});
  EXPECT_EQ(config_file(old_style, Grid::bf16).bytes,
            "{\n  \"model_type\": \"llama\",\n  \"torch_dtype\": \"bfloat16\",\n  \"vocab_size\": "
            "3\n}\n");
  Json new_style;
  new_style.set("dtype", "float32");
  EXPECT_EQ(config_file(new_style, Grid::f16).bytes, "{\n  \"dtype\": \"float16\"\n}\n");
}

}  // namespace
}  // namespace phial

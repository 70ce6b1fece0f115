// Opening models: names, configurations, and strictness about what a file holds.
#include "model/model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/family.h"
#include "model/roles.h"

namespace phial {
namespace {

const std::string kModels = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/models/";

// A golden folder in memory, so that its files can be changed.
class ModelTest : public testing::Test {
 protected:
  void load(const std::string& name) {
    const auto disk = disk_files();
    const auto names = disk->list(kModels + name);
    ASSERT_TRUE(names.ok());
    for (const std::string& file : *names) {
      const auto mapped = disk->map(kModels + name + "/" + file);
      ASSERT_TRUE(mapped.ok());
      files_.put("model/" + file, std::string((*mapped)->text()));
    }
  }

  std::string text(const std::string& file) const {
    return std::string((*files_.map("model/" + file))->text());
  }

  // Replaces `from`, which must be there, by `to`.
  void edit(const std::string& file, const std::string& from, const std::string& to) {
    std::string content = text(file);
    const size_t at = content.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    files_.put("model/" + file, content.replace(at, from.size(), to));
  }

  Result<std::shared_ptr<const Model>> open() {
    auto checkpoint = read_checkpoint(files_, "model");
    if (!checkpoint.ok()) return checkpoint.error();
    return open_model(std::make_shared<const Checkpoint>(std::move(*checkpoint)));
  }

  void expect_error(ErrorCode code, const std::string& part) {
    const auto model = open();
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.error().code, code) << model.error().to_string();
    EXPECT_NE(model.error().to_string().find(part), std::string::npos) << model.error().to_string();
  }

  MemoryFiles files_;
};

TEST_F(ModelTest, OpensWhatTransformersWrites) {
  load("llama-smol");
  const auto model = open();
  ASSERT_TRUE(model.ok()) << model.error().to_string();
  const ModelSpec& spec = (*model)->spec;
  EXPECT_EQ(spec.family, "llama");
  EXPECT_EQ(spec.attention.heads, 6);
  EXPECT_EQ(spec.attention.kv_heads, 2);
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_EQ((*model)->weights.lm_head.weight.data, (*model)->weights.embedding.data);
  ASSERT_EQ(spec.rope.inv_freq.size(), static_cast<size_t>(spec.rope.rotary / 2));
  EXPECT_EQ(spec.rope.inv_freq[0], 1.0f);
}

TEST_F(ModelTest, GgufAndSafetensorsGiveOneSpec) {
  for (const auto& [folder, gguf] :
       {std::pair("llama-smol", "llama-smol-f32.gguf"),
        std::pair("llama-tiny-sharded", "llama-tiny-bf16.gguf"),
        std::pair("phi3-plain", "phi3-plain-f16.gguf"), std::pair("phi2", "phi2-f32.gguf")}) {
    const auto a = read_checkpoint(*disk_files(), kModels + folder);
    const auto b = read_checkpoint(*disk_files(), kModels + gguf);
    ASSERT_TRUE(a.ok() && b.ok()) << folder;
    const auto x = model_spec_of(*a);
    const auto y = model_spec_of(*b);
    ASSERT_TRUE(x.ok()) << x.error().to_string();
    ASSERT_TRUE(y.ok()) << y.error().to_string();
    EXPECT_EQ(x->family, y->family);
    EXPECT_EQ(x->hidden, y->hidden);
    EXPECT_EQ(x->layers, y->layers);
    EXPECT_EQ(x->intermediate, y->intermediate);
    EXPECT_EQ(x->vocabulary, y->vocabulary);
    EXPECT_EQ(x->context, y->context);
    EXPECT_EQ(x->attention.heads, y->attention.heads);
    EXPECT_EQ(x->attention.kv_heads, y->attention.kv_heads);
    EXPECT_EQ(x->attention.head_dim, y->attention.head_dim);
    ASSERT_EQ(x->layer_kinds.size(), y->layer_kinds.size());
    for (size_t i = 0; i < x->layer_kinds.size(); ++i) {
      EXPECT_EQ(x->layer_kinds[i].window, y->layer_kinds[i].window);
      EXPECT_EQ(x->layer_kinds[i].rotates, y->layer_kinds[i].rotates);
    }
    EXPECT_EQ(x->rope.inv_freq, y->rope.inv_freq) << folder;
    EXPECT_EQ(x->norm_eps, y->norm_eps);
    EXPECT_EQ(x->tied_embeddings, y->tied_embeddings);
  }
}

TEST_F(ModelTest, UnknownArchitectureListsTheKnownOnes) {
  load("llama-smol");
  edit("config.json", "\"model_type\": \"llama\"", "\"model_type\": \"mamba\"");
  expect_error(ErrorCode::unsupported,
               "\"mamba\" is not supported (supported: llama, phi3, phi, mistral, qwen2, qwen3, "
               "gemma2, granite, smollm3)");
}

TEST_F(ModelTest, ShapesMustAgreeWithTheConfiguration) {
  load("llama-smol");
  edit("config.json", "\"intermediate_size\": ", "\"intermediate_size\": 1");
  expect_error(ErrorCode::damaged, "expected the shape");
}

TEST_F(ModelTest, EveryTensorMustBeThere) {
  load("llama-smol");
  edit("config.json", "\"num_hidden_layers\": ", "\"num_hidden_layers\": 1");
  expect_error(ErrorCode::damaged, "is missing");
}

TEST_F(ModelTest, EveryTensorMustBeUsed) {
  load("llama-smol");
  edit("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
  expect_error(ErrorCode::unsupported, "model.layers.1.");
}

TEST_F(ModelTest, NumbersOutOfRangeNameTheField) {
  load("llama-smol");
  edit("config.json", "\"num_attention_heads\": 6", "\"num_attention_heads\": 0");
  expect_error(ErrorCode::damaged, "config.json: num_attention_heads");
  edit("config.json", "\"num_attention_heads\": 0", "\"num_attention_heads\": 4611686018427387904");
  expect_error(ErrorCode::damaged, "config.json: num_attention_heads");
  edit("config.json", "\"num_attention_heads\": 4611686018427387904",
       "\"num_attention_heads\": \"six\"");
  expect_error(ErrorCode::damaged, "got \"six\"");
}

TEST_F(ModelTest, OtherActivationsAndRopeScalingsAreNotGuessed) {
  load("llama-smol");
  const std::string config = text("config.json");
  edit("config.json", "\"silu\"", "\"relu\"");
  expect_error(ErrorCode::unsupported, "relu");
  files_.put("model/config.json", config);
  edit("config.json", "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"spiral\"}");
  expect_error(ErrorCode::unsupported, "\"spiral\" is not supported");
}

TEST_F(ModelTest, FolderWithoutConfigSaysWhatToDo) {
  load("llama-smol");
  MemoryFiles bare;
  bare.put("model/model.safetensors", text("model.safetensors"));
  auto checkpoint = read_checkpoint(bare, "model");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  const auto model = open_model(std::make_shared<const Checkpoint>(std::move(*checkpoint)));
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.error().hint.find("config.json"), std::string::npos);
}

TEST_F(ModelTest, GenerationConfigWinsOverConfig) {
  load("llama-smol");
  const auto checkpoint = read_checkpoint(files_, "model");
  const auto defaults = generation_defaults(*checkpoint, nullptr);
  ASSERT_TRUE(defaults.ok());
  EXPECT_EQ(defaults->end_ids.size(), 2u);
  files_.put("model/generation_config.json", "{\"do_sample\": true, \"temperature\": 0.5}");
  const auto again = read_checkpoint(files_, "model");
  const auto plain = generation_defaults(*again, nullptr);
  ASSERT_TRUE(plain.ok());
  EXPECT_TRUE(plain->do_sample);
  EXPECT_EQ(plain->temperature, 0.5f);
  EXPECT_EQ(plain->end_ids.size(), 1u);  // config.json's
  files_.put("model/generation_config.json", "{\"eos_token_id\": [2, \"x\"]}");
  const auto bad = read_checkpoint(files_, "model");
  EXPECT_EQ(generation_defaults(*bad, nullptr).error().code, ErrorCode::damaged);
}

TEST_F(ModelTest, ShortNamesComeFromTheModelFolder) {
  MemoryFiles files;
  files.put("/models/smol.gguf", "x");
  files.put("/models/phi/config.json", "{}");
  files.put("here.gguf", "x");
  EXPECT_EQ(*locate_model(files, "here.gguf", "/models"), "here.gguf");
  EXPECT_EQ(*locate_model(files, "smol", "/models"), "/models/smol.gguf");
  EXPECT_EQ(*locate_model(files, "smol.gguf", "/models"), "/models/smol.gguf");
  EXPECT_EQ(*locate_model(files, "phi", "/models"), "/models/phi");
  const auto missing = locate_model(files, "smal", "/models");
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().hint.find("smol.gguf"), std::string::npos);
  EXPECT_EQ(locate_model(files, "../smol.gguf", "/models").error().code, ErrorCode::not_found);
}

TEST_F(ModelTest, NonFiniteWeightsAreNamed) {
  load("llama-smol");
  ASSERT_TRUE(check_finite(*(*open())->checkpoint).ok());
  // The last four bytes of the data are the last value of the last tensor.
  std::string bytes = text("model.safetensors");
  const float infinity = INFINITY;
  bytes.replace(bytes.size() - 4, 4, reinterpret_cast<const char*>(&infinity), 4);
  files_.put("model/model.safetensors", bytes);
  const auto checkpoint = read_checkpoint(files_, "model");
  const Status status = check_finite(*checkpoint);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::damaged);
}

TEST_F(ModelTest, IntegersAreNoWeights) {
  load("llama-smol");
  std::string bytes = text("model.safetensors");
  const std::string from = R"("dtype":"F32")";
  const size_t at = bytes.find(from);
  ASSERT_NE(at, std::string::npos);
  files_.put("model/model.safetensors", bytes.replace(at, from.size(), R"("dtype":"I32")"));
  expect_error(ErrorCode::unsupported, "is stored as I32");
}

TEST(Roles, PatternsMatchNumbers) {
  EXPECT_TRUE(matches_name("a.#.b", "a.12.b"));
  EXPECT_FALSE(matches_name("a.#.b", "a..b"));
  EXPECT_FALSE(matches_name("a.#.b", "a.1.bc"));
  EXPECT_FALSE(matches_name("a.#.b", "a.x.b"));
  EXPECT_FALSE(matches_name("a.#", "a"));
}

}  // namespace
}  // namespace phial

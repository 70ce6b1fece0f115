// GGUF metadata under Hugging Face's names, where the two do not say the same thing in the same
// way.
#include <gtest/gtest.h>

#include <cmath>

#include "formats/checkpoint.h"
#include "formats/test_files.h"
#include "model/config_reader.h"

namespace phial {
namespace {

using test::GgufBuilder;

class GgufConfigTest : public testing::Test {
 protected:
  GgufBuilder& start(const std::string& arch) {
    builder_ = GgufBuilder();
    builder_.text("general.architecture", arch).u32(arch + ".context_length", 8192);
    return builder_;
  }

  Result<ModelConfig> read() {
    MemoryFiles files;
    GgufBuilder whole = builder_;
    whole.tensor("token_embd.weight", test::kGgmlF32, {4, 2}, std::string(32, '\0'));
    files.put("m.gguf", whole.build());
    auto checkpoint = read_checkpoint(files, "m.gguf");
    if (!checkpoint.ok()) return checkpoint.error();
    checkpoint_ = std::move(*checkpoint);
    return config_from_gguf(checkpoint_);
  }

  // A member of the configuration, or of its rope_scaling.
  Json value(const char* key, bool scaling = false) {
    const auto config = read();
    EXPECT_TRUE(config.ok()) << config.error().to_string();
    if (!config.ok()) return {};
    const Json* from = scaling ? config->values.find("rope_scaling") : &config->values;
    const Json* found = from != nullptr ? from->find(key) : nullptr;
    return found != nullptr ? *found : Json();
  }

  void expect_error(ErrorCode code, const std::string& part) {
    const auto config = read();
    ASSERT_FALSE(config.ok()) << part;
    EXPECT_EQ(config.error().code, code) << config.error().to_string();
    EXPECT_NE(config.error().to_string().find(part), std::string::npos)
        << config.error().to_string();
  }

  GgufBuilder builder_;
  Checkpoint checkpoint_;
};

TEST_F(GgufConfigTest, LlamaWithAWindowIsMistral) {
  start("llama");
  EXPECT_EQ(value("model_type"), Json("llama"));
  start("llama").u32("llama.attention.sliding_window", 0);
  EXPECT_EQ(value("model_type"), Json("llama"));
  start("llama").u32("llama.attention.sliding_window", 4096);
  EXPECT_EQ(value("model_type"), Json("mistral"));
}

TEST_F(GgufConfigTest, OldPhi3FilesHaveTheirWindow) {
  for (const uint32_t layers : {32u, 40u}) {
    builder_ = GgufBuilder();
    builder_.text("general.architecture", "phi3")
        .u32("phi3.context_length", 4096)
        .u32("phi3.block_count", layers);
    EXPECT_EQ(value("sliding_window"), Json(2047));
    builder_.u32("phi3.attention.sliding_window", 0);
    EXPECT_EQ(value("sliding_window"), Json(0));
  }
  start("phi3").u32("phi3.block_count", 32);  // a context of 8192
  EXPECT_TRUE(value("sliding_window").is_null());
}

TEST_F(GgufConfigTest, GemmaScales) {
  const auto gemma = [&](uint32_t layers) -> GgufBuilder& {
    return start("gemma2")
        .u32("gemma2.block_count", layers)
        .u32("gemma2.attention.head_count", 32)
        .u32("gemma2.attention.key_length", 128)
        .u32("gemma2.embedding_length", 4608);
  };
  gemma(42);
  EXPECT_EQ(value("query_pre_attn_scalar"), Json(128));
  gemma(46);  // 27B
  EXPECT_EQ(value("query_pre_attn_scalar"), Json(144));
  gemma(46).f32("gemma2.attention.scale", 0.125f);
  EXPECT_EQ(value("query_pre_attn_scalar"), Json(64.0));
}

TEST_F(GgufConfigTest, YarnFactorsMultiply) {
  start("llama").text("llama.rope.scaling.type", "yarn").f32("llama.rope.scaling.factor", 4);
  EXPECT_TRUE(value("attention_factor", true).is_null());
  start("llama")
      .text("llama.rope.scaling.type", "yarn")
      .f32("llama.rope.scaling.factor", 4)
      .f32("llama.rope.scaling.attn_factor", 0.5f);
  EXPECT_EQ(value("attention_factor", true), Json(0.5 * (0.1 * std::log(4.0) + 1)));
  EXPECT_EQ(value("factor", true), Json(4));
}

TEST_F(GgufConfigTest, FactorTensorsBecomeLists) {
  const std::string two = test::le_all<float>({1.5f, 3.0f});
  start("phi3")
      .f32("phi3.rope.scaling.attn_factor", 1.25f)
      .u32("phi3.rope.scaling.original_context_length", 4096)
      .tensor("rope_factors_long.weight", test::kGgmlF32, {2}, two)
      .tensor("rope_factors_short.weight", test::kGgmlF32, {2}, two);
  EXPECT_EQ(value("rope_type", true), Json("longrope"));
  EXPECT_EQ(value("long_factor", true), Json(Json::Array{Json(1.5), Json(3.0)}));
  EXPECT_EQ(value("attention_factor", true), Json(1.25));
  EXPECT_EQ(value("original_max_position_embeddings", true), Json(4096));
  start("llama").tensor("rope_freqs.weight", test::kGgmlF32, {2}, two);
  EXPECT_EQ(value("rope_type", true), Json("freq_factors"));
}

TEST_F(GgufConfigTest, HostileFactorTensors) {
  const std::string four(16, '\1');
  start("llama").tensor("rope_freqs.weight", test::kGgmlF32, {2, 2}, four);
  expect_error(ErrorCode::damaged, "rope_freqs.weight");
  start("llama").tensor("rope_freqs.weight", test::kGgmlF16, {8}, four);
  expect_error(ErrorCode::damaged, "rope_freqs.weight");
  start("llama").tensor("rope_freqs.weight", test::kGgmlF32, {513},
                        std::string(size_t{513} * 4, '\0'));
  expect_error(ErrorCode::damaged, "1..512");
}

TEST_F(GgufConfigTest, ScalingsThatNoModelUsesAreRefused) {
  for (const char* key : {"alpha", "yarn_log_multiplier", "yarn_ext_factor"}) {
    start("llama").f32(std::string("llama.rope.scaling.") + key, 1);
    expect_error(ErrorCode::unsupported, key);
  }
  start("llama").u32("llama.rope.scaling.type", 7);
  expect_error(ErrorCode::damaged, "rope.scaling.type");
}

}  // namespace
}  // namespace phial

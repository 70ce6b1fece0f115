// What families read from configurations, and that a GGUF file says the same as its safetensors.
#include <gtest/gtest.h>

#include "model/family.h"
#include "model/model.h"

namespace phial {
namespace {

const std::string kFamilies = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/families/";

std::string text_of(const std::string& file) {
  return std::string((*disk_files()->map(kFamilies + file))->text());
}

// The spec of a golden configuration in which `from`, which must be there, became `to`.
Result<ModelSpec> edited(const std::string& variant, const std::string& from,
                         const std::string& to) {
  std::string text = text_of(variant + ".config.json");
  if (!from.empty()) {
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  }
  const Json config = *parse_json(text, "config.json");
  const ConfigReader reader(config, "config.json");
  PHIAL_ASSIGN(const Family* family, find_family(reader));
  return family->make_spec(reader);
}

ModelSpec spec_of(const std::string& variant, const std::string& from = "",
                  const std::string& to = "") {
  auto spec = edited(variant, from, to);
  EXPECT_TRUE(spec.ok()) << spec.error().to_string();
  return spec.ok() ? *spec : ModelSpec();
}

void expect_error(const std::string& variant, const std::string& from, const std::string& to,
                  ErrorCode code, const std::string& part) {
  const auto spec = edited(variant, from, to);
  ASSERT_FALSE(spec.ok()) << to;
  EXPECT_EQ(spec.error().code, code) << spec.error().to_string();
  EXPECT_NE(spec.error().to_string().find(part), std::string::npos) << spec.error().to_string();
}

TEST(Families, GgufSaysTheSameAsSafetensors) {
  const Json index = *parse_json(text_of("index.json"), "index.json");
  int compared = 0;
  for (const Json& entry : *index.if_array()) {
    if (entry.find("gguf") == nullptr) continue;
    const std::string name = *entry.find("name")->if_string();
    const auto checkpoint = read_checkpoint(*disk_files(), kFamilies + name + ".gguf");
    ASSERT_TRUE(checkpoint.ok()) << name;
    const auto y = model_spec_of(*checkpoint);
    ASSERT_TRUE(y.ok()) << name << ": " << y.error().to_string();
    const ModelSpec x = spec_of(name);
    EXPECT_EQ(x.norm, y->norm) << name;
    EXPECT_EQ(x.norm_place, y->norm_place) << name;
    EXPECT_EQ(x.norm_eps, y->norm_eps) << name;
    EXPECT_EQ(x.mlp, y->mlp) << name;
    EXPECT_EQ(x.attention.head_dim, y->attention.head_dim) << name;
    EXPECT_EQ(x.attention.scale, y->attention.scale) << name;
    EXPECT_EQ(x.attention.softcap, y->attention.softcap) << name;
    EXPECT_EQ(x.attention.qk_norm, y->attention.qk_norm) << name;
    EXPECT_EQ(x.bias.qkv, y->bias.qkv) << name;
    EXPECT_EQ(x.tied_embeddings, y->tied_embeddings) << name;
    EXPECT_EQ(x.scales.embedding, y->scales.embedding) << name;
    EXPECT_EQ(x.scales.residual, y->scales.residual) << name;
    EXPECT_EQ(x.scales.logits, y->scales.logits) << name;
    EXPECT_EQ(x.logits_softcap, y->logits_softcap) << name;
    EXPECT_EQ(x.rope.rotary, y->rope.rotary) << name;
    EXPECT_EQ(x.rope.by_length, y->rope.by_length) << name;
    EXPECT_EQ(x.rope.limit, y->rope.limit) << name;
    EXPECT_EQ(x.rope.mscale, y->rope.mscale) << name;
    EXPECT_EQ(x.rope.long_inv_freq, y->rope.long_inv_freq) << name;
    ASSERT_EQ(x.rope.inv_freq.size(), y->rope.inv_freq.size()) << name;
    for (size_t i = 0; i < x.rope.inv_freq.size(); ++i) {
      // rope_freqs holds quotients of llama3's frequencies: rounded once more, three times over.
      EXPECT_NEAR(x.rope.inv_freq[i], y->rope.inv_freq[i], 0x1p-22 * x.rope.inv_freq[i]) << name;
    }
    for (size_t i = 0; i < x.layer_kinds.size(); ++i) {
      // Phi-3's converter writes a window that no position reaches as it stands.
      EXPECT_EQ(x.layer_kinds[i].window, y->layer_kinds[i].window) << name;
      EXPECT_EQ(x.layer_kinds[i].rotates, y->layer_kinds[i].rotates) << name;
    }
    ++compared;
  }
  EXPECT_GE(compared, 15);
}

TEST(Families, WindowsOfLayers) {
  EXPECT_EQ(spec_of("mistral").layer_kinds[1].window, 20);
  EXPECT_EQ(spec_of("mistral", "\"sliding_window\": 20", "\"sliding_window\": null")
                .layer_kinds[0]
                .window,
            0);
  EXPECT_EQ(spec_of("mistral", "\"sliding_window\": 20", "\"other\": 20").layer_kinds[0].window,
            4096);
  const ModelSpec qwen = spec_of("qwen2-window");
  EXPECT_EQ(qwen.layer_kinds[0].window, 0);
  EXPECT_EQ(qwen.layer_kinds[1].window, 20);
  EXPECT_EQ(spec_of("qwen2.5").layer_kinds[1].window, 0);  // use_sliding_window is false
  for (const char* variant : {"gemma2", "gemma2-new"}) {   // by default, and by layer_types
    EXPECT_EQ(spec_of(variant).layer_kinds[0].window, 20) << variant;
    EXPECT_EQ(spec_of(variant).layer_kinds[1].window, 0) << variant;
  }
  expect_error("gemma2-new", "\"full_attention\"", "\"linear_attention\"", ErrorCode::unsupported,
               "linear_attention");
  expect_error("gemma2-new", "\"full_attention\"", "\"full_attention\", \"full_attention\"",
               ErrorCode::damaged, "a list of 2 layer types");
}

TEST(Families, Gemma2) {
  const ModelSpec spec = spec_of("gemma2");
  EXPECT_EQ(spec.attention.softcap, 4.0f);
  EXPECT_EQ(spec.logits_softcap, 6.0f);
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_EQ(spec_of("gemma2-new").attention.softcap, 0.0f);  // null
  EXPECT_EQ(spec_of("gemma2", "attn_logit_softcapping", "other").attention.softcap, 50.0f);
  expect_error("gemma2", "gelu_pytorch_tanh", "gelu", ErrorCode::unsupported, "hidden_activation");
  expect_error("gemma2", "\"head_dim\"", "\"use_bidirectional_attention\": true, \"head_dim\"",
               ErrorCode::unsupported, "use_bidirectional_attention");
}

TEST(Families, SmolLm3TurnsThreeLayersOfFour) {
  const ModelSpec spec = spec_of("smollm3");
  const std::vector<bool> want = {true, true, true, false};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(spec.layer_kinds[i].rotates, want[i]);
  const auto listed = [](const std::string& list) {
    return edited("smollm3", "\"bos_token_id\"",
                  "\"no_rope_layers\": " + list + ", \"bos_token_id\"");
  };
  EXPECT_FALSE(listed("[0, 1, 1, 1]")->layer_kinds[0].rotates);
  EXPECT_EQ(listed("[0, 1]").error().code, ErrorCode::damaged);
  EXPECT_EQ(listed("[0, 1, 2, 1]").error().code, ErrorCode::damaged);
  expect_error("smollm3", "\"bos_token_id\"", "\"use_sliding_window\": true, \"bos_token_id\"",
               ErrorCode::unsupported, "use_sliding_window");
}

TEST(Families, GraniteFactors) {
  const ModelSpec spec = spec_of("granite");
  EXPECT_EQ(spec.attention.scale, 0.25f);
  EXPECT_EQ(spec.scales.embedding, 3.0f);
  EXPECT_EQ(spec.scales.residual, 0.7f);
  EXPECT_EQ(spec.scales.logits, 1 / 2.5f);
  expect_error("granite", "\"logits_scaling\": 2.5", "\"logits_scaling\": 0", ErrorCode::damaged,
               "logits_scaling");
}

}  // namespace
}  // namespace phial

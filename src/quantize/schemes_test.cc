#include "quantize/schemes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace phial {
namespace {

ModelSpec spec_of(int64_t layers, int64_t heads, int64_t kv_heads, bool tied = false) {
  ModelSpec spec;
  spec.layers = layers;
  spec.attention.heads = heads;
  spec.attention.kv_heads = kv_heads;
  spec.tied_embeddings = tied;
  return spec;
}

TargetTensor tensor_of(Role role, int64_t layer = -1) {
  TargetTensor tensor;
  tensor.role = role;
  tensor.layer = layer;
  return tensor;
}

std::string grid_of(const char* scheme, const TargetTensor& tensor, const ModelSpec& spec,
                    bool has_importance = false, TargetFormat format = TargetFormat::gguf) {
  return scheme_grid(**find_scheme(format, scheme), tensor, spec, has_importance);
}

TEST(Schemes, NamesDifferAndGridsExist) {
  std::set<std::pair<TargetFormat, std::string>> seen;
  for (const Scheme& scheme : scheme_table()) {
    EXPECT_TRUE(seen.emplace(scheme.format, scheme.name).second) << scheme.name;
    EXPECT_TRUE(grid_by_name(scheme.format, scheme.grid, ScaleKind::f16).ok()) << scheme.name;
    for (const SchemeLine& line : scheme.lines) {
      EXPECT_TRUE(grid_by_name(scheme.format, line.grid, ScaleKind::f16).ok()) << line.grid;
    }
  }
}

// llama.cpp's use_more_bits for 30 and 32 layers.
TEST(Schemes, MoreBitsForTheOuterEighthsAndEveryThird) {
  std::vector<int64_t> raised;
  for (int64_t i = 0; i < 30; ++i) {
    if (holds_layer(Layers::more, i, 30)) raised.push_back(i);
  }
  EXPECT_THAT(raised, ::testing::ElementsAre(0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 26, 27, 28, 29));
  raised.clear();
  for (int64_t i = 0; i < 32; ++i) {
    if (holds_layer(Layers::more, i, 32)) raised.push_back(i);
  }
  EXPECT_THAT(raised,
              ::testing::ElementsAre(0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31));
}

TEST(Schemes, MixesAreThoseOfLlamaCpp) {
  const ModelSpec spec = spec_of(32, 32, 32);
  const ModelSpec grouped = spec_of(32, 32, 8);
  const TargetTensor v0 = tensor_of(Role::v, 0), v5 = tensor_of(Role::v, 5);
  const TargetTensor down3 = tensor_of(Role::down, 3), down4 = tensor_of(Role::down, 4);
  const TargetTensor out = tensor_of(Role::attention_out, 0), gate = tensor_of(Role::gate, 0);
  const TargetTensor head = tensor_of(Role::lm_head), embedding = tensor_of(Role::token_embedding);
  EXPECT_EQ(grid_of("Q4_K_M", v0, spec), "q6_k");
  EXPECT_EQ(grid_of("q4_k_m", v5, spec), "q4_k");
  EXPECT_EQ(grid_of("q4_k_m", tensor_of(Role::qkv, 0), spec), "q6_k");
  EXPECT_EQ(grid_of("q4_k_m", down3, spec), "q6_k");
  EXPECT_EQ(grid_of("q4_k_m", down4, spec), "q4_k");
  EXPECT_EQ(grid_of("q4_k_m", gate, spec), "q4_k");
  EXPECT_EQ(grid_of("q4_k_m", head, spec), "q6_k");
  EXPECT_EQ(grid_of("q4_k_m", embedding, spec), "q4_k");
  EXPECT_EQ(grid_of("q4_k_m", embedding, spec_of(32, 32, 32, true)), "q6_k");
  EXPECT_EQ(grid_of("q4_k_s", tensor_of(Role::v, 3), spec), "q5_k");
  EXPECT_EQ(grid_of("q4_k_s", tensor_of(Role::v, 4), spec), "q4_k");
  EXPECT_EQ(grid_of("q4_k_s", down3, spec), "q5_k");
  EXPECT_EQ(grid_of("q4_k_s", down4, spec), "q4_k");
  EXPECT_EQ(grid_of("q3_k_m", tensor_of(Role::v, 1), spec), "q5_k");
  EXPECT_EQ(grid_of("q3_k_m", v5, spec), "q4_k");
  EXPECT_EQ(grid_of("q3_k_m", tensor_of(Role::down, 1), spec), "q5_k");
  EXPECT_EQ(grid_of("q3_k_m", tensor_of(Role::down, 2), spec), "q4_k");
  EXPECT_EQ(grid_of("q3_k_m", out, spec), "q4_k");
  EXPECT_EQ(grid_of("q3_k_l", out, spec), "q5_k");
  EXPECT_EQ(grid_of("q2_k", v5, spec), "q3_k");
  EXPECT_EQ(grid_of("q2_k", v5, grouped), "q4_k");
  EXPECT_EQ(grid_of("q2_k", gate, spec), "q2_k");
  EXPECT_EQ(grid_of("iq4_nl", v5, spec), "iq4_nl");
  EXPECT_EQ(grid_of("iq4_nl", v5, grouped), "q5_k");
  EXPECT_EQ(grid_of("iq4_xs", down3, spec), "q5_k");
  EXPECT_EQ(grid_of("iq4_xs", down3, spec, true), "iq4_xs");
  EXPECT_EQ(grid_of("q4_0", down3, spec), "q4_0");
  EXPECT_EQ(grid_of("q4_0", down3, spec, true), "q4_1");
  EXPECT_EQ(grid_of("q4_0", down4, spec, true), "q4_0");
  EXPECT_EQ(grid_of("q8_0", head, spec), "q8_0");
  EXPECT_EQ(grid_of("f16", head, spec), "f16");
}

TEST(Schemes, MixesOfMlxGoByNames) {
  const ModelSpec spec = spec_of(32, 32, 32);
  constexpr TargetFormat kMlx = TargetFormat::mlx;
  EXPECT_EQ(grid_of("mixed_4_6", tensor_of(Role::v, 0), spec, false, kMlx), "6");
  EXPECT_EQ(grid_of("mixed_4_6", tensor_of(Role::v, 4), spec, false, kMlx), "4");
  EXPECT_EQ(grid_of("mixed_4_6", tensor_of(Role::qkv, 0), spec, false, kMlx), "4");
  EXPECT_EQ(grid_of("mixed_4_6", tensor_of(Role::down, 0), spec, false, kMlx), "6");
  EXPECT_EQ(grid_of("mixed_3_4", tensor_of(Role::lm_head), spec, false, kMlx), "4");
  EXPECT_EQ(grid_of("mixed_3_4", tensor_of(Role::token_embedding), spec_of(32, 32, 32, true), false,
                    kMlx),
            "3");
}

TEST(Schemes, FallbacksAreThoseOfLlamaCpp) {
  EXPECT_EQ(fallback_grid(Grid::q4_k, 512), Grid::q4_k);
  EXPECT_EQ(fallback_grid(Grid::q4_k, 576), Grid::q5_0);
  EXPECT_EQ(fallback_grid(Grid::q5_k, 576), Grid::q5_1);
  EXPECT_EQ(fallback_grid(Grid::q6_k, 576), Grid::q8_0);
  EXPECT_EQ(fallback_grid(Grid::q2_k, 576), Grid::q4_0);
  EXPECT_EQ(fallback_grid(Grid::q3_k, 576), Grid::q4_0);
  EXPECT_EQ(fallback_grid(Grid::iq4_xs, 576), Grid::iq4_nl);
  EXPECT_EQ(fallback_grid(Grid::q4_0, 576), Grid::q4_0);
  EXPECT_EQ(fallback_grid(Grid::q4_0, 80), Grid::f16);
  EXPECT_EQ(fallback_grid(Grid::bf16, 80), Grid::bf16);
}

TEST(Schemes, GridsByName) {
  const auto mlx = [](const char* name) {
    return grid_by_name(TargetFormat::mlx, name, ScaleKind::bf16);
  };
  EXPECT_EQ(*mlx("4"), (StoredGrid{.group_columns = 64, .bits = 4, .scale = ScaleKind::bf16}));
  EXPECT_EQ(mlx("6-g128")->name(), "int6 g128");
  EXPECT_EQ(mlx("MXFP4")->name(), "mxfp4 g32");
  EXPECT_EQ(mlx("bf16")->grid, Grid::bf16);
  for (const char* bad :
       {"", "7", "1", "9", "4-", "4-g", "4-g16", "4-g64x", "4g64", "q4_0", "-4"}) {
    EXPECT_EQ(mlx(bad).error().code, ErrorCode::usage) << bad;
  }
  EXPECT_EQ(grid_by_name(TargetFormat::gguf, "Q4_K", ScaleKind::f16)->grid, Grid::q4_k);
  EXPECT_FALSE(grid_by_name(TargetFormat::gguf, "iq2_xs", ScaleKind::f16).ok());
  EXPECT_FALSE(grid_by_name(TargetFormat::gguf, "i32", ScaleKind::f16).ok());
  EXPECT_FALSE(grid_by_name(TargetFormat::safetensors, "q4_0", ScaleKind::f16).ok());
  EXPECT_EQ(find_scheme(TargetFormat::gguf, "q9").error().code, ErrorCode::usage);
}

}  // namespace
}  // namespace phial

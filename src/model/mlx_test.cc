// MLX folders: written by mlx (tests/golden/mlx) and by phial, and damaged ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "model/mlx_target.h"
#include "model/mlx_weights.h"
#include "model/model.h"
#include "model/test_folders.h"

namespace phial {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kConfig = R"({
  "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64,
  "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
  "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 12, "max_position_embeddings": 32,
  "tie_word_embeddings": true, "hidden_act": "silu", "rms_norm_eps": 1e-5)";

// The tensors of that model with random values.
std::vector<TargetTensor> random_tensors() {
  Rng rng(5);
  std::vector<TargetTensor> out;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, Role role) {
    TargetTensor tensor;
    tensor.name = name;
    tensor.shape = std::move(shape);
    tensor.role = role;
    int64_t count = 1;
    for (const int64_t extent : tensor.shape) count *= extent;
    for (int64_t i = 0; i < count; ++i) {
      tensor.values.push_back(bf16_to_f32(f32_to_bf16(static_cast<float>(rng.uniform() - 0.5))));
    }
    out.push_back(std::move(tensor));
  };
  const std::string layer = "model.layers.0.";
  add("model.embed_tokens.weight", {12, 64}, Role::token_embedding);
  add(layer + "input_layernorm.weight", {64}, Role::attention_norm);
  add(layer + "self_attn.q_proj.weight", {64, 64}, Role::q);
  add(layer + "self_attn.k_proj.weight", {32, 64}, Role::k);
  add(layer + "self_attn.v_proj.weight", {32, 64}, Role::v);
  add(layer + "self_attn.o_proj.weight", {64, 64}, Role::attention_out);
  add(layer + "post_attention_layernorm.weight", {64}, Role::mlp_norm);
  add(layer + "mlp.gate_proj.weight", {128, 64}, Role::gate);
  add(layer + "mlp.up_proj.weight", {128, 64}, Role::up);
  add(layer + "mlp.down_proj.weight", {64, 128}, Role::down);
  add("model.norm.weight", {64}, Role::final_norm);
  return out;
}

// A matrix's tensor with a view of its values, as a target has it.
TargetTensor as_matrix(const TargetTensor& tensor) {
  TargetTensor out = tensor;
  MatrixView view;
  view.rows = tensor.shape[0];
  view.columns = tensor.shape[1];
  view.row_stride = view.columns * 4;
  view.data = reinterpret_cast<const uint8_t*>(tensor.values.data());
  out.pieces = {TargetRows{.view = view}};
  out.values.clear();
  return out;
}

// What a test changes before the folder is written.
struct Damage {
  std::string config = "";    // instead of what mlx_config says, behind "quantization":
  std::string left_out = "";  // a tensor
  std::string reshaped = "";  // a tensor that becomes [1, its bytes] U8
};

class MlxFolder : public testing::Test {
 protected:
  // A folder "m" whose matrices are quantized as `choose` says.
  template <class Choose>
  void write(const Choose& choose, const Damage& damage = {}) {
    std::vector<SafetensorsTensor> entries;
    std::vector<std::vector<uint8_t>> bytes;
    std::vector<MlxChoice> choices;
    const auto put = [&](SafetensorsTensor entry, std::vector<uint8_t> data) {
      if (entry.name == damage.left_out) return;
      if (entry.name == damage.reshaped) {
        entry = {entry.name, Grid::u8, {1, static_cast<int64_t>(data.size())}};
      }
      entries.push_back(std::move(entry));
      bytes.push_back(std::move(data));
    };
    for (const TargetTensor& tensor : tensors_) {
      const bool is_matrix = tensor.shape.size() == 2;
      std::optional<MlxQuantization> chosen;
      if (is_matrix) chosen = choose(tensor.name);
      if (is_matrix) choices.push_back({tensor.name, chosen});
      const auto planned = mlx_tensors(is_matrix ? as_matrix(tensor) : tensor, chosen, Grid::bf16);
      ASSERT_TRUE(planned.ok()) << planned.error().to_string();
      if (!chosen) {
        put(planned->front(), test::encoded(tensor.values, Grid::bf16));
        continue;
      }
      const auto grid = mlx_grid(*chosen, ScaleKind::bf16);
      ASSERT_TRUE(grid.ok());
      MlxPlanes planes = encode_mlx_rows(*grid, tensor.values, tensor.shape[1]);
      put((*planned)[0], std::move(planes.weight));
      put((*planned)[1], std::move(planes.scales));
      if (planned->size() > 2) put((*planned)[2], std::move(planes.biases));
    }
    auto writer = SafetensorsWriter::create(files_, "m/model.safetensors", entries);
    ASSERT_TRUE(writer.ok()) << writer.error().to_string();
    for (const auto& data : bytes) ASSERT_TRUE((*writer)->append(data).ok());
    ASSERT_TRUE((*writer)->commit().ok());
    const auto base = parse_json(std::string(kConfig) + "}", "config.json");
    ASSERT_TRUE(base.ok());
    const std::string whole =
        damage.config.empty() ? to_text(mlx_config(*base, choices))
                              : std::string(kConfig) + ", \"quantization\": " + damage.config + "}";
    test::write_text(files_, "m/config.json", whole);
  }

  Result<std::shared_ptr<const Model>> open() {
    PHIAL_ASSIGN(Checkpoint checkpoint, read_checkpoint(files_, "m"));
    return open_model(std::make_shared<const Checkpoint>(std::move(checkpoint)));
  }

  void expect_refused(const Damage& damage, ErrorCode code, std::string_view part) {
    write([](const std::string&) { return MlxQuantization{}; }, damage);
    const auto model = open();
    ASSERT_FALSE(model.ok()) << part;
    EXPECT_EQ(model.error().code, code) << model.error().to_string();
    EXPECT_THAT(model.error().to_string(), HasSubstr(std::string(part)));
  }

  // Largest distance of a matrix from the values that it was made of.
  double distance(const MatrixView& view, std::string_view name) const {
    double worst = 0;
    for (const TargetTensor& tensor : tensors_) {
      if (tensor.name != name) continue;
      std::vector<float> row(static_cast<size_t>(view.columns));
      for (int64_t r = 0; r < view.rows; ++r) {
        view.decode(r, row.data());
        for (int64_t c = 0; c < view.columns; ++c) {
          const float want = tensor.values[static_cast<size_t>(r * view.columns + c)];
          worst = std::max(worst, std::fabs(static_cast<double>(row[static_cast<size_t>(c)]) -
                                            static_cast<double>(want)));
        }
      }
    }
    return worst;
  }

  MemoryFiles files_;
  std::vector<TargetTensor> tensors_ = random_tensors();
};

// A step of the code: MLX makes the larger end of the range a whole number of steps, n / 2 of n at
// least, so the other end may lie up to half a step times n / (n / 2) beyond the last code. And
// what scale and bias lose in bf16: 2^-9 of each, the scale times up to n.
double tolerance(const MlxQuantization& quantization) {
  if (quantization.mode == "mxfp4") return 0.125;  // half of the largest step, 2, at scale 1/8
  if (quantization.mode == "mxfp8") return 0.5 / 16;
  const double step = 1.0 / ((1 << quantization.bits) - 1);
  return step + 2.0 / 512;
}

TEST_F(MlxFolder, ReadsEveryGridThatItWrites) {
  std::vector<MlxQuantization> all = {{"mxfp4", 4, 32}, {"mxfp8", 8, 32}};
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {32, 64}) all.push_back({"affine", bits, group});
  }
  for (const MlxQuantization& quantization : all) {
    write([&](const std::string&) { return quantization; });
    const auto model = open();
    ASSERT_TRUE(model.ok()) << to_text(quantization) << ": " << model.error().to_string();
    const Weights& weights = (*model)->weights;
    EXPECT_TRUE(weights.embedding.is_affine());
    EXPECT_LE(distance(weights.embedding, "model.embed_tokens.weight"), tolerance(quantization))
        << to_text(quantization);
    EXPECT_LE(distance(weights.layers[0].down.weight, "model.layers.0.mlp.down_proj.weight"),
              tolerance(quantization))
        << to_text(quantization);
    EXPECT_TRUE(weights.lm_head.weight.is_affine()) << "the tied head";
  }
}

TEST_F(MlxFolder, MixesGridsAndFloats) {
  write([](const std::string& name) -> std::optional<MlxQuantization> {
    if (name.find("embed") != std::string::npos) return std::nullopt;
    if (name.find("down") != std::string::npos) return MlxQuantization{"affine", 6, 64};
    if (name.find("v_proj") != std::string::npos) return MlxQuantization{"mxfp4", 4, 32};
    return MlxQuantization{"affine", 3, 32};
  });
  const auto model = open();
  ASSERT_TRUE(model.ok()) << model.error().to_string();
  const LayerWeights& layer = (*model)->weights.layers[0];
  EXPECT_FALSE((*model)->weights.embedding.is_affine());
  EXPECT_EQ(layer.down.weight.affine.grid.bits, 6);
  EXPECT_EQ(layer.v.weight.affine.grid.codes, CodeKind::f4_e2m1);
  EXPECT_EQ(layer.q.weight.affine.grid.bits, 3);
  const Json& config = (*model)->checkpoint->config;
  EXPECT_EQ(to_text(*config.find("quantization")),
            R"({"group_size":32,"bits":3,"mode":"affine","model.layers.0.self_attn.v_proj":)"
            R"({"group_size":32,"bits":4,"mode":"mxfp4"},"model.layers.0.mlp.down_proj":)"
            R"({"group_size":64,"bits":6,"mode":"affine"}})");
  EXPECT_EQ(*config.find("quantization"), *config.find("quantization_config"));
}

TEST_F(MlxFolder, TellsWhatItsTensorsStandFor) {
  write([](const std::string&) { return MlxQuantization{"affine", 5, 32}; });
  const auto checkpoint = read_checkpoint(files_, "m");
  ASSERT_TRUE(checkpoint.ok());
  const auto part = [&](const char* name) {
    return mlx_part(*checkpoint, *checkpoint->find(name)).value_or(MlxPart{"none", -1});
  };
  EXPECT_EQ(part("model.embed_tokens.weight").grid, "5-bit g32");
  EXPECT_EQ(part("model.embed_tokens.weight").weights, 12 * 64);
  EXPECT_EQ(part("model.embed_tokens.scales").grid, "5-bit g32");
  EXPECT_EQ(part("model.embed_tokens.biases").weights, 0);
  EXPECT_EQ(part("model.norm.weight").grid, "none");
}

TEST_F(MlxFolder, RefusesWhatContradictsItself) {
  const std::string down = "model.layers.0.mlp.down_proj";
  expect_refused({.left_out = down + ".scales"}, ErrorCode::damaged, down + ".scales is missing");
  expect_refused({.left_out = down + ".biases"}, ErrorCode::damaged, down + ".biases is missing");
  expect_refused({.left_out = down + ".weight"}, ErrorCode::damaged, down + ".weight is missing");
  expect_refused({.reshaped = down + ".scales"}, ErrorCode::damaged, down + ".scales");
  expect_refused({.reshaped = down + ".biases"}, ErrorCode::damaged, down + ".biases");
  expect_refused({.reshaped = down + ".weight"}, ErrorCode::damaged, down + ".weight");
}

TEST_F(MlxFolder, RefusesSchemesThatDoNotFit) {
  const auto damaged_by = [&](const std::string& config, std::string_view part) {
    expect_refused({.config = config}, ErrorCode::damaged, part);
  };
  const auto unknown = [&](const std::string& config, std::string_view part) {
    expect_refused({.config = config}, ErrorCode::unsupported, part);
  };
  damaged_by(R"({"group_size": 32, "bits": 4})", "expected the shape");
  damaged_by(R"({"group_size": 128, "bits": 4})", "groups of 128 do not divide 64 columns");
  damaged_by(R"({"group_size": 64, "bits": 8})", "expected the shape [12, 16] of 8-bit g64");
  damaged_by(R"({"group_size": 64, "bits": "4"})", "bits: expected a positive integer");
  damaged_by(R"({"group_size": -64, "bits": 4})", "group_size: expected a positive integer");
  damaged_by(R"({"group_size": 64, "bits": 4, "mode": 3})", "mode: expected a string");
  damaged_by("17", "expected an object");
  damaged_by(R"({"model.norm": true, "mode": "mxfp4"})", "expected u8 numbers, found bf16");
  damaged_by(R"({"model.embed_tokens": false})", "says that this module is not quantized");
  damaged_by(R"({"model.embed_tokens": 4})", "expected an object or false");
  unknown(R"({"group_size": 48, "bits": 4})", "affine groups of 48");
  unknown(R"({"group_size": 64, "bits": 7})", "affine codes of 7 bits");
  unknown(R"({"group_size": 16, "bits": 4, "mode": "nvfp4"})", "the mode \"nvfp4\"");
  unknown(R"({"model.embed_tokens": {"bits": 9}})", "model.embed_tokens");
}

// As mlx-lm: what an entry leaves out has a default.
TEST_F(MlxFolder, EntriesMayBeShort) {
  write([](const std::string&) { return MlxQuantization{}; }, {.config = "{}"});
  const auto model = open();
  ASSERT_TRUE(model.ok()) << model.error().to_string();
  write([](const std::string&) { return MlxQuantization{}; },
        {.config = R"({"bits": 2, "group_size": 32, "model.embed_tokens": true,
                       "model.layers.0": {"bits": 99}})"});
  EXPECT_FALSE(open().ok());
}

TargetTensor matrix_of(std::vector<int64_t> shape) {
  TargetTensor tensor;
  tensor.name = "a.weight";
  tensor.shape = std::move(shape);
  tensor.pieces.resize(1);
  return tensor;
}

TEST(MlxTarget, NamesTheGroupsThatWouldDivide) {
  TargetTensor tensor = matrix_of({2, 96});
  const auto refused = mlx_tensors(tensor, MlxQuantization{}, Grid::bf16);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::usage);
  EXPECT_THAT(refused.error().to_string(),
              HasSubstr("a.weight: groups of 64 do not divide its 96 columns (these do: 32)"));
  tensor.shape = {2, 40};
  EXPECT_THAT(mlx_tensors(tensor, MlxQuantization{}, Grid::bf16).error().to_string(),
              HasSubstr("leave it in floats"));
}

TEST(MlxTarget, LaysOutPlanes) {
  const TargetTensor tensor = matrix_of({2, 128});
  const auto planes = mlx_tensors(tensor, MlxQuantization{"affine", 3, 64}, Grid::f16);
  ASSERT_TRUE(planes.ok());
  ASSERT_EQ(planes->size(), 3u);
  EXPECT_EQ((*planes)[0].name, "a.weight");
  EXPECT_EQ((*planes)[0].grid, Grid::u32);
  EXPECT_THAT((*planes)[0].shape, ElementsAre(2, 12));
  EXPECT_EQ((*planes)[1].name, "a.scales");
  EXPECT_EQ((*planes)[1].grid, Grid::f16);
  EXPECT_THAT((*planes)[1].shape, ElementsAre(2, 2));
  EXPECT_EQ((*planes)[2].name, "a.biases");
  const auto mxfp4 = mlx_tensors(tensor, MlxQuantization{"mxfp4", 4, 32}, Grid::f16);
  ASSERT_TRUE(mxfp4.ok());
  ASSERT_EQ(mxfp4->size(), 2u);
  EXPECT_EQ((*mxfp4)[1].grid, Grid::u8);
  EXPECT_THAT((*mxfp4)[1].shape, ElementsAre(2, 4));
}

}  // namespace
}  // namespace phial

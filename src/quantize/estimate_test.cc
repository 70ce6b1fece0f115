#include "quantize/estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>
#include <random>

#include "model/roles.h"

namespace phial {
namespace {

constexpr int64_t kHidden = 8, kInner = 12, kHeads = 2, kHeadDim = 4, kVocabulary = 16;

// A model of two layers whose weights can be changed.
class Estimates : public ::testing::Test {
 protected:
  void SetUp() override {
    ModelSpec& spec = model_.spec;
    spec.hidden = kHidden;
    spec.layers = 2;
    spec.intermediate = kInner;
    spec.vocabulary = kVocabulary;
    spec.attention.heads = kHeads;
    spec.attention.kv_heads = 1;
    spec.attention.head_dim = kHeadDim;
    Weights& weights = model_.weights;
    weights.embedding = matrix(kVocabulary, kHidden);
    weights.final_norm.weight.assign(kHidden, 1.0f);
    weights.lm_head.weight = matrix(kVocabulary, kHidden);
    for (int64_t l = 0; l < spec.layers; ++l) {
      LayerWeights layer;
      layer.attention_norm.weight.assign(kHidden, 1.0f);
      layer.mlp_norm.weight.assign(kHidden, 1.0f);
      layer.q.weight = matrix(kHeads * kHeadDim, kHidden);
      layer.k.weight = matrix(kHeadDim, kHidden);
      layer.v.weight = matrix(kHeadDim, kHidden);
      layer.attention_out.weight = matrix(kHidden, kHeads * kHeadDim);
      layer.gate.weight = matrix(kInner, kHidden);
      layer.up.weight = matrix(kInner, kHidden);
      layer.down.weight = matrix(kHidden, kInner);
      weights.layers.push_back(std::move(layer));
    }
  }

  MatrixView matrix(int64_t rows, int64_t columns) {
    std::vector<float>& values = values_.emplace_back(static_cast<size_t>(rows * columns));
    std::normal_distribution<float> normal(0.0f, 0.1f);
    for (float& value : values) value = normal(random_);
    MatrixView view;
    view.rows = rows;
    view.columns = columns;
    view.row_stride = columns * static_cast<int64_t>(sizeof(float));
    view.data = reinterpret_cast<const uint8_t*>(values.data());
    return view;
  }

  // Of a matrix that matrix() made.
  static float& at(const MatrixView& view, int64_t row, int64_t column) {
    return reinterpret_cast<float*>(
        const_cast<uint8_t*>(view.data))[row * view.columns + column];  // ours, and not const
  }

  Imatrix estimate(int threads = 1) const {
    return estimate_importance(model_, *ThreadPool::create(threads).value(), nullptr).value();
  }

  static std::vector<float> of(const Imatrix& imatrix, Role role, int64_t layer) {
    const auto* found = imatrix.find(gguf_role_name(role, layer, ".weight"));
    return found != nullptr ? *found : std::vector<float>();
  }

  LayerWeights& layer(size_t l) { return model_.weights.layers[l]; }

  Model model_;
  std::deque<std::vector<float>> values_;
  std::mt19937 random_{7};
};

TEST_F(Estimates, EveryMatrixHasPositiveNumbersOfMeanOne) {
  const Imatrix got = estimate();
  EXPECT_EQ(got.columns.size(), 2u * 7 + 1);
  for (const auto& [name, columns] : got.columns) {
    const bool down = name.find("ffn_down") != std::string::npos;
    EXPECT_EQ(columns.size(), static_cast<size_t>(down ? kInner : kHidden)) << name;
    EXPECT_THAT(columns, testing::Each(testing::AllOf(testing::Gt(0.0f), testing::Lt(1e6f))));
    const double sum = std::accumulate(columns.begin(), columns.end(), 0.0);
    EXPECT_NEAR(sum / static_cast<double>(columns.size()), 1, 1e-5) << name;
  }
}

TEST_F(Estimates, TheFirstLayerSeesTheEmbeddingThroughItsNorm) {
  for (int64_t r = 0; r < kVocabulary; ++r) {
    for (int64_t c = 0; c < kHidden; ++c) {
      at(model_.weights.embedding, r, c) = c == 3 ? 2.0f : 1.0f;  // a mean square of 4 there
    }
  }
  layer(0).attention_norm.weight[5] = -3;
  const std::vector<float> q = of(estimate(), Role::q, 0);
  // Of columns of 1, all of which get the median, 1, in addition.
  EXPECT_NEAR(q[3] / q[0], (4 * 4 + 1) / 2.0, 1e-4);  // 4 squared once more, as estimate.h says
  EXPECT_NEAR(q[5] / q[0], (3 * 3 + 1) / 2.0, 1e-4);
  EXPECT_FLOAT_EQ(q[1], q[0]);
}

TEST_F(Estimates, WhatALayerWritesIsSeenBehindItAlone) {
  const std::vector<float> first = of(estimate(), Role::q, 0);
  for (int64_t c = 0; c < kInner; ++c) at(layer(0).down.weight, 6, c) = 5;
  const Imatrix got = estimate();
  EXPECT_EQ(of(got, Role::q, 0), first);
  for (const Role role : {Role::q, Role::v, Role::gate}) {
    EXPECT_THAT(of(got, role, 1)[6], testing::Gt(0.9f * kHidden)) << "of a sum of " << kHidden;
  }
  EXPECT_GT(of(got, Role::lm_head, -1)[6], 0.9f * kHidden);
}

TEST_F(Estimates, BothQueryHeadsReadTheirKeyValueHead) {
  for (int64_t c = 0; c < kHidden; ++c) at(layer(0).v.weight, 2, c) *= 10;
  const std::vector<float> out = of(estimate(), Role::attention_out, 0);
  EXPECT_TRUE(std::equal(out.begin(), out.begin() + kHeadDim, out.begin() + kHeadDim));
  EXPECT_EQ(std::max_element(out.begin(), out.begin() + kHeadDim), out.begin() + 2);
}

// The mean of f(z)^2 over normal z of variance s, by sums.
template <class Fn>
double moment(double s, const Fn& f) {
  double sum = 0, weights = 0;
  for (int i = -4000; i <= 4000; ++i) {
    const double z = 0.002 * i, weight = std::exp(-z * z / 2);
    sum += weight * std::pow(f(z * std::sqrt(s)), 2);
    weights += weight;
  }
  return sum / weights;
}

TEST_F(Estimates, ActivationsAreThoseOfNormalInputs) {
  // Embedding and norms all 1: every column's moment is 1, so that of a row is its sum of squares.
  for (int64_t r = 0; r < kVocabulary; ++r) {
    for (int64_t c = 0; c < kHidden; ++c) at(model_.weights.embedding, r, c) = 1;
  }
  for (int64_t c = 0; c < kHeads * kHeadDim; ++c) {
    for (int64_t r = 0; r < kHidden; ++r) at(layer(0).attention_out.weight, r, c) = 0;
  }
  const double variances[kInner] = {1e-3, 0.01, 0.03, 0.1, 0.3, 0.6, 1, 2, 4, 10, 30, 100};
  for (int64_t r = 0; r < kInner; ++r) {
    for (int64_t c = 0; c < kHidden; ++c) {
      at(layer(0).gate.weight, r, c) = static_cast<float>(std::sqrt(variances[r] / kHidden));
      at(layer(0).up.weight, r, c) = 1;
    }
  }
  const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  const auto gelu = [](double x) {
    return x / 2 * (1 + std::tanh(0.7978845608 * (x + 0.044715 * x * x * x)));
  };
  for (const bool is_silu : {true, false}) {
    model_.spec.mlp = is_silu ? MlpKind::silu_gated : MlpKind::gelu_tanh_gated;
    std::vector<float> down = of(estimate(), Role::down, 0);
    // They rise, and each has the median in addition, so that the median one is there twice.
    const float median = down[kInner / 2] / 2;
    for (float& value : down) value -= median;
    const auto wanted = [&](double s) { return is_silu ? moment(s, silu) : moment(s, gelu); };
    for (size_t i = 0; i < kInner; ++i) {
      // Each within 3 %, so their ratios within 6.
      const double ratio = static_cast<double>(down[i]) / static_cast<double>(down[kInner - 1]);
      EXPECT_NEAR(ratio / (wanted(variances[i]) / wanted(variances[kInner - 1])), 1, 0.06) << i;
    }
  }
}

TEST_F(Estimates, ThreadsDoNotMatter) { EXPECT_EQ(estimate(1).columns, estimate(3).columns); }

TEST_F(Estimates, ParallelBlocksAndPlainMlps) {
  model_.spec.block_order = BlockOrder::parallel;
  model_.spec.mlp = MlpKind::gelu_tanh;
  for (size_t l = 0; l < 2; ++l) {
    layer(l).mlp_norm = {};
    layer(l).gate = {};
    layer(l).attention_norm.bias.assign(kHidden, 0.5f);
  }
  const Imatrix got = estimate();
  EXPECT_EQ(got.columns.size(), 2u * 6 + 1);
  EXPECT_EQ(of(got, Role::up, 1), of(got, Role::q, 1));
}

TEST_F(Estimates, WeightsThatAreNoNumbersLeaveNumbers) {
  at(model_.weights.embedding, 0, 1) = std::numeric_limits<float>::quiet_NaN();
  at(layer(0).up.weight, 0, 1) = std::numeric_limits<float>::infinity();
  at(layer(0).down.weight, 2, 3) = 3e38f;
  layer(1).attention_norm.weight[0] = std::numeric_limits<float>::quiet_NaN();
  for (const auto& [name, columns] : estimate().columns) {
    for (const float value : columns) {
      EXPECT_TRUE(std::isfinite(value) && value > 0) << name << ": " << value;
    }
  }
}

TEST_F(Estimates, CanBeCancelled) {
  CancelFlag flag;
  flag.request();
  const auto got = estimate_importance(model_, *ThreadPool::create(1).value(), &flag);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace phial

#include "model/synthetic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/native_decoder.h"
#include "engine/runtime.h"

namespace phial {
namespace {

std::unique_ptr<ThreadPool> pool_of(int threads) {
  auto pool = ThreadPool::create(threads);
  EXPECT_TRUE(pool.ok());
  return *std::move(pool);
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(", ", at), list.size());
    parts.push_back(list.substr(at, end - at));
    at = end + 2;
  }
  return parts;
}

std::span<const uint8_t> bytes_of(const Model& model) {
  return model.checkpoint->mappings.at(0)->bytes();
}

TEST(Synthetic, EveryGridIsSaneAndTheSameForAnyThreads) {
  const auto one = pool_of(1);
  const auto three = pool_of(3);
  const std::vector<std::string> grids = split(synthetic_grid_names());
  EXPECT_GE(grids.size(), 30u);
  for (const std::string& grid : grids) {
    const auto model = make_synthetic("tiny:" + grid, 0, *one);
    ASSERT_TRUE(model.ok()) << model.error().to_string();
    const auto again = make_synthetic("tiny:" + grid, 0, *three);
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(std::ranges::equal(bytes_of(**model), bytes_of(**again))) << grid;

    const Weights& weights = (*model)->weights;
    ASSERT_EQ(weights.layers.size(), 2u);
    for (const MatrixView* matrix : {&weights.embedding, &weights.layers[1].k.weight,
                                     &weights.layers[0].down.weight, &weights.lm_head.weight}) {
      double squares = 0;
      std::vector<float> row(static_cast<size_t>(matrix->columns));
      for (int64_t r = 0; r < matrix->rows; ++r) {
        matrix->decode(r, row.data());
        for (const float value : row) squares += static_cast<double>(value) * value;
      }
      const double rms = std::sqrt(squares / static_cast<double>(matrix->rows * matrix->columns));
      // Two bits and less leave no even spread: ternary codes move all to 0 and the largest.
      EXPECT_GT(rms, 0.01) << grid;
      EXPECT_LT(rms, 0.04) << grid;
    }
    // Views of one matrix do not reach into the next.
    std::vector<float> first(256), second(256);
    weights.layers[0].q.weight.decode(0, first.data());
    weights.layers[0].q.weight.decode(1, second.data());
    EXPECT_NE(first, second) << grid;
  }
}

TEST(Synthetic, LogitsAreFinite) {
  const auto runtime = Runtime::create(2, "", disk_files());
  ASSERT_TRUE(runtime.ok());
  for (const char* name : {"tiny:q4_0", "tiny:q4_k", "tiny:bf16", "tiny:g64", "tiny:iq2_xxs"}) {
    const auto model = make_synthetic(name, 0, *(*runtime)->threads);
    ASSERT_TRUE(model.ok()) << model.error().to_string();
    const auto decoder = make_native_decoder(*runtime, *model);
    ASSERT_TRUE(decoder.ok());
    const auto sequence = (*decoder)->open(64);
    ASSERT_TRUE(sequence.ok());
    const std::vector<int32_t> tokens = {1, 7, 300, 511, 0, 44};
    Logits logits;
    Step step;
    step.sequence = *sequence;
    step.tokens = tokens;
    step.logits = LogitsRows::all;
    ASSERT_TRUE((*decoder)->forward(std::span(&step, 1), logits, nullptr).ok());
    ASSERT_EQ(logits.rows(), 6);
    EXPECT_TRUE(std::ranges::all_of(logits.values, [](float x) { return std::isfinite(x); }))
        << name;
    // Neither all alike nor out of any proportion.
    const auto [low, high] = std::ranges::minmax(logits.values);
    EXPECT_GT(high - low, 0.1f) << name;
    EXPECT_LT(high - low, 100.0f) << name;
  }
}

TEST(Synthetic, EveryShapeIsAModel) {
  const auto pool = pool_of(2);
  for (const std::string& shape : split(synthetic_shape_names())) {
    const auto model = make_synthetic(shape + ":iq4_nl", 1, *pool);
    ASSERT_TRUE(model.ok()) << model.error().to_string();
    const ModelSpec& spec = (*model)->spec;
    EXPECT_EQ(spec.layers, 1) << shape;
    EXPECT_EQ((*model)->weights.lm_head.weight.rows, spec.vocabulary) << shape;
    EXPECT_EQ((*model)->weights.layers[0].k.weight.rows,
              spec.attention.kv_heads * spec.attention.head_dim)
        << shape;
    EXPECT_GE(spec.context, 8192) << shape;
    for (const LayerKind& kind : spec.layer_kinds) EXPECT_EQ(kind.window, 0) << shape;
    EXPECT_EQ(spec.rope.by_length, RopeLength::any) << shape;
  }
}

TEST(Synthetic, PhiThreeMiniHasTheParametersThatFiguresAreQuotedFor) {
  const auto model = make_synthetic("phi-3-mini:q4_0", 2, *pool_of(2));
  ASSERT_TRUE(model.ok());
  // Two of 32 layers (3.624 G in all), embedding and head of 98.5 M each, at 4.5 bits.
  const double parameters = 2 * 3.62388e9 / 32 + 2 * 98.5006e6;
  EXPECT_NEAR(static_cast<double>((*model)->checkpoint->file_bytes), parameters * 4.5 / 8,
              parameters * 1e-4);
}

TEST(Synthetic, RefusesWhatIsNotThere) {
  const auto pool = pool_of(1);
  const auto code = [&](std::string_view name, int64_t layers) {
    const auto model = make_synthetic(name, layers, *pool);
    return model.ok() ? "ok" : error_info(model.error().code).name;
  };
  EXPECT_STREQ(code("tiny", 0), "usage");
  EXPECT_STREQ(code("tiny:", 0), "usage");
  EXPECT_STREQ(code("tiny:q4_9", 0), "usage");
  EXPECT_STREQ(code("tiny:i32", 0), "usage");
  EXPECT_STREQ(code("huge:q4_0", 0), "usage");
  EXPECT_STREQ(code("tiny:q4_0", 3), "usage");
  EXPECT_STREQ(code("tiny:q4_0", -1), "usage");
  EXPECT_STREQ(code("smollm2-135m:q4_k", 1), "unsupported");
  EXPECT_STREQ(code("tiny:q4_0", 2), "ok");
}

}  // namespace
}  // namespace phial

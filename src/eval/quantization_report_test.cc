#include "eval/quantization_report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace phial {
namespace {

struct SmallRun {
  ConvertPlan plan;
  ConvertResult result;

  void add(Role role, int64_t layer, int64_t rows, uint64_t bytes, double squared_error) {
    PlannedTensor planned;
    planned.target.role = role;
    planned.target.layer = layer;
    TensorResult tensor;
    tensor.name = "tensor " + std::to_string(plan.tensors.size());
    tensor.source_grid = "bf16";
    tensor.target_grid = squared_error == 0 ? "f32" : "q4_0";
    tensor.layer = layer;
    tensor.rows = rows;
    tensor.columns = 64;
    tensor.bytes = bytes;
    tensor.exact = squared_error == 0;
    tensor.squared_error = squared_error;
    tensor.squared_norm = 100;
    plan.tensors.push_back(std::move(planned));
    result.tensors.push_back(std::move(tensor));
  }
};

SmallRun small_run() {
  SmallRun run;
  run.plan.format = TargetFormat::gguf;
  run.plan.scheme = "q4_0";
  run.add(Role::token_embedding, -1, 10, 360, 0.25);
  run.add(Role::attention_norm, 0, 1, 256, 0);
  run.add(Role::q, 0, 64, 2304, 1);
  run.add(Role::q, 1, 64, 2304, 4);
  run.add(Role::down, 1, 64, 2304, 9);
  run.result.tensors.back().weighted_error = 1;
  run.result.tensors.back().weighted_norm = 25;
  run.result.bytes = 8000;
  run.result.bits_per_weight = 4.75;
  return run;
}

double number(const Json& object, const char* key) {
  const Json* member = object.find(key);
  if (member == nullptr || !member->number()) throw std::runtime_error(key);
  return *member->number();
}

TEST(QuantizationReport, TellsOfTensorsAndTotals) {
  const SmallRun run = small_run();
  const Json report = quantization_report(run.plan, run.result);
  EXPECT_EQ(*report.find("scheme")->if_string(), "q4_0");
  EXPECT_EQ(*report.find("effort")->if_string(), "balanced");
  EXPECT_EQ(number(report, "weights"), 64 * (10 + 1 + 64 * 3));
  EXPECT_DOUBLE_EQ(number(report, "relative_error"), std::sqrt(14.25 / 500));
  const Json::Array& tensors = *report.find("tensors")->if_array();
  ASSERT_EQ(tensors.size(), 5u);
  EXPECT_TRUE(tensors[0].find("layer")->is_null());
  EXPECT_EQ(*tensors[0].find("kind")->if_string(), "token_embd");
  EXPECT_DOUBLE_EQ(number(tensors[2], "bits_per_weight"), 4.5);
  EXPECT_DOUBLE_EQ(number(tensors[3], "relative_error"), 0.2);
  EXPECT_EQ(tensors[3].find("weighted_error"), nullptr);
  EXPECT_EQ(*tensors[4].find("kind")->if_string(), "ffn_down");
  EXPECT_DOUBLE_EQ(number(tensors[4], "weighted_error"), 0.2);
  const Json::Array& grids = *report.find("grids")->if_array();
  ASSERT_EQ(grids.size(), 2u);
  EXPECT_EQ(*grids[0].find("name")->if_string(), "q4_0");
  EXPECT_EQ(number(grids[0], "bytes"), 360 + 3 * 2304);
  EXPECT_EQ(number(grids[0], "tensors"), 4);
  // The largest first; what is exact is not among them.
  const Json::Array& worst = *report.find("worst")->if_array();
  ASSERT_EQ(worst.size(), 4u);
  EXPECT_EQ(*worst[0].if_string(), "tensor 4");
  EXPECT_EQ(*worst[3].if_string(), "tensor 0");
}

Json with_quality(const std::string& name, double bits, double kl) {
  SmallRun run = small_run();
  run.result.bits_per_weight = bits;
  Json report = quantization_report(run.plan, run.result);
  Json quality;
  quality.set("kl_mean", kl);
  report.set("name", name);
  report.set("quality", std::move(quality));
  return report;
}

TEST(QuantizationReport, IsDrawn) {
  const SmallRun run = small_run();
  const auto alone = quantization_svg(quantization_report(run.plan, run.result));
  ASSERT_TRUE(alone.ok());
  EXPECT_NE(alone->find("gguf:q4_0"), std::string::npos);
  EXPECT_NE(alone->find(">attn_q<"), std::string::npos);
  EXPECT_NE(alone->find("tensor 3: 20.000 %, q4_0"), std::string::npos);
  EXPECT_EQ(alone->find(">attn_norm<"), std::string::npos);  // exact, so not drawn
  EXPECT_EQ(alone->find("Size against quality"), std::string::npos);

  Json several{Json::Array()};
  several.push(with_quality("mine", 4.75, 0.125));
  several.push(with_quality("<other>", 8.5, 0.0025));
  const auto both = quantization_svg(several);
  ASSERT_TRUE(both.ok());
  EXPECT_NE(both->find("mine: 4.75 bits, KL 0.1250"), std::string::npos);
  EXPECT_NE(both->find("&lt;other&gt;: 8.50 bits, KL 0.0025"), std::string::npos);
}

TEST(QuantizationReport, WhatIsNoReportIsRefused) {
  const auto code = [](const Json& given) {
    const auto svg = quantization_svg(given);
    return svg.ok() ? ErrorCode::internal : svg.error().code;
  };
  EXPECT_EQ(code(Json()), ErrorCode::invalid_input);
  EXPECT_EQ(code(Json("text")), ErrorCode::invalid_input);
  EXPECT_EQ(code(Json(Json::Array())), ErrorCode::invalid_input);
  Json empty;
  empty.set("format", "gguf");
  EXPECT_EQ(code(empty), ErrorCode::invalid_input);
  Json far_layer;
  far_layer.set("kind", "attn_q");
  far_layer.set("relative_error", 0.1);
  far_layer.set("layer", int64_t{INT64_MAX});
  Json far{Json::Array()};
  far.push(std::move(far_layer));
  Json far_report;
  far_report.set("tensors", std::move(far));
  EXPECT_EQ(code(far_report), ErrorCode::invalid_input);
  Json tensors{Json::Array()};
  tensors.push(Json("no object"));
  empty.set("tensors", std::move(tensors));
  EXPECT_EQ(code(empty), ErrorCode::invalid_input);
}

}  // namespace
}  // namespace phial

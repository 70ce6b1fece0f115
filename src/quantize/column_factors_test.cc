#include "quantize/column_factors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "formats/checkpoint.h"
#include "quantize/file_values_test_support.h"

namespace phial {
namespace {

constexpr const char* kSource = "llama-smol-f32.gguf";

// The golden Llama, an importance matrix in which some columns matter much more than the others,
// and what comes of both.
class ColumnFactorsOfLlama : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/models/" + kSource;
    files_->put(kSource, std::string(disk_files()->map(path).value()->text()));
    source_ = values_of(kSource);
    options_.scheme = "iq4_nl";
    auto imatrix = std::make_shared<Imatrix>();
    for (const PlannedTensor& tensor : plan().tensors) {
      if (!tensor.target.is_matrix() || tensor.target.layer < 0) continue;
      std::vector<float>& columns = imatrix->columns[tensor.target.name];
      columns.resize(static_cast<size_t>(tensor.target.shape[1]));
      for (size_t c = 0; c < columns.size(); ++c) columns[c] = c % 8 == 3 ? 300.0f : 1.0f;
    }
    options_.importance = imatrix;
  }

  ConvertPlan plan() {
    auto checkpoint = std::make_shared<const Checkpoint>(read_checkpoint(*files_, kSource).value());
    return plan_conversion(*files_, open_model(checkpoint).value(), options_).value();
  }

  ConvertResult convert(const std::string& output, int threads = 2, const std::string& isa = "") {
    const auto runtime = Runtime::create(threads, isa, files_).value();
    return run_conversion(*runtime, plan(), output, {}, nullptr).value();
  }

  std::map<std::string, std::vector<float>> values_of(const std::string& path) {
    return phial::values_of(*files_, path);
  }

  // By how much the norm of `name` was divided, number by number.
  std::vector<float> divisors(const std::map<std::string, std::vector<float>>& out,
                              const std::string& name) const {
    std::vector<float> divisors = source_.at(name);
    for (size_t c = 0; c < divisors.size(); ++c) divisors[c] /= out.at(name)[c];
    return divisors;
  }

  std::shared_ptr<MemoryFiles> files_ = std::make_shared<MemoryFiles>();
  std::map<std::string, std::vector<float>> source_;
  ConvertOptions options_;
};

// Relative distance of `values`, divided by `columns` and multiplied by `rows`, from `source`.
double distance(const std::vector<float>& values, const std::vector<float>& source,
                const std::vector<float>& columns, const std::vector<float>& rows) {
  double off = 0, norm = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double row = rows.empty() ? 1.0 : static_cast<double>(rows[i / columns.size()]);
    const double x = source[i];
    const double y = values[i] * row / static_cast<double>(columns[i % columns.size()]);
    off += (y - x) * (y - x);
    norm += x * x;
  }
  return std::sqrt(off / norm);
}

TEST_F(ColumnFactorsOfLlama, WhatTheModelComputesStays) {
  const ConvertResult result = convert("out.gguf");
  const auto out = values_of("out.gguf");
  std::map<std::string, double> errors;
  for (const TensorResult& tensor : result.tensors) {
    errors[tensor.name] = std::sqrt(tensor.squared_error / tensor.squared_norm);
  }
  const std::string at = "blk.0.";
  for (const auto& [norm, readers] :
       {std::pair(at + "attn_norm.weight", std::vector{"attn_q", "attn_k", "attn_v"}),
        std::pair(at + "ffn_norm.weight", std::vector{"ffn_gate"})}) {
    const std::vector<float> factors = divisors(out, norm);
    EXPECT_GT(factors[3], 1.2f * factors[4]) << norm;
    for (const char* reader : readers) {
      const std::string name = at + reader + ".weight";
      // The report is of the model's own columns.
      const double off = distance(out.at(name), source_.at(name), factors, {});
      EXPECT_NEAR(off, errors.at(name), 1e-4) << name;
      EXPECT_LT(off, 0.2) << name;
    }
  }
}

TEST_F(ColumnFactorsOfLlama, RowsOfUpAreDividedByTheColumnsOfDown) {
  const ConvertPlan planned = plan();
  const auto threads = ThreadPool::create(1).value();
  const ColumnFactors factors =
      ColumnFactors::choose(planned, *search_tables()[0], *threads, nullptr).value();
  for (const PlannedTensor& tensor : planned.tensors) {
    if (tensor.target.name != "blk.0.ffn_up.weight") continue;
    const Scaling up = factors.of_matrix(tensor.target);
    ASSERT_NE(up.rows, nullptr);
    ASSERT_NE(up.columns, nullptr);
    EXPECT_EQ(up.first_row, 0);
    EXPECT_GT(up.rows[3], up.rows[4]);
    std::vector<float> values(static_cast<size_t>(tensor.target.shape[1]), 1.0f);
    up.apply(3, 1, tensor.target.shape[1], values.data());
    EXPECT_FLOAT_EQ(values[3], up.columns[3] / up.rows[3]);
    up.undo(3, 1, tensor.target.shape[1], values.data());
    for (const float value : values) EXPECT_FLOAT_EQ(value, 1.0f);
  }
}

TEST_F(ColumnFactorsOfLlama, FactorsLowerTheWeightedErrorOfValues) {
  const auto error_of_values = [](const ConvertResult& result) {
    for (const TensorResult& tensor : result.tensors) {
      if (tensor.name == "blk.0.attn_v.weight") return tensor.weighted_error;
    }
    return -1.0;
  };
  const double scaled = error_of_values(convert("scaled.gguf"));
  // With a reader that is not searched for nothing is scaled.
  options_.rules = {{"*.attn_k.*", "q8_0"}, {"*.ffn_gate.*", "q8_0"}};
  const double plain = error_of_values(convert("plain.gguf"));
  EXPECT_LT(scaled, 0.95 * plain);
  const auto out = values_of("plain.gguf");
  for (const char* norm : {"blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"}) {
    EXPECT_EQ(out.at(norm), source_.at(norm)) << norm;
  }
}

TEST_F(ColumnFactorsOfLlama, NothingIsScaledWithoutASearchOrMeasuredColumns) {
  options_.effort = Effort::fast;
  convert("fast.gguf");
  options_.effort = Effort::balanced;
  options_.importance = nullptr;
  convert("estimated.gguf");
  for (const char* path : {"fast.gguf", "estimated.gguf"}) {
    EXPECT_EQ(values_of(path).at("blk.0.attn_norm.weight"), source_.at("blk.0.attn_norm.weight"))
        << path;
  }
}

TEST_F(ColumnFactorsOfLlama, BytesDoNotDependOnThreadsOrInstructionSet) {
  convert("one.gguf", 1, "reference");
  convert("three.gguf", 3);
  EXPECT_TRUE(files_->map("one.gguf").value()->text() == files_->map("three.gguf").value()->text());
}

TEST_F(ColumnFactorsOfLlama, IsCancelled) {
  CancelFlag flag;
  flag.request();
  const auto threads = ThreadPool::create(1).value();
  const auto got = ColumnFactors::choose(plan(), *search_tables()[0], *threads, &flag);
  EXPECT_EQ(got.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace phial

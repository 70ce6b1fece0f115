// The executor runs ranges of steps and shows what each step's matrices read.
#include "engine/cpu/executor.h"

#include <gtest/gtest.h>

#include "engine/golden_models.h"

namespace phial {
namespace {

class ExecutorTest : public testing::TestWithParam<const char*> {
 protected:
  ExecutorTest()
      : golden_(load_golden(GetParam())),
        model_(load_model(GetParam())),
        runtime_(must(Runtime::create(2, "", disk_files()))),
        executor_(runtime_, model_, must(make_cpu_weights(*runtime_, *model_, Compute::fp32))),
        cache_(KvLayout::of(model_->spec), 100) {
    must(cache_.reserve(kRows));
    batch_.rows = kRows;
    batch_.tokens.assign(golden_.prompt_ids.begin(), golden_.prompt_ids.begin() + kRows);
    batch_.embeddings.assign(kRows, nullptr);
    batch_.segments = {{&cache_, 0, kRows, 0}};
    batch_.logits_rows = {kRows - 1};
    logits_.resize(static_cast<size_t>(model_->spec.vocabulary));
    batch_.logits = logits_.data();
    hidden_.resize(static_cast<size_t>(kRows * model_->spec.hidden));
  }

  // Few rows and many rows take different kernels; both are covered by the golden tests.
  static constexpr int64_t kRows = 12;
  Golden golden_;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Runtime> runtime_;
  CpuExecutor executor_;
  KvCache cache_;
  RowBatch batch_;
  std::vector<float> logits_;
  std::vector<float> hidden_;
};

TEST_P(ExecutorTest, RangesOfStepsAddUpToTheWhole) {
  const size_t steps = executor_.plan().size();
  must(executor_.run(0, steps, batch_, hidden_.data(), {}, nullptr));
  const std::vector<float> whole = logits_;
  std::fill(logits_.begin(), logits_.end(), 0.0f);
  size_t cut = 0;
  while (cut < steps) {
    // A parallel block hands `normed` from attention to mlp inside the executor, so any cut is
    // fine.
    const size_t next = std::min(steps, cut + 1 + cut % 3);
    must(executor_.run(cut, next, batch_, hidden_.data(), {}, nullptr));
    cut = next;
  }
  EXPECT_EQ(logits_, whole);
}

TEST_P(ExecutorTest, ObserverSeesWhatTheMatricesRead) {
  const ModelSpec& spec = model_->spec;
  std::vector<PlanOp> ops;
  std::vector<float> down_input;
  std::vector<float> before;
  const StepObserver observer = [&](const PlanStep& step, const float* input, int64_t rows,
                                    int64_t width) {
    ops.push_back(step.op);
    EXPECT_EQ(rows, step.op == PlanOp::head ? 1 : kRows);
    const int64_t q_width = spec.attention.heads * spec.attention.head_dim;
    const int64_t want = step.op == PlanOp::attention_output ? q_width
                         : step.op == PlanOp::mlp_output     ? spec.intermediate
                                                             : spec.hidden;
    EXPECT_EQ(width, want);
    if (step.op == PlanOp::mlp_output && step.layer == spec.layers - 1) {
      down_input.assign(input, input + rows * width);
      before = hidden_;
    }
  };
  must(executor_.run(0, executor_.plan().size() - 1, batch_, hidden_.data(), observer, nullptr));
  ASSERT_EQ(ops.size(), static_cast<size_t>(spec.layers) * 4);
  EXPECT_EQ(ops[0], PlanOp::attention_input);
  EXPECT_EQ(ops[1], PlanOp::attention_output);
  EXPECT_EQ(ops[2], PlanOp::mlp_input);
  EXPECT_EQ(ops[3], PlanOp::mlp_output);

  // hidden += down(input), recomputed in double precision from the observed input.
  const Linear& down = model_->weights.layers.back().down;
  std::vector<float> row(static_cast<size_t>(spec.intermediate));
  for (int64_t r = 0; r < spec.hidden; ++r) {
    decode_row(down.weight.grid, down.weight.row(r), spec.intermediate, row.data());
    for (int64_t m = 0; m < kRows; ++m) {
      double sum = down.bias.empty() ? 0.0 : static_cast<double>(down.bias[static_cast<size_t>(r)]);
      double magnitude = 1e-6;
      for (int64_t c = 0; c < spec.intermediate; ++c) {
        const double product =
            static_cast<double>(row[static_cast<size_t>(c)]) *
            static_cast<double>(down_input[static_cast<size_t>(m * spec.intermediate + c)]);
        sum += product;
        magnitude += std::abs(product);
      }
      const auto at = static_cast<size_t>(m * spec.hidden + r);
      const double got = static_cast<double>(hidden_[at]) - static_cast<double>(before[at]);
      // n roundings of the sum of magnitudes, and two of the values that are subtracted.
      const double bound = static_cast<double>(spec.intermediate + 2) * 0x1p-24 *
                           (magnitude + std::abs(static_cast<double>(hidden_[at])));
      EXPECT_NEAR(got, sum, bound) << "row " << m << ", column " << r;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ExecutorTest, testing::Values("llama-smol", "phi2", "phi3-plain"),
                         [](const testing::TestParamInfo<const char*>& model) {
                           std::string name = model.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace phial

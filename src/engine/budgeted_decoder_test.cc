#include "engine/budgeted_decoder.h"

#include <gtest/gtest.h>

#include "engine/golden_models.h"
#include "engine/memory_need.h"
#include "kernels/packed.h"

namespace phial {
namespace {

constexpr int64_t kMegabyte = int64_t{1} << 20;

class BudgetedDecoderTest : public testing::Test {
 protected:
  std::shared_ptr<const Runtime> runtime(int64_t max_memory) {
    return must(Runtime::create(1, "", disk_files(), max_memory));
  }
  Result<std::shared_ptr<Decoder>> decoder(std::shared_ptr<const Runtime> runtime) {
    return with_memory_budget(must(make_native_decoder(runtime, model_)), runtime, model_->spec);
  }
  // What is needed to open a sequence of `context` tokens and to compute its tokens one by one.
  int64_t need(int64_t context) const {
    return pass_bytes(model_->spec, kLeastPassRows, 1) + kv_bytes(model_->spec, context) +
           held_logits_bytes(model_->spec);
  }

  const std::shared_ptr<const Model> model_ = load_model("llama-smol");
  const std::vector<int32_t> prompt_ = {5, 6, 7};
};

TEST_F(BudgetedDecoderTest, WithoutABudgetNothingIsCounted) {
  auto unlimited = runtime(0);
  auto native = must(make_native_decoder(unlimited, model_));
  EXPECT_EQ(must(with_memory_budget(native, unlimited, model_->spec)), native);
}

TEST_F(BudgetedDecoderTest, TheFigureIsEnoughAndOneByteLessIsNot) {
  const int64_t context = 100;
  auto enough = must(decoder(runtime(need(context))));
  Logits logits;
  Step step;
  step.sequence = must(enough->open(context));
  step.tokens = prompt_;
  for (int i = 0; i < 3; ++i) must(enough->forward({&step, 1}, logits, nullptr));
  EXPECT_EQ(logits.rows(), 1);

  const auto refused = must(decoder(runtime(need(context) - 1)))->open(context);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::over_limit);
}

TEST_F(BudgetedDecoderTest, RoundedInputsAreCounted) {
  const ModelSpec& spec = model_->spec;
  const auto need_of = [&spec](Compute compute) {
    return pass_bytes(spec, kMostPassRows, 1, {.compute = compute, .kv = KvType::f32});
  };
  int64_t taken = 0;
  for (const int64_t width : {spec.hidden, spec.intermediate}) {
    QuantizedRows shape;
    shape.rows = kMostPassRows;
    shape.tile.rows = kMostTileRows;
    shape.columns = width;
    taken += quantized_bytes(shape);
  }
  EXPECT_GE(need_of(Compute::int8) - need_of(Compute::fp32), taken);
}

TEST_F(BudgetedDecoderTest, TheHintNamesTheLargestContextThatFits) {
  auto limited = must(decoder(runtime(need(3 * 64) + 1)));
  const auto refused = limited->open(512);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().hint, "a context of 192 fits");
  EXPECT_TRUE(limited->open(192).ok());
  // Nothing is left for a second one.
  EXPECT_EQ(limited->open(1).error().hint, "allow more memory");
}

TEST_F(BudgetedDecoderTest, ClosedSequencesGiveBackWhatTheyTook) {
  auto limited = must(decoder(runtime(need(64))));
  for (int i = 0; i < 3; ++i) {
    const SequenceId sequence = must(limited->open(64));
    EXPECT_FALSE(limited->open(64).ok());
    limited->close(sequence);
  }
}

TEST_F(BudgetedDecoderTest, ForksAreChargedLikeSequences) {
  auto limited = must(decoder(runtime(need(64) + kv_bytes(model_->spec, 64))));
  const SequenceId first = must(limited->open(64));
  const SequenceId second = must(limited->fork(first, 0));
  const auto third = limited->fork(first, 0);
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().code, ErrorCode::over_limit);
  limited->close(second);
  EXPECT_TRUE(limited->fork(first, 0).ok());
}

TEST_F(BudgetedDecoderTest, LogitsOfAllRowsCount) {
  auto limited = must(decoder(runtime(need(64))));
  Step step;
  step.sequence = must(limited->open(64));
  step.tokens = prompt_;
  step.logits = LogitsRows::all;
  Logits logits;
  const Status refused = limited->forward({&step, 1}, logits, nullptr);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::over_limit);
  EXPECT_EQ(limited->length(step.sequence), 0);
  step.logits = LogitsRows::last;
  must(limited->forward({&step, 1}, logits, nullptr));
  // The next pass's row and the one that is kept fit together.
  must(limited->forward({&step, 1}, logits, nullptr));
}

TEST_F(BudgetedDecoderTest, BuffersAreRefusedWhenTheModelIsLoaded) {
  const auto refused = decoder(runtime(1000));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::over_limit);
}

// What a hint proposes is enough.
TEST_F(BudgetedDecoderTest, FewerThreadsAreProposedWhereTheyHelp) {
  const int64_t least = least_bytes(model_->spec, 1, {});
  ASSERT_LT(least, pass_bytes(model_->spec, kLeastPassRows, 16));
  for (const int64_t missing : {0, 1}) {
    const auto threads = must(Runtime::create(16, "", disk_files(), least - missing));
    EXPECT_EQ(decoder(threads).error().hint,
              missing == 0 ? "allow more memory, or use fewer threads" : "allow more memory");
  }
  EXPECT_TRUE(must(decoder(runtime(least)))->open(1).ok());
}

// A pass takes the most rows whose buffers are a quarter of the memory that is left.
TEST_F(BudgetedDecoderTest, PassesAreShortWhereMemoryIs) {
  const ModelSpec& spec = model_->spec;
  EXPECT_EQ(choose_pass_rows(spec, 1, {}, nullptr), kMostPassRows);
  for (const int64_t rows : {kMostPassRows, int64_t{256}, int64_t{128}}) {
    const int64_t bytes = 4 * pass_bytes(spec, rows, 1);
    const MemoryBudget enough(bytes), too_little(bytes - 1);
    EXPECT_EQ(choose_pass_rows(spec, 1, {}, &enough), rows);
    EXPECT_EQ(choose_pass_rows(spec, 1, {}, &too_little), rows / 2);
  }
  const MemoryBudget none(0);
  EXPECT_EQ(choose_pass_rows(spec, 1, {}, &none), kLeastPassRows);
}

TEST_F(BudgetedDecoderTest, ShortPassesGiveTheSameLogits) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 200; ++i) tokens.push_back(5 + i * 7 % 50);
  Logits logits[2];
  const std::shared_ptr<Decoder> decoders[] = {must(decoder(runtime(0))),
                                               must(decoder(runtime(need(256))))};
  EXPECT_EQ(decoders[0]->traits().pass_rows, kMostPassRows);
  EXPECT_EQ(decoders[1]->traits().pass_rows, kLeastPassRows);
  for (int i = 0; i < 2; ++i) {
    Step step;
    step.sequence = must(decoders[i]->open(256));
    step.tokens = tokens;
    must(decoders[i]->forward({&step, 1}, logits[i], nullptr));
  }
  ASSERT_EQ(logits[0].values.size(), logits[1].values.size());
  for (size_t v = 0; v < logits[0].values.size(); ++v) {
    EXPECT_NEAR(logits[0].values[v], logits[1].values[v], 1e-4) << v;
  }
}

TEST(MemoryNeed, SaturatesInsteadOfOverflowing) {
  ModelSpec spec;
  spec.layers = 1024;
  spec.attention.heads = spec.attention.kv_heads = spec.attention.head_dim = 1024;
  spec.hidden = spec.intermediate = int64_t{1} << 20;
  spec.vocabulary = int64_t{1} << 24;
  EXPECT_EQ(kv_bytes(spec, int64_t{1} << 30), INT64_MAX);
  EXPECT_EQ(kv_bytes(spec, 1), int64_t{8} * 1024 * 1024 * 1024 * 64);
  EXPECT_EQ(logits_bytes(spec, INT64_MAX / 2), INT64_MAX);
  EXPECT_GT(pass_bytes(spec, kLeastPassRows, 1024), 1024 * kMegabyte);
}

}  // namespace
}  // namespace phial

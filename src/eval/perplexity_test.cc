#include "eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/budgeted_decoder.h"
#include "engine/golden_models.h"
#include "engine/memory_need.h"

namespace phial {
namespace {

Json golden_perplexities() {
  const auto files = disk_files();
  return must(parse_json(must(read_text(*files, kGoldenModels + "../perplexity.json", 1u << 20)),
                         "perplexity.json"));
}

std::unique_ptr<Sequence> open_sequence(const std::string& name, int64_t context = 0) {
  return must(Sequence::create(load_decoder(name, "", 1), context));
}

TEST(Perplexity, IsThatOfTransformers) {
  // transformers averages each window in float32: at a loss near 10 and 200 terms, rounding may
  // reach 10 * 2^-24 * 200; the logits themselves differ by less.
  constexpr double kTolerance = 1.2e-4;
  const Json golden = golden_perplexities();
  int compared = 0;
  for (const Json& model : *golden.if_array()) {
    const std::string& name = *model.find("model")->if_string();
    const std::vector<int32_t> ids = ids_of(*model.find("ids"));
    const auto sequence = open_sequence(name);
    for (const Json& result : *model.find("results")->if_array()) {
      const WindowOptions options{.context = *result.find("context")->if_integer(),
                                  .stride = *result.find("stride")->if_integer()};
      const PerplexityReport report = must(perplexity(*sequence, ids, options, {}, nullptr));
      const std::string where =
          name + " " + std::to_string(options.context) + "/" + std::to_string(options.stride);
      EXPECT_EQ(report.tokens, *result.find("tokens")->if_integer()) << where;
      EXPECT_NEAR(report.nll, *result.find("nll")->number(), kTolerance) << where;
      EXPECT_DOUBLE_EQ(report.perplexity, std::exp(report.nll)) << where;
      EXPECT_EQ(sequence->length(), 0) << where;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 15);
}

class PerplexityTest : public testing::Test {
 protected:
  std::unique_ptr<Sequence> sequence_ = open_sequence("llama-smol", 128);
  std::vector<int32_t> ids_ = ids_of(*golden_perplexities().if_array()->front().find("ids"));
};

TEST_F(PerplexityTest, TellsHowFarItIs) {
  int64_t last = 0;
  int64_t calls = 0;
  const auto on_scored = [&](int64_t scored, int64_t total) {
    EXPECT_GT(scored, last);
    EXPECT_EQ(total, static_cast<int64_t>(ids_.size()) - 1);
    last = scored;
    ++calls;
    return true;
  };
  const PerplexityReport report =
      must(perplexity(*sequence_, ids_, {.context = 64, .stride = 16}, on_scored, nullptr));
  EXPECT_EQ(last, report.tokens);
  EXPECT_EQ(calls, report.windows);
}

// With memory for the logits of a few rows beside what a context takes, a window's come in pieces.
TEST_F(PerplexityTest, LogitsComeInPiecesThatMemoryHasRoomFor) {
  const auto model = load_model("llama-smol");
  const int64_t most = pass_bytes(model->spec, kLeastPassRows, 1) + kv_bytes(model->spec, 64) +
                       logits_bytes(model->spec, 2 * 3);  // one piece while the last one is held
  const auto runtime = must(Runtime::create(1, "", disk_files(), most));
  const auto decoder =
      must(with_memory_budget(must(make_native_decoder(runtime, model)), runtime, model->spec));
  const WindowOptions options{.context = 64, .stride = 64};
  const auto limited = must(Sequence::create(decoder, 64));
  const PerplexityReport got = must(perplexity(*limited, ids_, options, {}, nullptr));
  const PerplexityReport want = must(perplexity(*sequence_, ids_, options, {}, nullptr));
  EXPECT_EQ(got.tokens, want.tokens);
  EXPECT_NEAR(got.nll, want.nll, 1e-6);
}

TEST_F(PerplexityTest, CanBeStopped) {
  const WindowOptions options{.context = 64, .stride = 16};
  const auto stop = [](int64_t, int64_t) { return false; };
  auto stopped = perplexity(*sequence_, ids_, options, stop, nullptr);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  EXPECT_EQ(sequence_->length(), 0);
  CancelFlag cancel;
  cancel.request();
  auto cancelled = perplexity(*sequence_, ids_, options, {}, &cancel);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
  EXPECT_EQ(sequence_->length(), 0);
}

TEST_F(PerplexityTest, RefusesWhatMakesNoSense) {
  const auto code = [&](int64_t context, int64_t stride, std::vector<int32_t> ids) {
    auto result = perplexity(*sequence_, ids, {.context = context, .stride = stride}, {}, nullptr);
    return result.ok() ? ErrorCode::internal : result.error().code;
  };
  EXPECT_EQ(code(1, 1, ids_), ErrorCode::usage);
  EXPECT_EQ(code(129, 1, ids_), ErrorCode::over_limit);
  EXPECT_EQ(code(64, 0, ids_), ErrorCode::usage);
  EXPECT_EQ(code(64, 65, ids_), ErrorCode::usage);
  EXPECT_EQ(code(64, 16, {1}), ErrorCode::invalid_input);
  EXPECT_EQ(code(64, 16, {}), ErrorCode::invalid_input);
  EXPECT_EQ(code(64, 16, {1, -1}), ErrorCode::invalid_input);
  EXPECT_EQ(code(64, 16, {1, 416}), ErrorCode::invalid_input);
}

TEST_F(PerplexityTest, TwoTokensAreEnough) {
  const PerplexityReport report = must(perplexity(*sequence_, std::vector<int32_t>{5, 6},
                                                  {.context = 128, .stride = 128}, {}, nullptr));
  EXPECT_EQ(report.tokens, 1);
}

}  // namespace
}  // namespace phial

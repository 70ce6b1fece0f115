#include "generate/generate.h"

#include <gtest/gtest.h>

#include "engine/golden_models.h"

namespace phial {
namespace {

class GenerateTest : public testing::Test {
 protected:
  GenerateTest()
      : golden_(load_golden("llama-smol")), decoder_(load_decoder("llama-smol", "", 2)) {}

  std::unique_ptr<Sequence> prompt(int64_t context = 0) {
    auto sequence = must(Sequence::create(decoder_, context));
    must(sequence->append(golden_.prompt_ids));
    return sequence;
  }
  Output run(Sequence& sequence, const GenerateOptions& options, const OnToken& on_token = {},
             const CancelFlag* cancel = nullptr) {
    Rng rng(1);
    GenerateRequest request;
    request.sequence = &sequence;
    request.options = options;
    request.rng = &rng;
    request.on_token = on_token;
    request.cancel = cancel;
    result_ = must(generate(request));
    EXPECT_EQ(result_.outputs.size(), 1u);
    return result_.outputs.front();
  }
  std::vector<int32_t> golden(size_t n) const {
    return {golden_.greedy_ids.begin(), golden_.greedy_ids.begin() + static_cast<int64_t>(n)};
  }

  Golden golden_;
  std::shared_ptr<Decoder> decoder_;
  GenerateResult result_;
};

TEST_F(GenerateTest, StopsAtTheLength) {
  const auto sequence = prompt();
  const Output result = run(*sequence, {.max_new_tokens = 5});
  EXPECT_EQ(result.ids, golden(5));
  EXPECT_EQ(result.finish, FinishReason::length);
  EXPECT_EQ(result_.prompt_tokens, 64);
  EXPECT_EQ(sequence->length(), 69);
  EXPECT_EQ(sequence->computed(), 68);
  EXPECT_TRUE(run(*sequence, {.max_new_tokens = 0}).ids.empty());
  // Going on later is the same as having gone on.
  EXPECT_EQ(run(*sequence, {.max_new_tokens = 2}).ids,
            std::vector<int32_t>(golden_.greedy_ids.begin() + 5, golden_.greedy_ids.begin() + 7));
}

TEST_F(GenerateTest, StopsBehindAnEndToken) {
  const auto sequence = prompt();
  const Output result =
      run(*sequence, {.max_new_tokens = 20, .end_ids = {9999, golden_.greedy_ids[3]}});
  EXPECT_EQ(result.ids, golden(4));
  EXPECT_EQ(result.finish, FinishReason::stop);
}

TEST_F(GenerateTest, StopsAtTheContext) {
  const auto sequence = prompt(70);
  const Output result = run(*sequence, {});
  EXPECT_EQ(result.ids, golden(6));
  EXPECT_EQ(result.finish, FinishReason::length);
  EXPECT_EQ(sequence->length(), 70);
}

TEST_F(GenerateTest, StopsWhenTheCallbackSaysSo) {
  const auto sequence = prompt();
  std::vector<int32_t> seen;
  const Output result = run(*sequence, {.max_new_tokens = 20}, [&](int32_t id, std::string_view) {
    seen.push_back(id);
    return seen.size() < 3;
  });
  EXPECT_EQ(seen, golden(3));
  EXPECT_EQ(result.ids, golden(3));
  EXPECT_EQ(result.finish, FinishReason::cancelled);
}

TEST_F(GenerateTest, CancellationKeepsWhatWasProduced) {
  const auto sequence = prompt();
  CancelFlag cancel;
  const OnToken after_two = [&, n = 0](int32_t, std::string_view) mutable {
    if (++n == 2) cancel.request();
    return true;
  };
  const Output result = run(*sequence, {.max_new_tokens = 20}, after_two, &cancel);
  EXPECT_EQ(result.ids, golden(2));
  EXPECT_EQ(result.finish, FinishReason::cancelled);
  cancel.reset();
  EXPECT_EQ(run(*sequence, {.max_new_tokens = 1}, {}, &cancel).ids[0], golden_.greedy_ids[2]);
}

TEST_F(GenerateTest, CancelledBeforeTheFirstToken) {
  const auto sequence = prompt();
  CancelFlag cancel;
  cancel.request();
  const Output result = run(*sequence, {.max_new_tokens = 20}, {}, &cancel);
  EXPECT_TRUE(result.ids.empty());
  EXPECT_EQ(result.finish, FinishReason::cancelled);
  EXPECT_EQ(sequence->length(), 64);
}

TEST_F(GenerateTest, EmptySequenceIsAUsageError) {
  auto sequence = must(Sequence::create(decoder_, 0));
  Rng rng(1);
  GenerateRequest request;
  request.sequence = sequence.get();
  request.rng = &rng;
  EXPECT_EQ(generate(request).error().code, ErrorCode::usage);
}

TEST_F(GenerateTest, AppendChecksIdsAndRoom) {
  auto sequence = must(Sequence::create(decoder_, 3));
  const std::vector<int32_t> outside = {1, static_cast<int32_t>(golden_.vocabulary)};
  EXPECT_EQ(sequence->append(outside).error().code, ErrorCode::invalid_input);
  EXPECT_EQ(sequence->append(golden_.prompt_ids).error().code, ErrorCode::context_full);
  EXPECT_EQ(sequence->length(), 0);
  EXPECT_EQ(Sequence::create(decoder_, 1 << 20).error().code, ErrorCode::over_limit);
  EXPECT_EQ(Sequence::create(decoder_, -1).error().code, ErrorCode::usage);
}

}  // namespace
}  // namespace phial

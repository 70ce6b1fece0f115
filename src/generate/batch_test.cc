// Many answers at once: batches, several answers of one prompt, beams; each is what it would be
// alone, also across threads and cancellations.
#include <chrono>
#include <cmath>
#include <thread>

#include "generate/request_help.h"

namespace phial {
namespace {

// Eight requests that have nothing in common but the model.
std::vector<GenerateOptions> eight_kinds() {
  std::vector<GenerateOptions> kinds(8);
  for (size_t i = 0; i < kinds.size(); ++i) {
    kinds[i].max_new_tokens = 12 + static_cast<int64_t>(3 * i);
    kinds[i].logprobs = static_cast<int32_t>(i % 3);
  }
  kinds[1].repetition_penalty = 1.3f;
  kinds[2].sampling = {.do_sample = true, .temperature = 1.2f, .top_k = 40};
  kinds[3].beams.num_beams = 3;
  kinds[3].num_return_sequences = 2;
  kinds[4].sampling = {.do_sample = true, .top_p = 0.9f, .min_p = 0.01f};
  kinds[4].num_return_sequences = 3;
  kinds[5].no_repeat_ngram_size = 2;
  kinds[5].end_ids = {20, 30, 40, 50, 60, 70};
  kinds[6].sampling = {.do_sample = true, .temperature = 0.9f, .typical_p = 0.9f};
  kinds[6].beams = {.num_beams = 4, .length_penalty = 0.5f};
  kinds[6].end_ids = {7, 8, 9};
  kinds[7].presence_penalty = 0.4f;
  kinds[7].frequency_penalty = 0.2f;
  kinds[7].stop_strings = {"e", "BB"};
  return kinds;
}

void expect_same(const std::vector<Output>& got, const std::vector<Output>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].ids, expected[i].ids);
    EXPECT_EQ(got[i].text, expected[i].text);
    EXPECT_EQ(got[i].finish, expected[i].finish);
    EXPECT_EQ(got[i].score, expected[i].score);  // to the bit
    ASSERT_EQ(got[i].logprobs.size(), expected[i].logprobs.size());
    for (size_t t = 0; t < got[i].logprobs.size(); ++t) {
      const TokenLogprobs& a = got[i].logprobs[t];
      const TokenLogprobs& b = expected[i].logprobs[t];
      EXPECT_EQ(a.chosen.logprob, b.chosen.logprob);
      ASSERT_EQ(a.top.size(), b.top.size());
      for (size_t k = 0; k < a.top.size(); ++k) {
        EXPECT_EQ(a.top[k].id, b.top[k].id);
        EXPECT_EQ(a.top[k].logprob, b.top[k].logprob);
      }
    }
  }
}

class Batches : public testing::Test {
 protected:
  static size_t prompt_tokens(size_t i) { return 5 + 7 * i; }

  std::vector<GenerateResult> alone() {
    std::vector<GenerateResult> results;
    for (size_t i = 0; i < kinds_.size(); ++i) {
      results.push_back(model_.answer(kinds_[i], prompt_tokens(i)));
    }
    return results;
  }

  GoldenModel model_{"llama-smol"};
  std::vector<GenerateOptions> kinds_ = eight_kinds();
};

TEST_F(Batches, EachGetsWhatItWouldGetAlone) {
  const std::vector<GenerateResult> expected = alone();
  std::vector<std::unique_ptr<Sequence>> sequences;
  std::vector<Rng> rngs(kinds_.size(), Rng(1));
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < kinds_.size(); ++i) {
    sequences.push_back(model_.prompt(prompt_tokens(i)));
    requests.push_back(model_.request(*sequences.back(), kinds_[i], rngs[i]));
  }
  const std::vector<Result<GenerateResult>> results = generate_batch(requests);
  ASSERT_EQ(results.size(), kinds_.size());
  for (size_t i = 0; i < results.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_TRUE(results[i].ok());
    expect_same(results[i]->outputs, expected[i].outputs);
    const auto& tokens = sequences[i]->tokens();
    const auto& best = results[i]->outputs.front().ids;
    EXPECT_EQ(std::vector<int32_t>(tokens.begin() + static_cast<ptrdiff_t>(prompt_tokens(i)),
                                   tokens.end()),
              best);
  }
}

TEST_F(Batches, OneThatFailsLeavesTheOthersRunning) {
  const std::vector<GenerateResult> expected = alone();
  kinds_[0].max_new_tokens = -7;
  kinds_[2].edit_scores = [](size_t, std::span<const int32_t> tokens, std::span<float>) -> Status {
    if (tokens.size() < prompt_tokens(2) + 4) return {};
    return failed("scores", "enough");
  };
  kinds_[5].edit_scores = [](size_t, std::span<const int32_t>, std::span<float> scores) -> Status {
    std::ranges::fill(scores, -INFINITY);
    return {};
  };
  std::vector<std::unique_ptr<Sequence>> sequences;
  std::vector<Rng> rngs(kinds_.size(), Rng(1));
  std::vector<GenerateRequest> requests;
  CancelFlag cancel;
  for (size_t i = 0; i < kinds_.size(); ++i) {
    sequences.push_back(model_.prompt(prompt_tokens(i)));
    requests.push_back(model_.request(*sequences.back(), kinds_[i], rngs[i]));
  }
  requests[1].cancel = &cancel;
  requests[1].on_token = [&cancel, n = 0](int32_t, std::string_view) mutable {
    if (++n == 3) cancel.request();
    return true;
  };
  const auto results = generate_batch(requests);
  EXPECT_EQ(results[0].error().code, ErrorCode::usage);
  EXPECT_EQ(results[2].error().where, "scores");
  EXPECT_EQ(results[5].error().code, ErrorCode::failed);
  ASSERT_TRUE(results[1].ok());
  EXPECT_EQ(results[1]->outputs[0].finish, FinishReason::cancelled);
  EXPECT_EQ(results[1]->outputs[0].ids.size(), 3u);
  for (const size_t i : {3, 4, 6, 7}) {
    SCOPED_TRACE(i);
    ASSERT_TRUE(results[i].ok());
    expect_same(results[i]->outputs, expected[i].outputs);
  }
}

TEST_F(Batches, ThreadsShareAModel) {
  const std::vector<GenerateResult> expected = alone();
  std::vector<GenerateResult> results(kinds_.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kinds_.size(); ++i) {
    threads.emplace_back(
        [this, i, &results] { results[i] = model_.answer(kinds_[i], prompt_tokens(i)); });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < kinds_.size(); ++i) {
    SCOPED_TRACE(i);
    expect_same(results[i].outputs, expected[i].outputs);
  }
}

TEST_F(Batches, AnswersOfOnePromptAreThoseOfTheirSeeds) {
  GenerateOptions options = kinds_[4];
  const GenerateResult together = model_.answer(options);
  options.num_return_sequences = 1;
  for (uint64_t i = 0; i < 3; ++i) {
    const auto sequence = model_.prompt();
    Rng rng(1 + i);
    const GenerateResult one = must(generate(model_.request(*sequence, options, rng)));
    expect_same(one.outputs, {together.outputs[i]});
  }
  EXPECT_NE(together.outputs[0].ids, together.outputs[1].ids);
}

TEST_F(Batches, CancelledAtAnyInstantASequenceGoesOnAsIfNothingWas) {
  // Whole runs to compare with, greedy so that the random numbers do not matter.
  const GenerateOptions options = {.max_new_tokens = 30};
  const std::vector<int32_t> whole = model_.answer(options).outputs[0].ids;
  GenerateOptions beams = options;
  beams.beams.num_beams = 3;
  const std::vector<int32_t> best = model_.answer(beams).outputs[0].ids;
  Rng chance(5);
  for (int round = 0; round < 12; ++round) {
    const auto sequence = model_.prompt();
    CancelFlag cancel;
    const auto wait = std::chrono::microseconds(chance.next() % 20000);
    std::thread other([&cancel, wait] {
      std::this_thread::sleep_for(wait);
      cancel.request();
    });
    Rng rng(1);
    const bool with_beams = round % 3 == 2;
    GenerateRequest request = model_.request(*sequence, with_beams ? beams : options, rng);
    request.cancel = &cancel;
    const GenerateResult cut = must(generate(request));
    other.join();
    const std::vector<int32_t>& ids = cut.outputs[0].ids;
    ASSERT_EQ(sequence->length(), 64 + static_cast<int64_t>(ids.size()));
    if (with_beams) {
      must(sequence->rewind(64));
      Rng again(1);
      EXPECT_EQ(must(generate(model_.request(*sequence, beams, again))).outputs[0].ids, best);
      continue;
    }
    ASSERT_LE(ids.size(), whole.size());
    EXPECT_TRUE(std::equal(ids.begin(), ids.end(), whole.begin()));
    GenerateOptions rest = options;
    rest.max_new_tokens = 30 - static_cast<int64_t>(ids.size());
    const auto after = must(generate(model_.request(*sequence, rest, rng))).outputs[0].ids;
    EXPECT_EQ(after, std::vector<int32_t>(whole.begin() + static_cast<ptrdiff_t>(ids.size()),
                                          whole.end()));
  }
}

TEST_F(Batches, CancelledBeamsGiveTheBestSoFar) {
  GenerateOptions options;
  options.max_new_tokens = 30;
  options.beams.num_beams = 4;
  options.num_return_sequences = 3;
  CancelFlag cancel;
  options.edit_scores = [&cancel](size_t, std::span<const int32_t> tokens,
                                  std::span<float>) -> Status {
    if (tokens.size() == 64 + 6) cancel.request();
    return {};
  };
  const auto sequence = model_.prompt();
  Rng rng(1);
  GenerateRequest request = model_.request(*sequence, options, rng);
  request.cancel = &cancel;
  const GenerateResult result = must(generate(request));
  ASSERT_EQ(result.outputs.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result.outputs[i].finish, FinishReason::cancelled);
    EXPECT_EQ(result.outputs[i].ids.size(), 7u);
    const float above = i == 0 ? 0.0f : result.outputs[i - 1].score;
    EXPECT_LE(result.outputs[i].score, above);
  }
}

TEST_F(Batches, MoreBeamsThanOnePassHoldsStillRun) {
  GenerateOptions options;
  options.max_new_tokens = 6;
  options.beams.num_beams = 19;
  options.num_return_sequences = 19;
  const GenerateResult result = model_.answer(options);
  ASSERT_EQ(result.outputs.size(), 19u);
  for (size_t i = 1; i < 19; ++i) {
    EXPECT_LE(result.outputs[i].score, result.outputs[i - 1].score);
    EXPECT_NE(result.outputs[i].ids, result.outputs[i - 1].ids);
  }
}

TEST_F(Batches, BeamsReachTheContext) {
  const auto sequence = model_.prompt(64, 70);
  GenerateOptions options;
  options.beams.num_beams = 3;
  Rng rng(1);
  const GenerateResult result = must(generate(model_.request(*sequence, options, rng)));
  EXPECT_EQ(result.outputs[0].ids.size(), 6u);
  EXPECT_EQ(result.outputs[0].finish, FinishReason::length);
  EXPECT_EQ(sequence->length(), 70);
}

TEST_F(Batches, BeamsThatProcessorsLeaveOneTokenEach) {
  GenerateOptions options;
  options.max_new_tokens = 5;
  options.beams.num_beams = 4;
  options.num_return_sequences = 4;
  options.edit_scores = [](size_t, std::span<const int32_t> tokens,
                           std::span<float> scores) -> Status {
    const float kept = scores[tokens.size() % 7];
    std::ranges::fill(scores, -INFINITY);
    scores[tokens.size() % 7] = kept;
    return {};
  };
  const GenerateResult result = model_.answer(options);
  ASSERT_EQ(result.outputs.size(), 1u);
  EXPECT_EQ(result.outputs[0].ids, (std::vector<int32_t>{1, 2, 3, 4, 5}));
}

TEST(InstructionSets, GiveTheSameTokensForASeed) {
  const std::vector<GenerateOptions> kinds = eight_kinds();
  std::vector<std::vector<std::vector<int32_t>>> answers;
  for (const std::string isa : {"reference", "avx2", "avx512"}) {
    const auto runtime = Runtime::create(1, isa, disk_files());
    if (!runtime.ok()) continue;  // this machine lacks it
    const GoldenModel model("llama-smol", isa, 1);
    auto& ids = answers.emplace_back();
    for (const GenerateOptions& options : kinds) {
      for (const Output& output : model.answer(options, 40).outputs) ids.push_back(output.ids);
    }
  }
  for (size_t i = 1; i < answers.size(); ++i) EXPECT_EQ(answers[i], answers[0]);
  EXPECT_GE(answers.size(), 1u);
}

}  // namespace
}  // namespace phial

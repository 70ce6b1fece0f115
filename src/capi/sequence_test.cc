// Generation through the C interface, in steps and in one call, against the golden checkpoints.
#include <chrono>
#include <cmath>
#include <thread>

#include "capi/test_help.h"
#include "engine/golden_models.h"

namespace phial::capi {
namespace {

constexpr double kTolerance = 2e-4;  // of the logit range; see engine/golden_test.cc

class SequenceSteps : public testing::Test {
 protected:
  void append(const SequencePtr& sequence, std::span<const int32_t> ids) {
    must_succeed(phial_sequence_append(sequence.get(), ids.data(), ids.size()));
  }

  // The rows of the last compute, against golden rows from `first` on.
  void expect_rows(const SequencePtr& sequence, size_t first, int64_t expected_rows) {
    float* logits = nullptr;
    int64_t rows = 0, vocabulary = 0;
    must_succeed(phial_sequence_logits(sequence.get(), &logits, &rows, &vocabulary));
    ASSERT_EQ(rows, expected_rows);
    ASSERT_EQ(vocabulary, golden_.vocabulary);
    double worst = 0;
    for (int64_t i = 0; i < rows * vocabulary; ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(logits[i]) -
                                       static_cast<double>(golden_.row(first)[i])));
    }
    EXPECT_LE(worst, kTolerance * golden_.range);
  }

  // Goes on greedily from computed logits and expects the golden tokens from `next` on.
  void expect_greedy(const SequencePtr& sequence, size_t next, size_t count) {
    const phial_sampling greedy = PHIAL_SAMPLING_INIT;
    for (size_t i = next; i < next + count; ++i) {
      int32_t id = -1;
      must_succeed(phial_sequence_sample(sequence.get(), &greedy, &id));
      ASSERT_EQ(id, golden_.greedy_ids[i]) << i;
      append(sequence, {&id, 1});
      must_succeed(phial_sequence_compute_logits(sequence.get(), PHIAL_LOGITS_LAST));
    }
  }

  const Golden golden_ = load_golden("llama-smol");
  const ContextPtr context_ = make_context();
  const ModelPtr model_ = load_golden_model(context_, "llama-smol");
  const SequencePtr sequence_ = make_sequence(model_);
  const std::span<const int32_t> prompt_ = golden_.prompt_ids;
};

TEST_F(SequenceSteps, AllRowsAreTheGoldenLogits) {
  append(sequence_, prompt_);
  EXPECT_EQ(phial_sequence_length(sequence_.get()), 64);
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_ALL));
  expect_rows(sequence_, 0, 64);
  expect_greedy(sequence_, 0, 8);
}

TEST_F(SequenceSteps, PiecesGiveTheRowsOfTheWhole) {
  append(sequence_, prompt_.first(17));
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_ALL));
  expect_rows(sequence_, 0, 17);
  append(sequence_, prompt_.subspan(17, 1));
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_ALL));
  expect_rows(sequence_, 17, 1);
  append(sequence_, prompt_.subspan(18));
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_ALL));
  expect_rows(sequence_, 18, 46);
}

TEST_F(SequenceSteps, RewindForgets) {
  append(sequence_, prompt_);
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_LAST));
  must_succeed(phial_sequence_rewind(sequence_.get(), 30));
  EXPECT_EQ(phial_sequence_length(sequence_.get()), 30);
  float* logits = nullptr;
  int64_t rows = 0, vocabulary = 0;
  EXPECT_EQ(code_of(phial_sequence_logits(sequence_.get(), &logits, &rows, &vocabulary)), "usage");
  append(sequence_, prompt_.subspan(30));
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_ALL));
  expect_rows(sequence_, 30, 34);
  EXPECT_EQ(code_of(phial_sequence_rewind(sequence_.get(), 65)), "usage");
  EXPECT_EQ(code_of(phial_sequence_rewind(sequence_.get(), -1)), "usage");
}

TEST_F(SequenceSteps, AForkGoesItsOwnWay) {
  append(sequence_, prompt_);
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_LAST));
  phial_sequence* raw = nullptr;
  must_succeed(phial_sequence_fork(sequence_.get(), &raw));
  const SequencePtr fork(raw);
  const int32_t other = 7;
  append(fork, {&other, 1});
  must_succeed(phial_sequence_compute_logits(fork.get(), PHIAL_LOGITS_LAST));
  EXPECT_EQ(phial_sequence_length(fork.get()), 65);
  EXPECT_EQ(phial_sequence_length(sequence_.get()), 64);
  expect_greedy(sequence_, 0, 8);
  must_succeed(phial_sequence_rewind(fork.get(), 63));
  append(fork, prompt_.subspan(63));
  must_succeed(phial_sequence_compute_logits(fork.get(), PHIAL_LOGITS_LAST));
  expect_greedy(fork, 0, 8);
}

TEST_F(SequenceSteps, LogitsMayBeChangedBeforeSampling) {
  append(sequence_, prompt_);
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_LAST));
  float* logits = nullptr;
  int64_t rows = 0, vocabulary = 0;
  must_succeed(phial_sequence_logits(sequence_.get(), &logits, &rows, &vocabulary));
  logits[123] = 1e6f;
  const phial_sampling greedy = PHIAL_SAMPLING_INIT;
  int32_t id = -1;
  must_succeed(phial_sequence_sample(sequence_.get(), &greedy, &id));
  EXPECT_EQ(id, 123);
}

TEST_F(SequenceSteps, SamplesOfOneSeedAreOneStream) {
  append(sequence_, prompt_);
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_LAST));
  phial_sequence* raw = nullptr;
  must_succeed(phial_sequence_fork(sequence_.get(), &raw));
  const SequencePtr fork(raw);
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  sampling.do_sample = 1;
  sampling.temperature = 4;  // flat: repeated draws differ
  sampling.seed = 1;
  sampling.has_seed = 1;
  must_succeed(phial_sequence_rewind(fork.get(), 63));
  append(fork, prompt_.subspan(63));
  must_succeed(phial_sequence_compute_logits(fork.get(), PHIAL_LOGITS_LAST));
  std::vector<int32_t> first(16), second(16);
  for (size_t i = 0; i < first.size(); ++i) {
    must_succeed(phial_sequence_sample(sequence_.get(), &sampling, &first[i]));
    must_succeed(phial_sequence_sample(fork.get(), &sampling, &second[i]));
  }
  EXPECT_EQ(first, second);
  EXPECT_NE(std::ranges::count(first, first[0]), 16);
  // Another seed begins another stream, and coming back begins the first one anew.
  sampling.seed = 2;
  int32_t id = -1;
  must_succeed(phial_sequence_sample(sequence_.get(), &sampling, &id));
  sampling.seed = 1;
  must_succeed(phial_sequence_sample(sequence_.get(), &sampling, &id));
  EXPECT_EQ(id, first[0]);
}

TEST_F(SequenceSteps, WrongCallsAreNamed) {
  EXPECT_EQ(code_of(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_LAST)), "usage");
  EXPECT_EQ(
      code_of(phial_sequence_compute_logits(sequence_.get(), static_cast<phial_logits_rows>(2))),
      "usage");
  int32_t id = 0;
  EXPECT_EQ(code_of(phial_sequence_sample(sequence_.get(), nullptr, &id)), "usage");
  for (const int32_t outside : {-1, 416, INT32_MAX}) {
    EXPECT_EQ(code_of(phial_sequence_append(sequence_.get(), &outside, 1)), "invalid_input");
  }
  EXPECT_EQ(phial_sequence_length(sequence_.get()), 0);
  append(sequence_, prompt_);
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_LAST));
  for (const float temperature : {0.0f, -1.0f, NAN, INFINITY}) {
    phial_sampling sampling = PHIAL_SAMPLING_INIT;
    sampling.do_sample = 1;
    sampling.temperature = temperature;
    EXPECT_EQ(code_of(phial_sequence_sample(sequence_.get(), &sampling, &id)), "usage");
  }
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  sampling.top_p = 7;
  EXPECT_EQ(code_of(phial_sequence_sample(sequence_.get(), &sampling, &id)), "usage");
}

TEST_F(SequenceSteps, TheContextIsALimit) {
  phial_sequence_options options = PHIAL_SEQUENCE_OPTIONS_INIT;
  options.context = 10;
  phial_sequence* raw = nullptr;
  must_succeed(phial_sequence_create(model_.get(), &options, &raw));
  const SequencePtr sequence(raw);
  phial_error* error = phial_sequence_append(sequence.get(), prompt_.data(), 11);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(phial_error_exit_code(error), 6);
  EXPECT_EQ(code_of(error), "context_full");
  append(sequence, prompt_.first(10));
  options.context = 513;  // the model's is 512
  EXPECT_EQ(code_of(phial_sequence_create(model_.get(), &options, &raw)), "over_limit");
  options.context = -1;
  EXPECT_EQ(code_of(phial_sequence_create(model_.get(), &options, &raw)), "usage");
}

TEST_F(SequenceSteps, CancellationIsForTheNextCallAndThenOver) {
  append(sequence_, prompt_);
  phial_sequence_cancel(sequence_.get());
  phial_error* error = phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_LAST);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(phial_error_exit_code(error), 130);
  EXPECT_EQ(code_of(error), "cancelled");
  EXPECT_EQ(phial_sequence_length(sequence_.get()), 64);
  must_succeed(phial_sequence_compute_logits(sequence_.get(), PHIAL_LOGITS_ALL));
  expect_rows(sequence_, 0, 64);
}

struct Received {
  std::vector<int32_t> ids;
  std::string text;
  size_t stop_after = SIZE_MAX;
  phial_sequence* cancel = nullptr;
};

int receive(void* user, int32_t id, const char* text, size_t bytes) {
  auto* received = static_cast<Received*>(user);
  if (id >= 0) received->ids.push_back(id);
  received->text.append(text, bytes);
  const bool full = received->ids.size() >= received->stop_after;
  if (full && received->cancel != nullptr) {
    phial_sequence_cancel(received->cancel);
    return 0;
  }
  return full ? 1 : 0;
}

class Generation : public SequenceSteps {
 protected:
  std::vector<int32_t> generate() {
    options_.on_token = receive;
    options_.user = &received_;
    phial_buffer* ids = nullptr;
    must_succeed(phial_generate(sequence_.get(), &options_, &ids, &finish_, &stats_));
    return take_ids(ids);
  }

  phial_generate_options options_ = PHIAL_GENERATE_OPTIONS_INIT;
  phial_generate_stats stats_ = PHIAL_GENERATE_STATS_INIT;
  phial_finish finish_ = PHIAL_FINISH_STOP;
  Received received_;
};

TEST_F(Generation, GreedyTokensAreTheGoldenOnes) {
  append(sequence_, prompt_);
  options_.max_new_tokens = 32;
  options_.ignore_eos = 1;
  EXPECT_EQ(generate(), golden_.greedy_ids);
  EXPECT_EQ(received_.ids, golden_.greedy_ids);
  EXPECT_EQ(finish_, PHIAL_FINISH_LENGTH);
  EXPECT_EQ(stats_.prompt_tokens, 64);
  EXPECT_EQ(stats_.new_tokens, 32);
  EXPECT_GT(stats_.prefill_ms, 0);
  EXPECT_GT(stats_.decode_ms, 0);
  EXPECT_EQ(phial_sequence_length(sequence_.get()), 96);
  // The streamed text, an unfinished character at the end included, is that of the ids.
  phial_buffer* text = nullptr;
  must_succeed(phial_detokenize(model_.get(), golden_.greedy_ids.data(), golden_.greedy_ids.size(),
                                1, &text));
  EXPECT_EQ(received_.text, take_text(text));
}

TEST_F(Generation, NoTokensAreNoError) {
  append(sequence_, prompt_);
  options_.max_new_tokens = 0;
  EXPECT_TRUE(generate().empty());
  EXPECT_EQ(finish_, PHIAL_FINISH_LENGTH);
  options_.max_new_tokens = -2;
  phial_buffer* ids = nullptr;
  EXPECT_EQ(code_of(phial_generate(sequence_.get(), &options_, &ids, nullptr, nullptr)), "usage");
}

TEST_F(Generation, AnEmptySequenceIsAUsageError) {
  phial_buffer* ids = nullptr;
  EXPECT_EQ(code_of(phial_generate(sequence_.get(), &options_, &ids, nullptr, nullptr)), "usage");
}

TEST_F(Generation, EndsAtTheContext) {
  append(sequence_, prompt_);
  options_.ignore_eos = 1;
  EXPECT_EQ(generate().size(), 512u - 64u);
  EXPECT_EQ(finish_, PHIAL_FINISH_LENGTH);
}

TEST_F(Generation, TheCallbackMayStop) {
  append(sequence_, prompt_);
  options_.ignore_eos = 1;
  received_.stop_after = 3;
  EXPECT_EQ(generate().size(), 3u);
  EXPECT_EQ(finish_, PHIAL_FINISH_CANCELLED);
  EXPECT_EQ(phial_sequence_length(sequence_.get()), 67);
}

TEST_F(Generation, CancellationKeepsWhatWasProducedAndTheSequenceGoesOn) {
  append(sequence_, prompt_);
  options_.ignore_eos = 1;
  received_.stop_after = 5;
  received_.cancel = sequence_.get();
  EXPECT_EQ(generate(),
            std::vector<int32_t>(golden_.greedy_ids.begin(), golden_.greedy_ids.begin() + 5));
  EXPECT_EQ(finish_, PHIAL_FINISH_CANCELLED);
  received_ = {};
  options_.max_new_tokens = 27;
  EXPECT_EQ(generate(),
            std::vector<int32_t>(golden_.greedy_ids.begin() + 5, golden_.greedy_ids.end()));
  EXPECT_EQ(finish_, PHIAL_FINISH_LENGTH);
}

TEST_F(Generation, AnotherThreadMayCancel) {
  append(sequence_, prompt_);
  options_.ignore_eos = 1;
  phial_sequence* const sequence = sequence_.get();
  std::thread other([sequence] { phial_sequence_cancel(sequence); });
  const std::vector<int32_t> ids = generate();
  other.join();
  EXPECT_TRUE(finish_ == PHIAL_FINISH_CANCELLED || ids.size() == 448u);
}

TEST_F(Generation, ThreadsShareAModel) {
  std::vector<std::vector<int32_t>> answers(4);
  std::vector<std::thread> threads;
  for (std::vector<int32_t>& answer : answers) {
    threads.emplace_back([this, &answer] {
      const SequencePtr sequence = make_sequence(model_);
      append(sequence, prompt_);
      phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
      options.max_new_tokens = 32;
      options.ignore_eos = 1;
      phial_buffer* ids = nullptr;
      must_succeed(phial_generate(sequence.get(), &options, &ids, nullptr, nullptr));
      answer = take_ids(ids);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<int32_t>& answer : answers) EXPECT_EQ(answer, golden_.greedy_ids);
}

TEST_F(Generation, SeedsRepeat) {
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  sampling.do_sample = 1;
  sampling.temperature = 3;
  sampling.seed = 42;
  sampling.has_seed = 1;
  options_.sampling = &sampling;
  options_.max_new_tokens = 16;
  options_.ignore_eos = 1;
  append(sequence_, prompt_);
  const std::vector<int32_t> first = generate();
  must_succeed(phial_sequence_rewind(sequence_.get(), 64));
  EXPECT_EQ(generate(), first);
  must_succeed(phial_sequence_rewind(sequence_.get(), 64));
  sampling.seed = 43;
  EXPECT_NE(generate(), first);
}

TEST_F(Generation, OlderStatsAreFilledAsFarAsTheyGo) {
  append(sequence_, prompt_);
  options_.max_new_tokens = 2;
  options_.ignore_eos = 1;
  stats_.size = offsetof(phial_generate_stats, new_tokens);
  stats_.new_tokens = -5;
  generate();
  EXPECT_EQ(stats_.prompt_tokens, 64);
  EXPECT_EQ(stats_.new_tokens, -5);
  stats_.size = 0;
  phial_buffer* ids = nullptr;
  EXPECT_EQ(code_of(phial_generate(sequence_.get(), &options_, &ids, nullptr, &stats_)), "usage");
  EXPECT_EQ(phial_sequence_length(sequence_.get()), 66);
}

}  // namespace
}  // namespace phial::capi

#include "generate/processors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "generate/bans.h"
#include "generate/logprobs.h"

namespace phial {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> processed(const GenerateOptions& options, std::vector<int32_t> tokens,
                             int64_t prompt_tokens, std::vector<float> scores) {
  LogitsProcessors processors(options);
  EXPECT_TRUE(processors.apply(0, tokens, prompt_tokens, scores).ok());
  return scores;
}

TEST(Processors, NothingIsAskedForAndNothingChanges) {
  const std::vector<float> scores = {1, -2, 0, kInfinity, -kInfinity};
  EXPECT_EQ(processed({}, {0, 1, 2}, 1, scores), scores);
}

TEST(Processors, RepetitionCountsThePromptAndEachIdOnce) {
  EXPECT_EQ(processed({.repetition_penalty = 2}, {0, 1, 1, 1, 2}, 3, {4, -4, 0, 8}),
            (std::vector<float>{2, -8, 0, 8}));
}

TEST(Processors, PresenceAndFrequencyCountTheAnswer) {
  GenerateOptions options;
  options.presence_penalty = 0.5f;
  options.frequency_penalty = 0.25f;
  EXPECT_EQ(processed(options, {0, 0, 1, 2, 2, 2}, 2, {1, 1, 1, 1}),
            (std::vector<float>{1, 0.25f, -0.25f, 1}));
}

TEST(Processors, NGramsOfPromptAndAnswerAreBanned) {
  const std::vector<float> zeros(4);
  // 3-grams seen: 0 1 2, 1 2 0, 2 0 1; the tokens end with 0 1.
  EXPECT_EQ(processed({.no_repeat_ngram_size = 3}, {0, 1, 2, 0, 1}, 5, zeros),
            (std::vector<float>{0, 0, -kInfinity, 0}));
  EXPECT_EQ(processed({.no_repeat_ngram_size = 1}, {3, 1}, 1, zeros),
            (std::vector<float>{0, -kInfinity, 0, -kInfinity}));
  EXPECT_EQ(processed({.no_repeat_ngram_size = 3}, {0, 1}, 1, zeros), zeros);
  EXPECT_EQ(processed({.no_repeat_ngram_size = 2}, {1, 1}, 1, zeros),
            (std::vector<float>{0, -kInfinity, 0, 0}));
}

TEST(Processors, BiasesNeedTheirBeginning) {
  GenerateOptions options;
  options.sequence_bias = {{{1}, 2}, {{0, 1}, 3}, {{2, 0, 1}, 5}, {{3, 0, 1}, 7}, {{0, 2}, -1}};
  EXPECT_EQ(processed(options, {1, 2, 0}, 3, {0, 0, 0, 0}), (std::vector<float>{0, 10, -1, 0}));
  EXPECT_EQ(processed(options, {1}, 1, {0, 0, 0, 0}), (std::vector<float>{0, 2, 0, 0}));
}

TEST(Processors, BadWordsAreNeverCompleted) {
  GenerateOptions options;
  options.bad_words = {{1}, {2, 3}, {0}};
  options.end_ids = {0};  // alone it is no bad word
  EXPECT_EQ(processed(options, {1, 2}, 1, {0, 0, 0, 0}),
            (std::vector<float>{0, -kInfinity, 0, -kInfinity}));
  EXPECT_EQ(processed(options, {2, 1}, 1, {0, 0, 0, 0}), (std::vector<float>{0, -kInfinity, 0, 0}));
}

TEST(Processors, EndIdsAreMaskedUntilTheMinimum) {
  GenerateOptions options;
  options.end_ids = {1, 3, 99};
  options.min_new_tokens = 2;
  const std::vector<float> masked = {0, -kInfinity, 0, -kInfinity};
  const std::vector<float> zeros(4);
  EXPECT_EQ(processed(options, {0, 0, 0}, 2, zeros), masked);
  EXPECT_EQ(processed(options, {0, 0, 0}, 1, zeros), zeros);
  options.min_length = 9;  // min_new_tokens wins
  EXPECT_EQ(processed(options, {0, 0, 0}, 1, zeros), zeros);
  options.min_new_tokens = 0;
  options.min_length = 4;
  EXPECT_EQ(processed(options, {0, 0, 0}, 1, zeros), masked);
  EXPECT_EQ(processed(options, {0, 0, 0, 0}, 4, zeros), zeros);
}

TEST(Processors, TheOrderIsThatOfTransformers) {
  GenerateOptions options;
  options.sequence_bias = {{{0}, -3}};  // 1 - 3 = -2,
  options.repetition_penalty = 2;       // times 2 because it is below 0 by now,
  options.presence_penalty = 1;         // minus 1,
  options.edit_scores = [](size_t output, std::span<const int32_t> tokens,
                           std::span<float> scores) -> Status {
    EXPECT_EQ(output, 0u);
    EXPECT_EQ(tokens.size(), 1u);
    scores[0] *= 10;  // times 10.
    return {};
  };
  EXPECT_EQ(processed(options, {0}, 0, {1, 1}), (std::vector<float>{-50, 1}));
}

TEST(Processors, AnErrorOfTheCallersOwnComesOut) {
  GenerateOptions options;
  options.edit_scores = [](size_t, std::span<const int32_t>, std::span<float>) -> Status {
    return failed("scores", "no");
  };
  LogitsProcessors processors(options);
  std::vector<float> scores(2);
  EXPECT_EQ(processors.apply(0, {}, 0, scores).error().where, "scores");
}

TEST(Processors, OptionsMayChangeBetweenSteps) {
  GenerateOptions options;
  LogitsProcessors processors(options);
  const std::vector<int32_t> tokens = {0};
  std::vector<float> scores = {4, 4};
  EXPECT_TRUE(processors.apply(0, tokens, 0, scores).ok());
  EXPECT_EQ(scores, (std::vector<float>{4, 4}));
  options.repetition_penalty = 4;
  EXPECT_TRUE(processors.apply(0, tokens, 0, scores).ok());
  EXPECT_EQ(scores, (std::vector<float>{1, 4}));
}

std::string refused(const GenerateOptions& options) {
  const Status status = check_options(options, 100);
  return status.ok() ? "" : status.error().where;
}

TEST(Options, WhatIsOutOfRangeIsNamed) {
  EXPECT_EQ(refused({}), "");
  EXPECT_EQ(refused({.sampling = {.do_sample = true, .min_p = 1.5f}}), "min_p");
  EXPECT_EQ(refused({.sampling = {.do_sample = true, .typical_p = 0}}), "typical_p");
  EXPECT_EQ(refused({.sampling = {.do_sample = false, .temperature = 0}}), "");
  EXPECT_EQ(refused({.max_new_tokens = -2}), "max_new_tokens");
  EXPECT_EQ(refused({.max_length = -2}), "max_length");
  EXPECT_EQ(refused({.min_new_tokens = -1}), "min_new_tokens");
  EXPECT_EQ(refused({.stop_strings = {"a", ""}}), "stop_strings");
  EXPECT_EQ(refused({.sequence_bias = {{{}, 1}}}), "sequence_bias");
  EXPECT_EQ(refused({.sequence_bias = {{{100}, 1}}}), "sequence_bias");
  EXPECT_EQ(refused({.sequence_bias = {{{1, -1}, 1}}}), "sequence_bias");
  EXPECT_EQ(refused({.sequence_bias = {{{1}, 1}, {{2}, 1}, {{1}, 2}}}), "sequence_bias");
  EXPECT_EQ(refused({.sequence_bias = {{{1}, NAN}}}), "sequence_bias");
  EXPECT_EQ(refused({.sequence_bias = {{{1}, -kInfinity}}}), "");
  EXPECT_EQ(refused({.repetition_penalty = 0}), "repetition_penalty");
  EXPECT_EQ(refused({.presence_penalty = NAN}), "presence_penalty");
  EXPECT_EQ(refused({.frequency_penalty = kInfinity}), "frequency_penalty");
  EXPECT_EQ(refused({.no_repeat_ngram_size = -1}), "no_repeat_ngram_size");
  EXPECT_EQ(refused({.bad_words = {{1}, {}}}), "bad_words");
  EXPECT_EQ(refused({.beams = {.num_beams = 0}}), "num_beams");
  EXPECT_EQ(refused({.beams = {.num_beams = 257}}), "num_beams");
  EXPECT_EQ(refused({.beams = {.length_penalty = NAN}}), "length_penalty");
  EXPECT_EQ(refused({.beams = {.num_beams = 2}, .num_return_sequences = 3}),
            "num_return_sequences");
  EXPECT_EQ(refused({.num_return_sequences = 2}), "num_return_sequences");
  EXPECT_EQ(refused({.sampling = {.do_sample = true}, .num_return_sequences = 2}), "");
  EXPECT_EQ(refused({.logprobs = -1}), "logprobs");
  EXPECT_EQ(refused({.logprobs = 1025}), "logprobs");
}

TEST(Logprobs, AreThoseOfTheRow) {
  const TokenLogprobs out = token_logprobs(std::vector<float>{0, 2, 1, 2}, 2, 3);
  const double z = std::log(1 + 2 * std::exp(2.0) + std::exp(1.0));
  EXPECT_EQ(out.chosen.id, 2);
  EXPECT_NEAR(static_cast<double>(out.chosen.logprob), 1 - z, 1e-6);
  ASSERT_EQ(out.top.size(), 3u);
  EXPECT_EQ(out.top[0].id, 1);  // of equals the smaller id
  EXPECT_EQ(out.top[1].id, 3);
  EXPECT_EQ(out.top[2].id, 2);
  EXPECT_EQ(token_logprobs(std::vector<float>{0, 1}, 0, 9).top.size(), 2u);
  EXPECT_TRUE(token_logprobs(std::vector<float>{0, 1}, 0, 0).top.empty());
  EXPECT_EQ(log_sum_exp(std::vector<float>{-kInfinity, NAN}), -HUGE_VAL);
}

}  // namespace
}  // namespace phial

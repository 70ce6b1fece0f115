// The C++ face on its own: no header of the library is seen here.
#include <gtest/gtest.h>

#include <phial/phial.hpp>
#include <stdexcept>

namespace {

constexpr char kModel[] = PHIAL_SOURCE_DIR "/tests/golden/models/llama-smol";

class CppFace : public testing::Test {
 protected:
  phial::GenerateOptions options(int64_t max_new_tokens) {
    phial::GenerateOptions out;
    out.plain.max_new_tokens = max_new_tokens;
    out.plain.ignore_eos = 1;
    return out;
  }
  phial::Sequence prompt() {
    phial::Sequence sequence(model_);
    sequence.append(ids_);
    return sequence;
  }

  phial::Context context_{2};
  phial::Model model_{context_, kModel};
  std::vector<int32_t> ids_ = model_.tokenize("What is the capital of France?");
};

TEST_F(CppFace, AnswersAreWhatIsStreamed) {
  phial::GenerateOptions asked = options(8);
  asked.plain.logprobs = 1;
  std::vector<int32_t> seen;
  std::string text;
  phial::Sequence sequence = prompt();
  const phial::Answers answers =
      sequence.generate_outputs(asked, [&](int32_t id, std::string_view piece) {
        if (id >= 0) seen.push_back(id);
        text += piece;
        return true;
      });
  ASSERT_EQ(answers.outputs.size(), 1u);
  EXPECT_EQ(answers.outputs[0].ids, seen);
  EXPECT_EQ(answers.outputs[0].text, text);
  EXPECT_EQ(answers.stats.new_tokens, 8);
  ASSERT_EQ(answers.outputs[0].logprobs.size(), 8u);
  EXPECT_EQ(answers.outputs[0].logprobs[3].top.at(0).id, seen[3]);
  EXPECT_EQ(prompt().generate(asked.plain).ids, seen);
}

TEST_F(CppFace, ListsAndCallbacksOfABatch) {
  phial::Sequence first = prompt();
  phial::Sequence second = first.fork();
  const int32_t usual = prompt().generate(options(1).plain).ids.at(0);
  phial::GenerateOptions asked = options(6);
  asked.bad_words = {{usual}};
  asked.stop_strings = {"never to be seen"};
  asked.biases = {{{5}, 1.0f}};
  phial::GenerateOptions scored = asked;
  scored.on_scores = [](size_t, const int32_t*, size_t, float* scores, size_t) {
    scores[77] = 1e6f;
  };
  const auto results = phial::generate_batch({&first, &second}, {asked, scored});
  ASSERT_EQ(results.size(), 2u);
  ASSERT_FALSE(results[0].error);
  EXPECT_NE(results[0].answers.outputs.at(0).ids[0], usual);
  EXPECT_EQ(results[1].answers.outputs.at(0).ids, std::vector<int32_t>(6, 77));
}

TEST_F(CppFace, WhatACallbackThrowsComesOut) {
  phial::GenerateOptions asked = options(6);
  asked.on_scores = [](size_t, const int32_t*, size_t, float*, size_t) {
    throw std::runtime_error("mine");
  };
  phial::Sequence sequence = prompt();
  EXPECT_THROW(sequence.generate_outputs(asked), std::runtime_error);
  EXPECT_THROW(
      sequence.generate_outputs(
          options(6), [](int32_t, std::string_view) -> bool { throw std::runtime_error("mine"); }),
      std::runtime_error);
  phial::GenerateOptions wrong = options(6);
  wrong.plain.num_beams = -1;
  EXPECT_THROW(sequence.generate_outputs(wrong), phial::Error);
  const auto results = phial::generate_batch({&sequence}, {wrong});
  ASSERT_TRUE(results.at(0).error);
  EXPECT_STREQ(results[0].error->code(), "usage");
}

TEST_F(CppFace, StepsAreProcessed) {
  phial::Sequence sequence = prompt();
  sequence.compute_logits();
  phial::GenerateOptions asked = options(6);
  asked.biases = {{{77}, 1e6f}};
  sequence.process_logits(asked, sequence.length());
  EXPECT_EQ(sequence.sample(phial_sampling PHIAL_SAMPLING_INIT), 77);
}

}  // namespace

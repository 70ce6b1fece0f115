// Answers through the C interface: several of them, beams, batches, callbacks.
#include <cctype>
#include <cmath>

#include "capi/test_help.h"
#include "engine/golden_models.h"

namespace phial::capi {
namespace {

using OutputsPtr = std::unique_ptr<phial_outputs, Freeing<phial_outputs, phial_outputs_free>>;

std::vector<int32_t> ids_of_output(const OutputsPtr& outputs, size_t index) {
  phial_output output = PHIAL_OUTPUT_INIT;
  must_succeed(phial_outputs_get(outputs.get(), index, &output));
  return {output.ids, output.ids + output.id_count};
}

class Outputs : public testing::Test {
 protected:
  SequencePtr prompt(size_t tokens = 64) {
    SequencePtr sequence = make_sequence(model_);
    must_succeed(phial_sequence_append(sequence.get(), golden_.prompt_ids.data(), tokens));
    return sequence;
  }
  OutputsPtr generate(const SequencePtr& sequence, const phial_generate_options& options) {
    phial_outputs* outputs = nullptr;
    must_succeed(phial_generate_outputs(sequence.get(), &options, &outputs));
    return OutputsPtr(outputs);
  }
  std::string refusal(const phial_generate_options& options) {
    phial_outputs* outputs = nullptr;
    phial_error* error = phial_generate_outputs(prompt().get(), &options, &outputs);
    const std::string where = error == nullptr ? "" : phial_error_text(error);
    EXPECT_EQ(code_of(error), "usage");
    return where;
  }
  static phial_generate_options plain(int64_t max_new_tokens) {
    phial_generate_options options = PHIAL_GENERATE_OPTIONS_INIT;
    options.max_new_tokens = max_new_tokens;
    options.ignore_eos = 1;
    return options;
  }

  const int32_t outside_ = 416;  // one more than the vocabulary holds
  const Golden golden_ = load_golden("llama-smol");
  const ContextPtr context_ = make_context();
  const ModelPtr model_ = load_golden_model(context_, "llama-smol");
};

TEST_F(Outputs, OneAnswerIsTheGoldenOne) {
  const SequencePtr sequence = prompt();
  const OutputsPtr outputs = generate(sequence, plain(32));
  ASSERT_EQ(phial_outputs_count(outputs.get()), 1u);
  EXPECT_EQ(ids_of_output(outputs, 0), golden_.greedy_ids);
  phial_output output = PHIAL_OUTPUT_INIT;
  must_succeed(phial_outputs_get(outputs.get(), 0, &output));
  EXPECT_EQ(output.finish, PHIAL_FINISH_LENGTH);
  EXPECT_EQ(output.text[output.text_bytes], '\0');
  phial_buffer* text = nullptr;
  must_succeed(phial_detokenize(model_.get(), output.ids, output.id_count, 1, &text));
  EXPECT_EQ(std::string(output.text, output.text_bytes), take_text(text));
  phial_generate_stats stats = PHIAL_GENERATE_STATS_INIT;
  must_succeed(phial_outputs_stats(outputs.get(), &stats));
  EXPECT_EQ(stats.prompt_tokens, 64);
  EXPECT_EQ(stats.new_tokens, 32);
  EXPECT_EQ(phial_sequence_length(sequence.get()), 96);
  EXPECT_EQ(code_of(phial_outputs_get(outputs.get(), 1, &output)), "usage");
}

TEST_F(Outputs, BeamsComeBestFirstAndTheSequenceHoldsTheBest) {
  phial_generate_options options = plain(12);
  options.num_beams = 4;
  options.num_return_sequences = 3;
  const SequencePtr sequence = prompt();
  const OutputsPtr outputs = generate(sequence, options);
  ASSERT_EQ(phial_outputs_count(outputs.get()), 3u);
  float last = 0;
  for (size_t i = 0; i < 3; ++i) {
    phial_output output = PHIAL_OUTPUT_INIT;
    must_succeed(phial_outputs_get(outputs.get(), i, &output));
    EXPECT_LE(output.score, last);
    last = output.score;
  }
  EXPECT_EQ(phial_sequence_length(sequence.get()), 76);
  // phial_generate tells the best one.
  phial_buffer* ids = nullptr;
  must_succeed(phial_generate(prompt().get(), &options, &ids, nullptr, nullptr));
  EXPECT_EQ(take_ids(ids), ids_of_output(outputs, 0));
  // The sequence goes on from the best one.
  must_succeed(phial_sequence_compute_logits(sequence.get(), PHIAL_LOGITS_LAST));
}

TEST_F(Outputs, LogprobsAreThoseOfTheLogits) {
  phial_generate_options options = plain(4);
  options.logprobs = 2;
  const OutputsPtr outputs = generate(prompt(), options);
  for (size_t t = 0; t < 4; ++t) {
    const float* row = golden_.row(63 + t);
    double sum = 0;
    for (int64_t i = 0; i < golden_.vocabulary; ++i) sum += std::exp(static_cast<double>(row[i]));
    phial_logprob chosen = {};
    const phial_logprob* top = nullptr;
    size_t count = 0;
    must_succeed(phial_outputs_logprobs(outputs.get(), 0, t, &chosen, &top, &count));
    ASSERT_EQ(count, 2u);
    EXPECT_EQ(chosen.id, golden_.greedy_ids[t]);
    EXPECT_EQ(top[0].id, chosen.id);
    EXPECT_LE(top[1].logprob, top[0].logprob);
    const double expected = static_cast<double>(row[chosen.id]) - std::log(sum);
    EXPECT_NEAR(static_cast<double>(chosen.logprob), expected, 2e-4 * golden_.range);
  }
  phial_logprob chosen = {};
  const phial_logprob* top = nullptr;
  size_t count = 0;
  EXPECT_EQ(code_of(phial_outputs_logprobs(outputs.get(), 0, 4, &chosen, &top, &count)), "usage");
  EXPECT_EQ(code_of(phial_outputs_logprobs(outputs.get(), 1, 0, &chosen, &top, &count)), "usage");
  const OutputsPtr without = generate(prompt(), plain(1));
  EXPECT_EQ(code_of(phial_outputs_logprobs(without.get(), 0, 0, &chosen, &top, &count)), "usage");
}

TEST_F(Outputs, ListsAreRead) {
  phial_generate_options options = plain(8);
  const int32_t first = golden_.greedy_ids[0];
  const int32_t pair[] = {golden_.greedy_ids[1], golden_.greedy_ids[2]};
  const phial_ids word = {pair, 2};
  options.bad_words = &word;
  options.bad_word_count = 1;
  const std::vector<int32_t> without = ids_of_output(generate(prompt(), options), 0);
  EXPECT_EQ(without[1], pair[0]);
  EXPECT_NE(without[2], pair[1]);
  const phial_bias bias = {&first, 1, -INFINITY};
  options.biases = &bias;
  options.bias_count = 1;
  EXPECT_NE(ids_of_output(generate(prompt(), options), 0)[0], first);
}

TEST_F(Outputs, LengthsMayCountThePrompt) {
  phial_generate_options options = plain(-1);
  options.max_length = 70;
  EXPECT_EQ(ids_of_output(generate(prompt(), options), 0).size(), 6u);
  options.max_length = 63;
  EXPECT_NE(refusal(options).find("max_length"), std::string::npos);
  options.max_new_tokens = 3;  // wins
  EXPECT_EQ(ids_of_output(generate(prompt(), options), 0).size(), 3u);
  // Token 2 ends an answer, and is all that a great bias leaves.
  const int32_t end = 2;
  const phial_bias bias = {&end, 1, 1e6f};
  options = plain(9);
  options.ignore_eos = 0;
  options.biases = &bias;
  options.bias_count = 1;
  EXPECT_EQ(ids_of_output(generate(prompt(), options), 0).size(), 1u);
  options.min_length = 67;
  EXPECT_EQ(ids_of_output(generate(prompt(), options), 0).size(), 4u);
  options.min_new_tokens = 1;
  EXPECT_EQ(ids_of_output(generate(prompt(), options), 0).size(), 2u);
}

TEST_F(Outputs, WhatMakesNoSenseIsNamed) {
  phial_generate_options options = plain(8);
  options.num_beams = 300;
  EXPECT_NE(refusal(options).find("num_beams: expected 1..256"), std::string::npos);
  options = plain(8);
  options.num_return_sequences = 2;
  EXPECT_NE(refusal(options).find("num_return_sequences"), std::string::npos);
  options = plain(8);
  options.early_stopping = static_cast<phial_early_stopping>(7);
  EXPECT_NE(refusal(options).find("early_stopping"), std::string::npos);
  options = plain(8);
  options.bad_word_count = 1;
  EXPECT_NE(refusal(options).find("bad_words is NULL"), std::string::npos);
  options = plain(8);
  const phial_bias outside = {&outside_, 1, 1.0f};
  options.biases = &outside;
  options.bias_count = 1;
  EXPECT_NE(refusal(options).find("vocabulary of 416"), std::string::npos);
  options = plain(8);
  options.logprobs = -2;
  EXPECT_NE(refusal(options).find("logprobs"), std::string::npos);
  options = plain(8);
  options.min_new_tokens = -2;
  EXPECT_NE(refusal(options).find("min_new_tokens"), std::string::npos);
}

TEST_F(Outputs, AStopStringEndsTheTextAndNothingOfItIsStreamed) {
  phial_output whole = PHIAL_OUTPUT_INIT;
  const OutputsPtr all = generate(prompt(), plain(32));
  must_succeed(phial_outputs_get(all.get(), 0, &whole));
  const std::string text(whole.text, whole.text_bytes);
  size_t at = 0;  // an ASCII piece of it
  while (at + 2 < text.size() && !(std::isalnum(static_cast<unsigned char>(text[at])) &&
                                   std::isalnum(static_cast<unsigned char>(text[at + 1])))) {
    ++at;
  }
  ASSERT_LT(at + 2, text.size());
  const std::string stop = text.substr(at, 2);
  phial_generate_options options = plain(32);
  const phial_text stops[] = {{"\xE2\x98\x83", 3}, {stop.data(), stop.size()}};
  options.stop_strings = stops;
  options.stop_string_count = 2;
  std::string streamed;
  options.user = &streamed;
  options.on_token = [](void* user, int32_t, const char* piece, size_t bytes) {
    static_cast<std::string*>(user)->append(piece, bytes);
    return 0;
  };
  const OutputsPtr outputs = generate(prompt(), options);
  phial_output output = PHIAL_OUTPUT_INIT;
  must_succeed(phial_outputs_get(outputs.get(), 0, &output));
  EXPECT_EQ(std::string(output.text, output.text_bytes), text.substr(0, text.find(stop)));
  EXPECT_EQ(streamed, text.substr(0, text.find(stop)));
  EXPECT_EQ(output.finish, PHIAL_FINISH_STOP);
}

TEST_F(Outputs, ScoresMayBeEdited) {
  phial_generate_options options = plain(5);
  struct Seen {
    size_t calls = 0;
    size_t tokens = 0;
  } seen;
  options.user = &seen;
  options.on_scores = [](void* user, size_t output, const int32_t* tokens, size_t token_count,
                         float* scores, size_t vocabulary) {
    auto* self = static_cast<Seen*>(user);
    EXPECT_EQ(output, 0u);
    EXPECT_EQ(vocabulary, 416u);
    EXPECT_GE(tokens[token_count - 1], 0);
    self->tokens = token_count;
    scores[100 + self->calls++] = 1e6f;
    return 0;
  };
  EXPECT_EQ(ids_of_output(generate(prompt(), options), 0),
            (std::vector<int32_t>{100, 101, 102, 103, 104}));
  EXPECT_EQ(seen.tokens, 68u);
  options.on_scores = [](void*, size_t, const int32_t*, size_t, float*, size_t) { return 1; };
  phial_outputs* outputs = nullptr;
  EXPECT_EQ(code_of(phial_generate_outputs(prompt().get(), &options, &outputs)), "failed");
}

TEST_F(Outputs, StepsWithOptionsThatChangeAreTheirPieces) {
  // Six steps: plain, then without repetition, then with a bias.
  phial_generate_options kinds[3] = {plain(2), plain(2), plain(2)};
  kinds[1].repetition_penalty = 1.5f;
  const int32_t wanted = 33;
  const phial_bias bias = {&wanted, 1, 50.0f};
  kinds[2].biases = &bias;
  kinds[2].bias_count = 1;
  const SequencePtr pieces = prompt();
  std::vector<int32_t> expected;
  for (const phial_generate_options& options : kinds) {
    for (const int32_t id : ids_of_output(generate(pieces, options), 0)) expected.push_back(id);
  }
  const SequencePtr steps = prompt();
  const phial_sampling greedy = PHIAL_SAMPLING_INIT;
  for (size_t i = 0; i < expected.size(); ++i) {
    must_succeed(phial_sequence_compute_logits(steps.get(), PHIAL_LOGITS_LAST));
    must_succeed(phial_sequence_process_logits(steps.get(), &kinds[i / 2], 64));
    int32_t id = -1;
    must_succeed(phial_sequence_sample(steps.get(), &greedy, &id));
    EXPECT_EQ(id, expected[i]) << i;
    must_succeed(phial_sequence_append(steps.get(), &id, 1));
  }
  EXPECT_EQ(expected[4], wanted);
  EXPECT_EQ(code_of(phial_sequence_process_logits(steps.get(), &kinds[0], 64)), "usage");
  must_succeed(phial_sequence_compute_logits(steps.get(), PHIAL_LOGITS_LAST));
  EXPECT_EQ(code_of(phial_sequence_process_logits(steps.get(), &kinds[0], 71)), "usage");
  EXPECT_EQ(code_of(phial_sequence_process_logits(steps.get(), &kinds[0], -1)), "usage");
}

TEST_F(Outputs, ABatchIsEachAlone) {
  std::vector<phial_generate_options> options(4, plain(16));
  phial_sampling sampling = PHIAL_SAMPLING_INIT;
  sampling.do_sample = 1;
  sampling.temperature = 1.3f;
  sampling.min_p = 0.02f;
  sampling.seed = 9;
  sampling.has_seed = 1;
  options[1].sampling = &sampling;
  options[1].num_return_sequences = 2;
  options[2].num_beams = 3;
  options[3].num_beams = 999;  // fails by itself
  std::vector<SequencePtr> owners;
  std::vector<phial_sequence*> sequences;
  std::vector<const phial_generate_options*> pointers;
  for (size_t i = 0; i < options.size(); ++i) {
    owners.push_back(prompt(10 + 9 * i));
    sequences.push_back(owners.back().get());
    pointers.push_back(&options[i]);
  }
  std::vector<phial_outputs*> raw(4);
  std::vector<phial_error*> errors(4);
  must_succeed(
      phial_generate_batch(sequences.data(), pointers.data(), 4, raw.data(), errors.data()));
  for (size_t i = 0; i < 3; ++i) {
    const OutputsPtr together(raw[i]);
    EXPECT_EQ(errors[i], nullptr);
    const OutputsPtr alone = generate(prompt(10 + 9 * i), options[i]);
    ASSERT_EQ(phial_outputs_count(together.get()), phial_outputs_count(alone.get()));
    for (size_t k = 0; k < phial_outputs_count(alone.get()); ++k) {
      EXPECT_EQ(ids_of_output(together, k), ids_of_output(alone, k)) << i;
    }
  }
  EXPECT_EQ(raw[3], nullptr);
  EXPECT_EQ(code_of(errors[3]), "usage");

  std::vector<phial_sequence*> twice = {sequences[0], sequences[1], sequences[0]};
  EXPECT_EQ(code_of(phial_generate_batch(twice.data(), nullptr, 3, raw.data(), errors.data())),
            "usage");
  const ModelPtr other_model = load_golden_model(context_, "llama-smol");
  const SequencePtr stranger = make_sequence(other_model);
  twice = {sequences[0], stranger.get()};
  EXPECT_EQ(code_of(phial_generate_batch(twice.data(), nullptr, 2, raw.data(), errors.data())),
            "usage");
  must_succeed(phial_generate_batch(nullptr, nullptr, 0, nullptr, nullptr));
}

TEST_F(Outputs, OneOfABatchIsCancelled) {
  std::vector<SequencePtr> owners;
  std::vector<phial_sequence*> sequences;
  for (size_t i = 0; i < 3; ++i) {
    owners.push_back(prompt());
    sequences.push_back(owners.back().get());
  }
  phial_generate_options options[3] = {plain(24), plain(24), plain(24)};
  options[1].user = sequences[1];
  options[1].on_token = [](void* user, int32_t, const char*, size_t) {
    auto* sequence = static_cast<phial_sequence*>(user);
    if (phial_sequence_length(sequence) == 64 + 5) phial_sequence_cancel(sequence);
    return 0;
  };
  const phial_generate_options* pointers[3] = {&options[0], &options[1], &options[2]};
  phial_outputs* raw[3] = {};
  phial_error* errors[3] = {};
  must_succeed(phial_generate_batch(sequences.data(), pointers, 3, raw, errors));
  const OutputsPtr outputs[3] = {OutputsPtr(raw[0]), OutputsPtr(raw[1]), OutputsPtr(raw[2])};
  for (size_t i = 0; i < 3; ++i) {
    const size_t produced = i == 1 ? 5 : 24;
    EXPECT_EQ(ids_of_output(outputs[i], 0),
              std::vector<int32_t>(golden_.greedy_ids.begin(),
                                   golden_.greedy_ids.begin() + static_cast<ptrdiff_t>(produced)));
  }
  // The request is over: the sequence goes on.
  EXPECT_EQ(ids_of_output(generate(owners[1], plain(3)), 0),
            std::vector<int32_t>(golden_.greedy_ids.begin() + 5, golden_.greedy_ids.begin() + 8));
}

}  // namespace
}  // namespace phial::capi

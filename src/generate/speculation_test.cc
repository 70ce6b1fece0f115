// Speculation changes the number of passes and nothing else.
#include "generate/speculation.h"

#include <gtest/gtest.h>

#include "engine/budgeted_decoder.h"
#include "engine/family_goldens.h"
#include "engine/memory_need.h"
#include "generate/request_help.h"

namespace phial {
namespace {

using Ids = std::vector<int32_t>;

Ids drafts_behind(PromptLookup& lookup, const Ids& tokens, int64_t limit = 7) {
  return must(lookup.draft(tokens, limit, nullptr));
}

TEST(PromptLookup, DraftsWhatFollowedTheLongestRun) {
  PromptLookup lookup;
  EXPECT_EQ(drafts_behind(lookup, {1}), Ids{});
  EXPECT_EQ(drafts_behind(lookup, {1, 2}), Ids{});
  EXPECT_EQ(drafts_behind(lookup, {1, 2, 3, 9}), Ids{});
  EXPECT_EQ(drafts_behind(lookup, {1, 2, 3, 9, 2, 3}), (Ids{9, 2, 3}));
  // Behind (2, 3) came 9 and 7, the later one; behind (1, 2, 3) came 9.
  EXPECT_EQ(drafts_behind(lookup, {1, 2, 3, 9, 2, 3, 7, 2, 3}, 1), Ids{7});
  EXPECT_EQ(drafts_behind(lookup, {1, 2, 3, 9, 2, 3, 7, 2, 3, 1, 2, 3}, 2), (Ids{9, 2}));
  EXPECT_EQ(drafts_behind(lookup, {1, 2, 3, 9, 2, 3, 7, 2, 3, 1, 2, 3, 4}), Ids{});
}

TEST(PromptLookup, OneTokenOverAndOver) {
  PromptLookup lookup;
  EXPECT_EQ(drafts_behind(lookup, Ids(3, 5)), Ids{5});
  EXPECT_EQ(drafts_behind(lookup, Ids(100, 5)), Ids{5});
}

TEST(DraftLength, DraftsWhilePassesOfManyRowsAreCheapAndDraftsRight) {
  DraftLength length;
  EXPECT_EQ(length.choose(7), 0);  // what a pass takes is not known
  length.learn(0, 0, 1.0);
  EXPECT_GT(length.choose(7), 2);
  EXPECT_LE(length.choose(3), 3);
  for (int i = 0; i < 20; ++i) length.learn(7, 7, 1.1);
  EXPECT_EQ(length.choose(7), 7);
}

TEST(DraftLength, RestsWhereItDoesNotPay) {
  DraftLength wrong;
  wrong.learn(0, 0, 1.0);
  DraftLength dear = wrong;  // right, but eight rows take eight times as long
  int tries_wrong = 0, tries_dear = 0;
  for (int pass = 0; pass < 1000; ++pass) {
    const int64_t n = wrong.choose(7);
    tries_wrong += n > 0;
    wrong.learn(n, 0, 1.0 + 0.05 * static_cast<double>(n));
    const int64_t m = dear.choose(7);
    tries_dear += m > 0;
    dear.learn(m, m, 1.0 + 1.1 * static_cast<double>(m));
  }
  EXPECT_LT(tries_wrong, 30);
  EXPECT_LT(tries_dear, 80);
  // Pays again: found out within one rest.
  int passes = 0;
  while (passes < 600 && wrong.choose(7) < 3) {
    wrong.learn(2, 2, 1.1);
    ++passes;
  }
  EXPECT_LT(passes, 600);
}

// Answers to prompts that repeat themselves, with drafts forced to be tried by a fresh policy, and
// without.
class Lossless : public testing::TestWithParam<const char*> {};

TEST_P(Lossless, GreedyAndDrawn) {
  const GoldenModel golden(GetParam());
  Ids prompt;
  for (int i = 0; i < 12; ++i) {
    prompt.insert(prompt.end(), golden.golden.prompt_ids.begin(),
                  golden.golden.prompt_ids.begin() + 7);
  }
  int64_t drafted = 0, accepted = 0;
  for (const bool do_sample : {false, true}) {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      GenerateOptions options;
      options.max_new_tokens = 90;
      options.sampling.do_sample = do_sample;
      options.sampling.temperature = 0.4f;
      options.repetition_penalty = seed % 2 == 0 ? 1.1f : 1.0f;
      options.logprobs = 2;
      const auto answer = [&](int32_t drafts, std::vector<std::string>* pieces) {
        options.speculation.max_drafts = drafts;
        const auto sequence = must(Sequence::create(golden.decoder, 0));
        must(sequence->append(prompt));
        Rng rng(seed);
        GenerateRequest request = golden.request(*sequence, options, rng);
        request.on_token = [pieces](int32_t id, std::string_view text) {
          pieces->push_back(std::to_string(id) + ":" + std::string(text));
          return true;
        };
        GenerateResult result = must(generate(request));
        // What follows is the same, too.
        must(sequence->append(std::span(prompt).first(3)));
        must(sequence->compute_logits(LogitsRows::last, nullptr));
        return std::pair(std::move(result), sequence->logits().values);
      };
      std::vector<std::string> plain_pieces, pieces;
      const auto [plain, plain_logits] = answer(0, &plain_pieces);
      const auto [got, logits] = answer(kMaxDrafts, &pieces);
      EXPECT_EQ(plain.drafted_tokens, 0);
      EXPECT_EQ(got.outputs[0].ids, plain.outputs[0].ids);
      EXPECT_EQ(got.outputs[0].text, plain.outputs[0].text);
      EXPECT_EQ(pieces, plain_pieces);
      EXPECT_EQ(logits, plain_logits);
      ASSERT_EQ(got.outputs[0].logprobs.size(), plain.outputs[0].logprobs.size());
      for (size_t i = 0; i < plain.outputs[0].logprobs.size(); ++i) {
        EXPECT_EQ(got.outputs[0].logprobs[i].chosen.logprob,
                  plain.outputs[0].logprobs[i].chosen.logprob);
      }
      drafted += got.drafted_tokens;
      accepted += got.accepted_tokens;
    }
  }
  EXPECT_GT(drafted, 0);
  EXPECT_GT(accepted, 0);
  EXPECT_LE(accepted, drafted);
}

// The model is its own assistant: every draft is right.
TEST(ModelDrafter, AnswersWhatTheModelAnswers) {
  const GoldenModel golden("llama-smol");
  GenerateOptions options;
  options.max_new_tokens = 40;
  options.speculation.max_drafts = 0;
  const GenerateResult plain = golden.answer(options);
  options.speculation = {.max_drafts = kMaxDrafts, .assistant = golden.decoder};
  const GenerateResult got = golden.answer(options);
  EXPECT_EQ(got.outputs[0].ids, plain.outputs[0].ids);
  EXPECT_GT(got.drafted_tokens, 0);
  EXPECT_EQ(got.accepted_tokens, got.drafted_tokens);

  options.speculation.assistant = GoldenModel("phi2").decoder;
  const auto sequence = golden.prompt();
  Rng rng(1);
  const auto refused = generate(golden.request(*sequence, options, rng));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::usage);
}

// Wherever an answer ends, its last token is not computed, as without drafts.
TEST(ModelDrafter, LeavesTheSequenceAsWithoutDrafts) {
  const GoldenModel golden("llama-smol");
  GenerateOptions options;
  options.max_new_tokens = 40;
  options.speculation = {.max_drafts = kMaxDrafts, .assistant = golden.decoder};
  int64_t accepted = 0;
  for (int64_t stop = 1; stop <= 20; ++stop) {
    const auto sequence = golden.prompt();
    Rng rng(1);
    GenerateRequest request = golden.request(*sequence, options, rng);
    request.on_token = [left = stop](int32_t, std::string_view) mutable { return --left > 0; };
    accepted += must(generate(request)).accepted_tokens;
    EXPECT_EQ(sequence->computed(), sequence->length() - 1) << stop;
    EXPECT_EQ(sequence->logits().rows(), 0) << stop;
  }
  EXPECT_GT(accepted, 0);
}

// Memory for no more than an answer without drafts takes.
TEST(ModelDrafter, DoesWithoutDraftsWhereThereIsNoMemoryForThem) {
  GoldenModel golden("llama-smol");
  const ModelSpec& spec = golden.model->spec;
  GenerateOptions options;
  options.max_new_tokens = 30;
  options.speculation = {.max_drafts = kMaxDrafts, .assistant = golden.decoder};
  const GenerateResult plain = golden.answer(options);
  EXPECT_GT(plain.drafted_tokens, 0);
  const auto runtime = must(Runtime::create(
      1, "", disk_files(),
      pass_bytes(spec, kLeastPassRows, 1) + kv_bytes(spec, 128) + held_logits_bytes(spec)));
  golden.decoder =
      must(with_memory_budget(must(make_native_decoder(runtime, golden.model)), runtime, spec));
  const auto sequence = golden.prompt(64, 128);
  Rng rng(1);
  const GenerateResult got = must(generate(golden.request(*sequence, options, rng)));
  EXPECT_EQ(got.outputs[0].ids, plain.outputs[0].ids);
  EXPECT_EQ(got.drafted_tokens, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, Lossless, testing::Values("llama-smol", "phi3-plain"));

}  // namespace
}  // namespace phial

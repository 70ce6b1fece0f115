// generation_config.json: what is read, and what is refused.
#include <gtest/gtest.h>

#include "model/model.h"

namespace phial {
namespace {

Result<GenerationDefaults> read(const std::string& text) {
  const auto json = parse_json(text, "generation_config.json");
  EXPECT_TRUE(json.ok()) << text;
  return read_generation_config(*json);
}

TEST(GenerationConfig, EveryFieldIsRead) {
  const auto read_all = read(R"({
      "do_sample": true, "temperature": 0.5, "top_k": 3, "top_p": 0.25, "min_p": 0.125,
      "typical_p": 0.75, "max_new_tokens": 4, "max_length": 5, "min_new_tokens": 6,
      "min_length": 7, "repetition_penalty": 1.5, "length_penalty": -2, "no_repeat_ngram_size": 8,
      "num_beams": 9, "num_return_sequences": 10, "early_stopping": "never",
      "stop_strings": ["a", "b"], "bad_words_ids": [[1], [2, 3]],
      "sequence_bias": [[[4, 5], -1.5], [[6], 2]], "transformers_version": "5.23.0",
      "_from_model_config": true, "cache_implementation": null})");
  ASSERT_TRUE(read_all.ok());
  const GenerationDefaults& out = *read_all;
  EXPECT_TRUE(out.do_sample);
  EXPECT_EQ(out.temperature, 0.5f);
  EXPECT_EQ(out.top_k, 3);
  EXPECT_EQ(out.top_p, 0.25f);
  EXPECT_EQ(out.min_p, 0.125f);
  EXPECT_EQ(out.typical_p, 0.75f);
  EXPECT_EQ(out.max_new_tokens, 4);
  EXPECT_EQ(out.max_length, 5);
  EXPECT_EQ(out.min_new_tokens, 6);
  EXPECT_EQ(out.min_length, 7);
  EXPECT_EQ(out.repetition_penalty, 1.5f);
  EXPECT_EQ(out.length_penalty, -2.0f);
  EXPECT_EQ(out.no_repeat_ngram_size, 8);
  EXPECT_EQ(out.num_beams, 9);
  EXPECT_EQ(out.num_return_sequences, 10);
  EXPECT_EQ(out.early_stopping, EarlyStopping::never);
  EXPECT_EQ(out.stop_strings, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(out.bad_words, (std::vector<std::vector<int32_t>>{{1}, {2, 3}}));
  ASSERT_EQ(out.sequence_bias.size(), 2u);
  EXPECT_EQ(out.sequence_bias[0].first, (std::vector<int32_t>{4, 5}));
  EXPECT_EQ(out.sequence_bias[1].second, 2.0f);
}

TEST(GenerationConfig, NothingIsMadeUp) {
  for (const char* text : {"{}", R"({"early_stopping": null, "stop_strings": null,
                                     "bad_words_ids": null, "num_beams": null})"}) {
    const auto out = read(text);
    ASSERT_TRUE(out.ok());
    EXPECT_FALSE(out->do_sample);
    EXPECT_FALSE(out->num_beams || out->early_stopping || out->repetition_penalty);
    EXPECT_TRUE(out->stop_strings.empty() && out->bad_words.empty());
  }
  EXPECT_EQ(read(R"({"stop_strings": "x"})")->stop_strings, std::vector<std::string>{"x"});
  EXPECT_EQ(read(R"({"early_stopping": true})")->early_stopping, EarlyStopping::yes);
}

// Each key with values of every kind: read, or damaged and named.
TEST(GenerationConfig, OddValuesAreRefusedByName) {
  const char* const keys[] = {"do_sample",
                              "temperature",
                              "top_k",
                              "top_p",
                              "min_p",
                              "typical_p",
                              "max_new_tokens",
                              "max_length",
                              "min_new_tokens",
                              "min_length",
                              "repetition_penalty",
                              "length_penalty",
                              "no_repeat_ngram_size",
                              "num_beams",
                              "num_return_sequences",
                              "early_stopping",
                              "stop_strings",
                              "bad_words_ids",
                              "sequence_bias"};
  const char* const values[] = {"true",        "-1",     "1e300",   "99999999999999999999",
                                "\"x\"",       "\"\"",   "[]",      "[[]]",
                                "[[1]]",       "[[-1]]", "[[[1]]]", "[[[1],\"x\"]]",
                                "[[[1.5],1]]", "[\"\"]", "[null]",  "{}",
                                "{\"a\":1}"};
  size_t refused = 0;
  for (const std::string key : keys) {
    for (const std::string value : values) {
      const auto out = read("{\"" + key + "\":" + value + "}");
      if (out.ok()) continue;
      ++refused;
      EXPECT_EQ(out.error().code, ErrorCode::damaged) << key << value;
      EXPECT_EQ(out.error().where, "generation_config.json: " + key) << value;
    }
  }
  EXPECT_GT(refused, 200u);
}

}  // namespace
}  // namespace phial

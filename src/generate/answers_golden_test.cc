// Whole answers against transformers' generate(): greedy with processors, and beam search
// (tests/golden/generation, made by tests/golden/make_generation.py).
#include <cmath>

#include "generate/request_help.h"

namespace phial {
namespace {

std::vector<std::vector<int32_t>> words_of(const Json& list) {
  std::vector<std::vector<int32_t>> words;
  for (const Json& word : *list.if_array()) words.push_back(ids_of(word));
  return words;
}

EarlyStopping early_stopping_of(const Json& value) {
  if (value == Json("never")) return EarlyStopping::never;
  return value == Json(true) ? EarlyStopping::yes : EarlyStopping::no;
}

GenerateOptions options_of(const Json& json, int64_t max_new_tokens) {
  GenerateOptions out;
  out.max_new_tokens = json.find("max_length") == nullptr ? max_new_tokens : -1;
  for (const auto& [key, value] : *json.if_object()) {
    const int64_t* integer = value.if_integer();
    if (key == "eos_token_id")
      out.end_ids = ids_of(value);
    else if (key == "min_new_tokens")
      out.min_new_tokens = *integer;
    else if (key == "min_length")
      out.min_length = *integer;
    else if (key == "max_length")
      out.max_length = *integer;
    else if (key == "repetition_penalty")
      out.repetition_penalty = static_cast<float>(*value.number());
    else if (key == "no_repeat_ngram_size")
      out.no_repeat_ngram_size = static_cast<int32_t>(*integer);
    else if (key == "bad_words_ids")
      out.bad_words = words_of(value);
    else if (key == "num_beams")
      out.beams.num_beams = static_cast<int32_t>(*integer);
    else if (key == "length_penalty")
      out.beams.length_penalty = static_cast<float>(*value.number());
    else if (key == "early_stopping")
      out.beams.early_stopping = early_stopping_of(value);
    else if (key == "num_return_sequences")
      out.num_return_sequences = static_cast<int32_t>(*integer);
    else if (key == "stop_strings") {
      for (const Json& text : *value.if_array()) out.stop_strings.push_back(*text.if_string());
    } else if (key == "sequence_bias") {
      for (const Json& pair : *value.if_array()) {
        out.sequence_bias.push_back({ids_of(pair.if_array()->front()),
                                     static_cast<float>(*pair.if_array()->back().number())});
      }
    } else {
      ADD_FAILURE() << "option " << key;
    }
  }
  out.logprobs = 0;
  return out;
}

TEST(AnswersGolden, AreThoseOfTransformers) {
  const std::string path = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/generation/answers.json";
  const std::string text = must(read_text(*disk_files(), path, 1u << 20));
  const Json goldens = must(parse_json(text, "answers.json"));
  size_t beam_cases = 0;
  for (const Json& golden : *goldens.if_array()) {
    const GoldenModel model(*golden.find("model")->if_string());
    const int64_t most = *golden.find("max_new_tokens")->if_integer();
    for (const Json& item : *golden.find("cases")->if_array()) {
      SCOPED_TRACE(to_text(*golden.find("model")) + " " + to_text(*item.find("name")));
      const GenerateOptions options = options_of(*item.find("options"), most);
      const auto prompt_tokens = static_cast<size_t>(*item.find("prompt_tokens")->if_integer());
      const GenerateResult result = model.answer(options, prompt_tokens);
      const Json::Array& answers = *item.find("answers")->if_array();
      ASSERT_EQ(result.outputs.size(), answers.size());
      beam_cases += options.beams.num_beams > 1 ? 1 : 0;
      for (size_t i = 0; i < answers.size(); ++i) {
        SCOPED_TRACE(i);
        const Output& output = result.outputs[i];
        EXPECT_EQ(output.ids, ids_of(*answers[i].find("ids")));
        if (const Json* score = answers[i].find("score")) {
          EXPECT_NEAR(static_cast<double>(output.score), *score->number(), 1e-4);
        }
        double sum = 0;
        for (const TokenLogprobs& token : output.logprobs) {
          sum += static_cast<double>(token.chosen.logprob);
        }
        EXPECT_EQ(output.logprobs.size(), output.ids.size());
        EXPECT_NEAR(sum, *answers[i].find("logprob_sum")->number(), 2e-3);
      }
    }
  }
  EXPECT_GE(beam_cases, 16u);
}

}  // namespace
}  // namespace phial

// Tokenizers in the files from before tokenizer.json, against what transformers makes of them
// (tests/golden/make_slow_tokenizers.py), and damaged ones.
#include "text/slow_tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/utf8.h"
#include "text/sentence_piece_model.h"
#include "text/tokenizer.h"

namespace phial {
namespace {

std::string golden_file(const std::string& name) {
  const std::string path = PHIAL_SOURCE_DIR "/tests/golden/" + name;
  if (!std::filesystem::exists(path)) return {};
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

Json golden_json(const std::string& name) {
  const std::string text = golden_file(name);
  return text.empty() ? Json() : parse_json(text, name).value();
}

Result<std::shared_ptr<const Tokenizer>> open(const SlowTokenizerFiles& files) {
  PHIAL_ASSIGN(const std::string json, tokenizer_json_of(files));
  PHIAL_ASSIGN(TokenizerSpec spec,
               tokenizer_spec_from_hf(json, files.config, files.special_tokens_map, "slow"));
  return Tokenizer::create(std::move(spec));
}

class SlowTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(SlowTokenizer, AsTransformers) {
  const std::string folder = std::string("slow/") + GetParam() + "/";
  const std::string vocab = golden_file(folder + "vocab.json");
  const std::string merges = golden_file(folder + "merges.txt");
  std::string model = golden_file(folder + "tokenizer.model");
  if (model.empty()) model = golden_file(folder + "spiece.model");
  const SlowTokenizerFiles files = {.vocab_json = vocab,
                                    .merges_txt = merges,
                                    .sentence_piece_model = model,
                                    .added_tokens = golden_json(folder + "added_tokens.json"),
                                    .config = golden_json(folder + "tokenizer_config.json"),
                                    .special_tokens_map = {},
                                    .model_type = {}};
  const auto tokenizer = open(files);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  const Json expected = golden_json(folder + "ids.json");
  const Json texts = golden_json("pipelines/texts.json");
  const size_t count = expected.if_array()->size();
  ASSERT_GT(count, 150u);
  for (size_t i = 0; i < count; ++i) {
    const std::string& text = *(*texts.if_array())[3 * i].if_string();
    const auto ids = (*tokenizer)->encode(text, {});
    ASSERT_TRUE(ids.ok()) << printable(text) << ": " << ids.error().to_string();
    std::vector<int32_t> wanted;
    for (const Json& id : *(*expected.if_array())[i].if_array()) {
      wanted.push_back(static_cast<int32_t>(*id.if_integer()));
    }
    EXPECT_EQ(*ids, wanted) << printable(text);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SlowTokenizer,
                         testing::Values("llama", "llama_legacy", "t5", "gpt2", "qwen2"),
                         [](const auto& test) { return std::string(test.param); });

ErrorCode code_of(const SlowTokenizerFiles& files) {
  const auto tokenizer = open(files);
  return tokenizer.ok() ? ErrorCode::internal : tokenizer.error().code;
}

TEST(SlowTokenizerFiles, DamagedOnesAreNamed) {
  const Json unknown = parse_json(R"({"tokenizer_class":"XTokenizer"})", "test").value();
  EXPECT_EQ(code_of({.vocab_json = R"({"a":0})", .merges_txt = "a b", .config = unknown}),
            ErrorCode::unsupported);
  EXPECT_EQ(code_of({.vocab_json = "[]", .merges_txt = "a b"}), ErrorCode::damaged);
  EXPECT_EQ(code_of({.vocab_json = R"({"a":"b"})", .merges_txt = "a b"}), ErrorCode::damaged);
  EXPECT_EQ(code_of({.vocab_json = R"({"a":0})", .merges_txt = "a b"}), ErrorCode::damaged);
  for (const char* merges : {"a", "a b c", " b", "a ", "\xff a"}) {
    EXPECT_EQ(code_of({.vocab_json = R"({"a":0,"b":1,"ab":2})", .merges_txt = merges}),
              ErrorCode::damaged)
        << merges;
  }
}

TEST(SlowTokenizerFiles, SentencePieceModelsCutAnywhereNeverCrash) {
  const std::string model = golden_file("slow/t5/spiece.model");
  ASSERT_FALSE(model.empty());
  for (size_t size = 0; size < model.size(); size += 1 + size / 64) {
    const auto cut = read_sentence_piece_model(std::string_view(model).substr(0, size), "m");
    EXPECT_TRUE(cut.ok() || cut.error().code == ErrorCode::damaged) << size;
  }
  for (size_t at = 0; at < model.size(); at += 7) {
    std::string changed = model;
    changed[at] = static_cast<char>(changed[at] ^ (1 << at % 8));
    static_cast<void>(code_of({.sentence_piece_model = changed}));
  }
}

}  // namespace
}  // namespace phial

// Vocabularies of GGUF files: the tokenizers of tests/golden/pipelines written down as converters
// do it, and read again, give the ids of the originals, which are those of Hugging Face.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "base/utf8.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace phial {
namespace {

std::string pipeline_file(const std::string& name) {
  std::ifstream in(PHIAL_SOURCE_DIR "/tests/golden/pipelines/" + name, std::ios::binary);
  EXPECT_TRUE(in.good()) << name;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> pipeline_texts() {
  const Json json = parse_json(pipeline_file("texts.json"), "texts.json").value();
  std::vector<std::string> texts;
  for (const Json& text : *json.if_array()) texts.push_back(*text.if_string());
  return texts;
}

TokenizerSpec pipeline_spec(const std::string& name) {
  Result<TokenizerSpec> spec =
      tokenizer_spec_from_hf(pipeline_file(name + ".tokenizer.json"), {}, {}, name);
  EXPECT_TRUE(spec.ok()) << spec.error().to_string();
  return spec.ok() ? *std::move(spec) : TokenizerSpec();
}

std::shared_ptr<const Tokenizer> must_create(TokenizerSpec spec) {
  auto tokenizer = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

// A pipeline without what files do not keep: NFC, and the flags of added tokens.
TokenizerSpec kept_by_gguf(TokenizerSpec spec) {
  if (spec.normalizer.size() == 1 &&
      std::holds_alternative<normalizer::Unicode>(spec.normalizer[0])) {
    spec.normalizer.clear();
  }
  spec.clean_up_tokenization_spaces = false;
  const bool byte_level = std::ranges::any_of(spec.pre_tokenizer, [](const auto& step) {
    return std::holds_alternative<pre_tokenizer::ByteLevel>(step);
  });
  for (AddedToken& token : spec.added_tokens) {
    token = {.id = token.id,
             .content = token.content,
             .special = token.special,
             .normalized = byte_level && !token.special};
  }
  return spec;
}

struct Pipeline {
  const char* name;
  const char* model;
  const char* pre;
  int different = 0;  // texts that llama.cpp's tokenizer reads in another way
};

class GgufVocabularyTest : public testing::TestWithParam<Pipeline> {};

TEST_P(GgufVocabularyTest, ReadAgainGivesTheSameIds) {
  const TokenizerSpec original = kept_by_gguf(pipeline_spec(GetParam().name));
  const Result<OwnedGgufVocabulary> written = gguf_vocabulary_of(original, "", "tokenizer.json");
  ASSERT_TRUE(written.ok()) << written.error().to_string();
  EXPECT_EQ(written->model, GetParam().model);
  EXPECT_EQ(written->pre, GetParam().pre);
  Result<TokenizerSpec> read = tokenizer_spec_from_gguf(written->view(), "m.gguf");
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  const auto expected = must_create(original);
  const auto found = must_create(*std::move(read));
  ASSERT_TRUE(expected && found);
  int different = 0;
  for (const std::string& text : pipeline_texts()) {
    for (const bool special : {true, false}) {
      const auto ids = expected->encode(text, {.add_special_tokens = special});
      if (!ids.ok()) continue;
      const auto ours = found->encode(text, {.add_special_tokens = special});
      if (!ours.ok() || *ours != *ids) {
        different += special;
        if (GetParam().different == 0) ADD_FAILURE() << printable(text);
        continue;
      }
      EXPECT_EQ(found->decode(*ours, true).value(), expected->decode(*ids, true).value());
    }
  }
  EXPECT_EQ(different, GetParam().different);
}

INSTANTIATE_TEST_SUITE_P(
    All, GgufVocabularyTest,
    testing::Values(
        Pipeline{"gpt2", "gpt2", "gpt-2"}, Pipeline{"llama3", "gpt2", "llama-bpe"},
        Pipeline{"qwen2", "gpt2", "qwen2"}, Pipeline{"starcoder", "gpt2", "smollm"},
        Pipeline{"falcon", "gpt2", "falcon"}, Pipeline{"bloom", "gpt2", "bloom"},
        Pipeline{"phi4", "gpt2", "gpt-4o"}, Pipeline{"llama2", "llama", "default"},
        Pipeline{"phi3", "llama", "default"},
        // No second space before a text that begins with one, nor one behind special tokens.
        Pipeline{"mistral", "llama", "default", 61}, Pipeline{"gemma", "llama", "default"},
        // Words end at white space of every kind.
        Pipeline{"t5", "t5", "default", 34}, Pipeline{"bert", "bert", "default"}),
    [](const auto& test) { return std::string(test.param.name); });

// Scores decide, whatever the order of the tokens; the leftmost of equals comes first.
TEST(GgufSentencePiece, MergesByScore) {
  GgufVocabulary v;
  v.model = "llama";
  v.tokens = {"<unk>", "<s>", "</s>",    "<0x0A>", "\u2581", "a",  "b",
              "ab",    "ba",  "\u2581a", "aba",    "bb",     "<x>"};
  v.token_types = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1, 4};
  v.scores = {0, 0, 0, 0, -20, -20, -20, -1, -2, -9, -3, -1, -1000};
  v.bos_id = 1;
  v.eos_id = 2;
  v.unk_id = 0;
  const auto ids = [&](std::string_view text) {
    const auto tokenizer = must_create(tokenizer_spec_from_gguf(v, "m.gguf").value());
    return tokenizer->encode(text, {}).value();
  };
  EXPECT_EQ(ids("aba"), (std::vector<int32_t>{1, 4, 10}));
  EXPECT_EQ(ids("abb"), (std::vector<int32_t>{1, 4, 7, 6}));  // ab and bb have one score
  EXPECT_EQ(ids("bbb"), (std::vector<int32_t>{1, 4, 11, 6}));
  EXPECT_EQ(ids("a"), (std::vector<int32_t>{1, 9}));
  EXPECT_EQ(ids("\n"), (std::vector<int32_t>{1, 4, 3}));
  EXPECT_EQ(ids("\t"), (std::vector<int32_t>{1, 4, 0}));  // has no byte piece here
  EXPECT_EQ(ids("b<x>a</s>"), (std::vector<int32_t>{1, 4, 6, 12, 9, 2}));
  v.add_space_prefix = false;
  v.add_bos = false;
  EXPECT_EQ(ids("a a"), (std::vector<int32_t>{5, 9}));
}

}  // namespace
}  // namespace phial

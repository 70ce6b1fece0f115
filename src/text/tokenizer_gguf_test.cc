// Vocabularies of GGUF files: the tokenizers of tests/golden/pipelines written down as converters
// do it, and read again, give the ids of the originals, which are those of Hugging Face.
#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "base/utf8.h"
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

// What a converter writes for a tokenizer.
struct Written {
  GgufVocabulary vocabulary;
  std::deque<std::string> texts;  // what the vocabulary's views look at

  explicit Written(const TokenizerSpec& spec) {
    for (const std::string& piece : spec.pieces) {
      vocabulary.tokens.push_back(texts.emplace_back(piece));
      vocabulary.token_types.push_back(piece.empty() ? 5 : 1);
    }
    for (const AddedToken& token : spec.added_tokens) {
      const auto id = static_cast<size_t>(token.id);
      if (id >= vocabulary.tokens.size()) {
        vocabulary.tokens.resize(id + 1, texts.emplace_back("[PAD]"));
        vocabulary.token_types.resize(id + 1, 5);
      }
      vocabulary.tokens[id] = texts.emplace_back(token.content);
      vocabulary.token_types[id] = token.special ? 3 : 4;
    }
    for (const TokenizerSpec::Merge& merge : spec.merges) {
      vocabulary.merges.push_back(
          texts.emplace_back(spec.pieces[static_cast<size_t>(merge.left)] + " " +
                             spec.pieces[static_cast<size_t>(merge.right)]));
    }
    vocabulary.scores = spec.scores;
    vocabulary.scores.resize(vocabulary.tokens.size());
    vocabulary.add_bos = false;
    vocabulary.add_eos = false;
  }
};

std::shared_ptr<const Tokenizer> must_create(TokenizerSpec spec) {
  auto tokenizer = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

// How many of the 500 texts have other ids.
int different_texts(const TokenizerSpec& original, const GgufVocabulary& vocabulary) {
  Result<TokenizerSpec> read = tokenizer_spec_from_gguf(vocabulary, "m.gguf");
  EXPECT_TRUE(read.ok()) << read.error().to_string();
  if (!read.ok()) return -1;
  const auto expected = must_create(original);
  const auto found = must_create(*std::move(read));
  if (!expected || !found) return -1;
  int different = 0;
  for (const std::string& text : pipeline_texts()) {
    const auto ids = expected->encode(text, {.add_special_tokens = false});
    if (!ids.ok()) continue;
    const auto ours = found->encode(text, {.add_special_tokens = false});
    if (ours.ok() && *ours == *ids) {
      EXPECT_EQ(found->decode(*ours, false).value(), expected->decode(*ids, false).value());
      continue;
    }
    if (++different == 1) ADD_FAILURE() << printable(text);
  }
  return different;
}

struct BytePairs {
  const char* pipeline;
  const char* pre;
};

class GgufBytePairs : public testing::TestWithParam<BytePairs> {};

TEST_P(GgufBytePairs, AsHuggingFace) {
  TokenizerSpec spec = pipeline_spec(GetParam().pipeline);
  // The file does not keep normalizers, nor what the flags of added tokens are.
  spec.normalizer.clear();
  spec.clean_up_tokenization_spaces = false;
  for (AddedToken& token : spec.added_tokens) {
    token = {.id = token.id,
             .content = token.content,
             .special = token.special,
             .normalized = !token.special};
  }
  Written written(spec);
  written.vocabulary.model = "gpt2";
  written.vocabulary.pre = GetParam().pre;
  EXPECT_EQ(different_texts(spec, written.vocabulary), 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, GgufBytePairs,
    testing::Values(BytePairs{"gpt2", "gpt-2"}, BytePairs{"llama3", "llama-bpe"},
                    BytePairs{"qwen2", "qwen2"}, BytePairs{"starcoder", "starcoder"},
                    BytePairs{"falcon", "falcon"}, BytePairs{"bloom", "bloom"}),
    [](const auto& test) { return std::string(test.param.pipeline); });

TEST(GgufWordPieces, AsHuggingFace) {
  const TokenizerSpec spec = pipeline_spec("bert");
  Written written(spec);
  GgufVocabulary& v = written.vocabulary;
  v.model = "bert";
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    if (v.token_types[id] != 1) continue;
    const std::string piece(v.tokens[id]);
    v.tokens[id] =
        written.texts.emplace_back(piece.starts_with("##") ? piece.substr(2) : "\u2581" + piece);
  }
  EXPECT_EQ(different_texts(spec, v), 0);
  v.add_bos.reset();
  const TokenizerSpec framed = tokenizer_spec_from_gguf(v, "m.gguf").value();
  EXPECT_EQ(framed.prefix_ids, spec.prefix_ids);
  EXPECT_EQ(framed.suffix_ids, spec.suffix_ids);
}

TEST(GgufUnigram, AsHuggingFace) {
  TokenizerSpec spec = pipeline_spec("t5");
  spec.pre_tokenizer = {pre_tokenizer::Metaspace{.prepend = PrependScheme::always}};
  for (AddedToken& token : spec.added_tokens) token.lstrip = token.rstrip = false;
  Written written(spec);
  GgufVocabulary& v = written.vocabulary;
  v.model = "t5";
  v.unk_id = 2;
  v.eos_id = 1;
  v.token_types[2] = 2;
  v.add_space_prefix = true;
  v.precompiled_charsmap = std::get<normalizer::Precompiled>(spec.normalizer.at(0)).charsmap;
  EXPECT_EQ(different_texts(spec, v), 0);
  v.add_eos.reset();
  EXPECT_EQ(tokenizer_spec_from_gguf(v, "m.gguf")->suffix_ids, std::vector<int32_t>{1});
}

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

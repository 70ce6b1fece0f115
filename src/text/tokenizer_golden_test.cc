// The answers of Hugging Face `tokenizers` in tests/golden/tokenizers, made by
// tests/golden/make_tokenizers.py.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/json.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

namespace phial {
namespace {

std::string golden_file(std::string_view tokenizer, std::string_view file) {
  const std::string path = std::string(PHIAL_SOURCE_DIR "/tests/golden/tokenizers/") +
                           std::string(tokenizer) + "/" + std::string(file);
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Vector {
  std::optional<std::string> text;
  std::vector<int32_t> ids, plain;
  std::string decoded, skipped;
};

std::vector<int32_t> ids_of(const Json& list) {
  std::vector<int32_t> ids;
  for (const Json& id : *list.if_array()) ids.push_back(static_cast<int32_t>(*id.if_integer()));
  return ids;
}

std::vector<Vector> golden_vectors(std::string_view tokenizer) {
  std::istringstream lines(golden_file(tokenizer, "vectors.jsonl"));
  std::vector<Vector> vectors;
  for (std::string line; std::getline(lines, line);) {
    const Result<Json> json = parse_json(line, "vectors.jsonl");
    EXPECT_TRUE(json.ok()) << line;
    if (!json.ok()) continue;
    Vector v;
    if (const Json* text = json->find("text")) v.text = *text->if_string();
    v.ids = ids_of(*json->find("ids"));
    const Json* plain = json->find("plain");
    v.plain = plain ? ids_of(*plain) : v.ids;
    v.decoded = *json->find("decoded")->if_string();
    const Json* skipped = json->find("skipped");
    v.skipped = skipped ? *skipped->if_string() : v.decoded;
    vectors.push_back(std::move(v));
  }
  return vectors;
}

TokenizerSpec golden_spec(std::string_view tokenizer) {
  Result<TokenizerSpec> spec =
      tokenizer_spec_from_hf(golden_file(tokenizer, "tokenizer.json"), {}, {}, "tokenizer.json");
  EXPECT_TRUE(spec.ok()) << spec.error().to_string();
  return spec.ok() ? *std::move(spec) : TokenizerSpec();
}

std::shared_ptr<const Tokenizer> must_create(TokenizerSpec spec) {
  auto tokenizer = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

void expect_vectors(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view name) {
  ASSERT_TRUE(tokenizer);
  const std::vector<Vector> vectors = golden_vectors(name);
  ASSERT_GE(vectors.size(), 300u);
  for (const Vector& v : vectors) {
    if (v.text) {
      SCOPED_TRACE(printable(*v.text));
      EXPECT_EQ(tokenizer->encode(*v.text, {}).value(), v.ids);
      EXPECT_EQ(tokenizer->encode(*v.text, {.add_special_tokens = false}).value(), v.plain);
    }
    for (const bool skip : {false, true}) {
      const std::string& expected = skip ? v.skipped : v.decoded;
      EXPECT_EQ(tokenizer->decode(v.ids, skip).value(), expected);
      StreamDecoder stream(tokenizer, skip);
      std::string streamed;
      for (const int32_t id : v.ids) {
        const std::string part = stream.push(id).value();
        EXPECT_TRUE(expected.substr(streamed.size()).starts_with(part));
        streamed += part;
      }
      EXPECT_EQ(streamed + stream.finish(), expected);
    }
  }
}

class GoldenTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTokenizer, HuggingFaceFile) {
  expect_vectors(must_create(golden_spec(GetParam())), GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizer,
                         testing::Values("gpt2", "smollm", "llama3", "phi2", "flags"),
                         [](const auto& test) { return std::string(test.param); });

// tests/golden/pipelines: NAME.answers, as tests/golden/make_pipelines.py lays them out.
class Answers {
 public:
  explicit Answers(std::string bytes) : bytes_(std::move(bytes)) {}

  size_t number() {
    size_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.at(at_++));
      value |= static_cast<size_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  }
  std::vector<int32_t> ids() {
    std::vector<int32_t> ids(number());
    for (int32_t& id : ids) id = static_cast<int32_t>(number());
    return ids;
  }
  std::string changed(std::string_view old) {
    const size_t begin = number();
    const size_t end = number();
    const size_t between = number();
    std::string text(old.substr(0, begin));
    text += bytes_.substr(at_, between);
    at_ += between;
    return text += old.substr(old.size() - end);
  }
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::string bytes_;
  size_t at_ = 0;
};

std::string pipeline_file(std::string_view name) { return golden_file("../pipelines", name); }

std::vector<std::string> pipeline_texts() {
  const Json json = parse_json(pipeline_file("texts.json"), "texts.json").value();
  std::vector<std::string> texts;
  for (const Json& text : *json.if_array()) texts.push_back(*text.if_string());
  return texts;
}

// Decodes id by id: no result may end inside a character.
std::string streamed(const std::shared_ptr<const Tokenizer>& tokenizer,
                     const std::vector<int32_t>& ids, bool skip) {
  StreamDecoder stream(tokenizer, skip);
  std::string text;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id).value();
    EXPECT_EQ(utf8::find_invalid(part), std::nullopt);
    text += part;
  }
  return text + stream.finish();
}

class GoldenPipeline : public testing::TestWithParam<const char*> {};

TEST_P(GoldenPipeline, AsHuggingFace) {
  enum : int { kPlain = 1, kDecoded = 2, kSkipped = 4, kRefused = 8, kDied = 16 };
  const std::string name = GetParam();
  Result<TokenizerSpec> spec =
      tokenizer_spec_from_hf(pipeline_file(name + ".tokenizer.json"), {}, {}, "tokenizer.json");
  ASSERT_TRUE(spec.ok()) << spec.error().to_string();
  const auto tokenizer = must_create(*std::move(spec));
  ASSERT_TRUE(tokenizer);
  Answers answers(pipeline_file(name + ".answers"));
  const size_t prefix = answers.number();
  const size_t suffix = answers.number();
  const std::vector<std::string> texts = pipeline_texts();
  ASSERT_EQ(texts.size(), 500u);
  for (const std::string& text : texts) {
    SCOPED_TRACE(printable(text));
    const auto flags = static_cast<int>(answers.number());
    const auto found = tokenizer->encode(text, {});
    if (flags & kRefused) {
      EXPECT_FALSE(found.ok());
      continue;
    }
    const std::vector<int32_t> ids = answers.ids();
    std::vector<int32_t> plain;
    if (flags & kPlain) {
      plain = answers.ids();
    } else {
      plain.assign(ids.begin() + static_cast<ptrdiff_t>(prefix),
                   ids.end() - static_cast<ptrdiff_t>(suffix));
    }
    ASSERT_TRUE(found.ok()) << found.error().to_string();
    EXPECT_EQ(*found, ids);
    EXPECT_EQ(tokenizer->encode(text, {.add_special_tokens = false}).value(), plain);
    const std::string decoded = flags & kDecoded ? answers.changed(text) : text;
    const std::string skipped = flags & kSkipped ? answers.changed(decoded) : decoded;
    for (const bool skip : {false, true}) {
      const std::string whole = tokenizer->decode(ids, skip).value();
      if (!(flags & kDied)) {
        EXPECT_EQ(whole, skip ? skipped : decoded);
      }
      EXPECT_EQ(streamed(tokenizer, ids, skip), whole);
    }
  }
  EXPECT_TRUE(answers.at_end());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenPipeline,
                         testing::Values("gpt2", "llama3", "qwen2", "phi4", "deepseek", "falcon",
                                         "starcoder", "bloom", "roberta", "clip", "byte_normalizer",
                                         "llama2", "phi3", "gemma", "mistral", "few_bytes", "t5",
                                         "xlnet", "albert", "unigram_bytes", "scripts", "bert",
                                         "distilbert_cased", "prefixed_bpe", "openai_gpt",
                                         "wav2vec2", "word_level", "cutting", "flags"),
                         [](const auto& test) { return std::string(test.param); });

// The same tokenizer as a GGUF file keeps it.
class GgufTwin {
 public:
  GgufTwin(TokenizerSpec spec, std::string_view pre) : spec_(std::move(spec)) {
    for (const AddedToken& token : spec_.added_tokens) {
      const auto id = static_cast<size_t>(token.id);
      if (spec_.pieces.size() <= id) spec_.pieces.resize(id + 1);
      spec_.pieces[id] = token.content;
    }
    vocabulary_.model = "gpt2";
    vocabulary_.pre = pre;
    vocabulary_.tokens.assign(spec_.pieces.begin(), spec_.pieces.end());
    vocabulary_.token_types.assign(spec_.pieces.size(), 1);
    for (const AddedToken& token : spec_.added_tokens) {
      vocabulary_.token_types[static_cast<size_t>(token.id)] = token.special ? 3 : 4;
    }
    for (const TokenizerSpec::Merge& merge : spec_.merges) {
      merges_.push_back(spec_.pieces[static_cast<size_t>(merge.left)] + " " +
                        spec_.pieces[static_cast<size_t>(merge.right)]);
    }
    vocabulary_.merges.assign(merges_.begin(), merges_.end());
    if (!spec_.prefix_ids.empty()) vocabulary_.bos_id = spec_.prefix_ids[0];
  }

  const GgufVocabulary& vocabulary() const { return vocabulary_; }

 private:
  TokenizerSpec spec_;
  std::vector<std::string> merges_;
  GgufVocabulary vocabulary_;
};

struct PreOfTokenizer {
  const char* name;
  const char* pre;
};

class GoldenGguf : public testing::TestWithParam<PreOfTokenizer> {};

TEST_P(GoldenGguf, SameAnswers) {
  const GgufTwin twin(golden_spec(GetParam().name), GetParam().pre);
  Result<TokenizerSpec> spec = tokenizer_spec_from_gguf(twin.vocabulary(), "model.gguf");
  ASSERT_TRUE(spec.ok()) << spec.error().to_string();
  expect_vectors(must_create(*std::move(spec)), GetParam().name);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenGguf,
                         testing::Values(PreOfTokenizer{"gpt2", "gpt-2"},
                                         PreOfTokenizer{"smollm", "smollm"},
                                         PreOfTokenizer{"llama3", "llama-bpe"},
                                         PreOfTokenizer{"phi2", "phi-2"}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace phial

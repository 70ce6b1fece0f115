#include "text/tokenizer_spec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "text/tokenizer.h"

namespace phial {
namespace {

constexpr std::string_view kByteLevel =
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";

// A tokenizer.json of five pieces; `change` replaces or adds top members as JSON text.
std::string tokenizer_json(
    std::initializer_list<std::pair<std::string_view, std::string_view>> change = {}) {
  std::vector<std::pair<std::string, std::string>> members = {
      {"version", "\"1.0\""},
      {"added_tokens", R"([{"id":4,"content":"<s>","special":true,"normalized":false}])"},
      {"normalizer", "null"},
      {"pre_tokenizer", std::string(kByteLevel)},
      {"post_processor", "null"},
      {"decoder", R"({"type":"ByteLevel"})"},
      {"model", R"({"type":"BPE","vocab":{"a":0,"b":1,"c":2,"ab":3},"merges":["a b"]})"}};
  for (const auto& [key, value] : change) {
    auto member = std::find_if(members.begin(), members.end(),
                               [key = key](const auto& m) { return m.first == key; });
    if (member == members.end()) member = members.insert(members.end(), {std::string(key), ""});
    member->second = value;
  }
  std::string text = "{";
  for (const auto& [key, value] : members) {
    text += (text.size() > 1 ? ",\"" : "\"") + key + "\":" + value;
  }
  return text + "}";
}

Json json(std::string_view text) { return parse_json(text, "test").value(); }

Result<TokenizerSpec> read(std::string_view text, const Json& config = {}, const Json& map = {}) {
  return tokenizer_spec_from_hf(text, config, map, "tokenizer.json");
}

TokenizerSpec must_read(std::string_view text, const Json& config = {}, const Json& map = {}) {
  Result<TokenizerSpec> spec = read(text, config, map);
  EXPECT_TRUE(spec.ok()) << spec.error().to_string();
  return spec.ok() ? *std::move(spec) : TokenizerSpec();
}

// "code where: message" of the error.
std::string error_of(const Result<TokenizerSpec>& spec) {
  if (spec.ok()) return "no error";
  return std::string(error_info(spec.error().code).name) + " " + spec.error().to_string();
}

void expect_error(const Result<TokenizerSpec>& spec, std::string_view code, std::string_view part) {
  const std::string error = error_of(spec);
  EXPECT_TRUE(error.starts_with(code)) << error;
  EXPECT_NE(error.find(part), std::string::npos) << error << "\nlacks " << part;
}

TEST(HfSpec, ReadsTheModel) {
  const TokenizerSpec spec = must_read(tokenizer_json());
  EXPECT_EQ(spec.pieces, (std::vector<std::string>{"a", "b", "c", "ab"}));
  ASSERT_EQ(spec.merges.size(), 1u);
  EXPECT_EQ(spec.merges[0].result, 3);
  ASSERT_EQ(spec.added_tokens.size(), 1u);
  EXPECT_EQ(spec.added_tokens[0].content, "<s>");
  EXPECT_TRUE(spec.added_tokens[0].special);
  EXPECT_EQ(spec.merges[0].rank, 0u);
  EXPECT_EQ(spec.model, TokenizerSpec::Model::bpe);
  EXPECT_FALSE(spec.ignore_merges);
}

TEST(HfSpec, MergesAsArraysAndAVersionLine) {
  const auto with_merges = [](std::string_view merges) {
    return tokenizer_json(
        {{"model",
          R"({"type":"BPE","ignore_merges":true,"vocab":{"a":0,"b":1,"ab":2,"<s>":4},"merges":)" +
              std::string(merges) + "}"}});
  };
  EXPECT_EQ(must_read(with_merges(R"([["a","b"]])")).merges.size(), 1u);
  EXPECT_EQ(must_read(with_merges(R"(["#version: 0.2","a b"])")).merges.size(), 1u);
  EXPECT_EQ(must_read(with_merges("[]")).merges.size(), 0u);
  EXPECT_TRUE(must_read(with_merges("[]")).ignore_merges);
  EXPECT_EQ(must_read(with_merges("[]")).pieces[3], "");
  expect_error(read(with_merges(R"([["a","b"],"a b"])")), "damaged", "model.merges[1]");
  expect_error(read(with_merges(R"(["a b",["a","b"]])")), "damaged", "model.merges[1]");
  expect_error(read(with_merges(R"(["a b b"])")), "damaged", "model.merges[0]");
  expect_error(read(with_merges(R"(["ab"])")), "damaged", "model.merges[0]");
  expect_error(read(with_merges(R"(["a "])")), "damaged", "\"\" is not in the vocabulary");
  expect_error(read(with_merges(R"(["a q"])")), "damaged", "\"q\" is not in the vocabulary");
  expect_error(read(with_merges(R"(["b a"])")), "damaged", "\"ba\" is not in the vocabulary");
  expect_error(read(with_merges(R"([["a"]])")), "damaged", "model.merges[0]");
  expect_error(read(with_merges(R"([7])")), "damaged", "model.merges[0]");
  expect_error(read(with_merges(R"({})")), "damaged", "expected an array, found object");
}

TEST(HfSpec, DamagedVocabularies) {
  const auto with_vocab = [](std::string_view vocab) {
    return read(tokenizer_json(
        {{"model", R"({"type":"BPE","merges":[],"vocab":)" + std::string(vocab) + "}"},
         {"added_tokens", "[]"}}));
  };
  EXPECT_EQ(error_of(with_vocab(R"({"a":0})")), "no error");
  EXPECT_EQ(error_of(with_vocab(R"({"a":3})")), "no error");
  expect_error(with_vocab(R"({"a":4})"), "damaged", "its largest id is 4, for 1 pieces");
  expect_error(with_vocab(R"({"a":16777216})"), "damaged", "16777216 is out of range");
  expect_error(with_vocab(R"({"a":-1})"), "damaged", "-1 is out of range");
  expect_error(with_vocab(R"({"a":9223372036854775807})"), "damaged", "out of range");
  expect_error(with_vocab(R"({"a":1e3})"), "damaged", "expected an integer, found number");
  expect_error(with_vocab(R"({"a":"0"})"), "damaged", "expected an integer, found string");
  expect_error(with_vocab(R"({"a":0,"b":0})"), "damaged",
               "the id 0 is given to \"a\" and to \"b\"");
  expect_error(with_vocab(R"({"a":0,"a":1})"), "damaged", "twice");
  expect_error(with_vocab(R"({"":0})"), "damaged", "a piece is empty");
  expect_error(with_vocab(R"([["a",0]])"), "damaged", "expected an object, found array");
  expect_error(with_vocab("null"), "damaged", "model.vocab");
}

TEST(HfSpec, DamagedAddedTokens) {
  const auto with_added = [](std::string_view tokens) {
    return read(tokenizer_json({{"added_tokens", tokens}}));
  };
  EXPECT_EQ(error_of(with_added("[]")), "no error");
  EXPECT_EQ(error_of(with_added(R"([{"id":3,"content":"ab"},{"id":4,"content":"x"}])")),
            "no error");
  expect_error(with_added(R"([{"id":7,"content":"x"}])"), "damaged", "the vocabulary gives it 4");
  expect_error(with_added(R"([{"id":4,"content":"ab"}])"), "damaged", "the vocabulary gives it 3");
  expect_error(with_added(R"([{"id":4,"content":""}])"), "damaged", "empty");
  expect_error(with_added(R"([{"id":4,"content":"x"},{"id":4,"content":"x"}])"), "damaged",
               "twice");
  expect_error(with_added(R"([{"id":4,"content":"x"},{"id":4,"content":"y"}])"), "damaged",
               "gives it 5");
  expect_error(with_added(R"([{"content":"x"}])"), "damaged", "added_tokens[0].id");
  expect_error(with_added(R"([{"id":4}])"), "damaged", "added_tokens[0].content");
  expect_error(with_added(R"([{"id":99999999999,"content":"x"}])"), "damaged", "out of range");
  expect_error(with_added(R"([{"id":4,"content":"x","lstrip":1}])"), "damaged",
               "added_tokens[0].lstrip");
  expect_error(with_added(R"(["x"])"), "damaged", "added_tokens[0]");
  expect_error(with_added(R"("x")"), "damaged", "added_tokens");
}

TEST(HfSpec, NamesWhatIsNotSupported) {
  const auto with = [](std::string_view key, std::string_view value) {
    return read(tokenizer_json({{key, value}}));
  };
  expect_error(with("normalizer", R"({"type":"NFX"})"), "unsupported",
               "normalizer: the type \"NFX\"");
  expect_error(with("normalizer", R"({"type":"Sequence","normalizers":[{"type":"NFC"},{}]})"),
               "unsupported", "normalizer: the type \"\"");
  expect_error(with("pre_tokenizer", R"({"type":"Whitespaces"})"), "unsupported",
               "pre_tokenizer: the type \"Whitespaces\"");
  expect_error(with("decoder", R"({"type":"Bytes"})"), "unsupported",
               "decoder: the type \"Bytes\"");
  expect_error(with("post_processor", R"({"type":"Pairs"})"), "unsupported",
               "post_processor: the type \"Pairs\"");
  expect_error(with("model", R"({"type":"Bigram","vocab":{}})"), "unsupported",
               "model: the type \"Bigram\"");
  const auto with_option = [&with](std::string_view option) {
    return with("model", R"({"type":"BPE","vocab":{"a":0,"b":1,"c":2,"d":3},"merges":[],)" +
                             std::string(option) + "}");
  };
  EXPECT_EQ(error_of(with_option(R"("dropout":0.0,"end_of_word_suffix":"","byte_fallback":false)")),
            "no error");
  expect_error(with_option(R"("dropout":0.1)"), "unsupported", "model.dropout");
  expect_error(with_option(R"("end_of_word_suffix":7)"), "damaged", "model.end_of_word_suffix");
  expect_error(with_option(R"("continuing_subword_prefix":[])"), "damaged", "prefix");
  expect_error(with_option(R"("byte_fallback":0)"), "damaged", "model.byte_fallback");
  expect_error(with_option(R"("ignore_merges":"yes")"), "damaged", "model.ignore_merges");
  expect_error(with_option(R"("unk_token":3)"), "damaged", "model.unk_token");
}

TEST(HfSpec, ReadsUnigram) {
  const auto with = [](std::string_view members) {
    return read(tokenizer_json({{"model", R"({"type":"Unigram",)" + std::string(members) + "}"}}));
  };
  const Result<TokenizerSpec> spec =
      with(R"("vocab":[["<unk>",0],["a",-1.5],["b",-2.0154635906219482],["a",-3]],"unk_id":0)");
  ASSERT_TRUE(spec.ok()) << error_of(spec);
  EXPECT_EQ(spec->pieces, (std::vector<std::string>{"<unk>", "a", "b", "a"}));
  // The third as `tokenizers` prints it after reading: a unit in the last place off.
  EXPECT_EQ(spec->scores, (std::vector<double>{0, -1.5, -2.015463590621948, -3}));
  EXPECT_EQ(spec->unknown_piece_id, 0);
  expect_error(with(R"("vocab":[["a",0]],"unk_id":1)"), "damaged", "model.unk_id");
  expect_error(with(R"("vocab":[["a"]])"), "damaged", "model.vocab[0]");
  expect_error(with(R"("vocab":[["",0]])"), "damaged", "model.vocab[0]");
  expect_error(with(R"("vocab":[["a","b"]])"), "damaged", "model.vocab[0]");
  expect_error(with(R"("vocab":{"a":0})"), "damaged", "expected an array");
}

TEST(HfSpec, DamagedSteps) {
  const auto with = [](std::string_view key, std::string_view value) {
    return read(tokenizer_json({{key, value}}));
  };
  const auto normalizer = [&](std::string_view value) { return with("normalizer", value); };
  const auto pre_tokenizer = [&](std::string_view value) { return with("pre_tokenizer", value); };
  const auto decoder = [&](std::string_view value) { return with("decoder", value); };
  expect_error(normalizer(R"({"type":"Replace","content":"x"})"), "damaged", "normalizer.pattern");
  expect_error(normalizer(R"({"type":"Replace","pattern":{"String":"x"}})"), "damaged",
               "normalizer.content");
  expect_error(normalizer(R"({"type":"Prepend"})"), "damaged", "normalizer.prepend");
  expect_error(normalizer(R"({"type":"Strip","strip_left":1})"), "damaged", "strip_left");
  expect_error(normalizer(R"({"type":"Precompiled","precompiled_charsmap":"A"})"), "damaged",
               "base64");
  expect_error(normalizer(R"({"type":"Precompiled","precompiled_charsmap":null})"), "damaged",
               "precompiled_charsmap");
  expect_error(pre_tokenizer(R"({"type":"Metaspace","replacement":"ab"})"), "damaged",
               "one character");
  expect_error(pre_tokenizer(R"({"type":"Metaspace","replacement":""})"), "damaged",
               "one character");
  expect_error(pre_tokenizer(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"x"})"),
               "unsupported", "prepend_scheme");
  expect_error(pre_tokenizer(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first",)"
                             R"("add_prefix_space":false})"),
               "damaged", "does not match");
  expect_error(pre_tokenizer(R"({"type":"Split","pattern":{"String":"x"},"behavior":"Kept"})"),
               "unsupported", "behavior");
  expect_error(pre_tokenizer(R"({"type":"Split"})"), "damaged", "behavior");
  expect_error(pre_tokenizer(R"({"type":"Split","behavior":"Removed","pattern":"x"})"), "damaged",
               "pattern");
  expect_error(pre_tokenizer(R"({"type":"FixedLength","length":-1})"), "damaged", "length");
  expect_error(pre_tokenizer(R"({"type":"CharDelimiterSplit"})"), "damaged", "delimiter");
  expect_error(decoder(R"({"type":"Strip","content":" ","start":1})"), "damaged", "decoder.stop");
  expect_error(decoder(R"({"type":"BPEDecoder"})"), "damaged", "decoder.suffix");
  expect_error(decoder(R"({"type":"CTC"})"), "damaged", "decoder.pad_token");
  expect_error(decoder(R"({"type":"WordPiece"})"), "damaged", "decoder.prefix");
}

TEST(HfSpec, NoDecoderIsNotAnEmptySequence) {
  const auto decoder_of = [](std::string_view decoder) {
    return must_read(tokenizer_json({{"decoder", decoder}})).decoder;
  };
  EXPECT_TRUE(decoder_of("null").empty());
  EXPECT_EQ(decoder_of(R"({"type":"Sequence","decoders":[]})").size(), 1u);
}

TEST(HfSpec, WrongKinds) {
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "model"}) {
    for (const char* value : {"[]", "7", "\"x\"", "true"}) {
      const std::string error = error_of(read(tokenizer_json({{key, value}})));
      EXPECT_TRUE(error.starts_with("damaged")) << error;
    }
  }
  for (const char* text : {"", "[]", "7", "null", "{", "\xFF"}) {
    EXPECT_TRUE(error_of(read(text)).starts_with("damaged")) << text;
  }
  EXPECT_TRUE(error_of(read("{}")).starts_with("damaged"));
}

TEST(HfSpec, RefusesDeepSequences) {
  std::string nested(kByteLevel);
  for (int i = 0; i < 20; ++i) nested = R"({"type":"Sequence","pretokenizers":[)" + nested + "]}";
  expect_error(read(tokenizer_json({{"pre_tokenizer", nested}})), "over_limit", "pre_tokenizer");
}

TEST(HfSpec, RefusesTooManySteps) {
  std::string steps = R"({"type":"NFC"})";
  for (int i = 0; i < 256; ++i) steps += R"(,{"type":"NFC"})";
  const std::string list = R"({"type":"Sequence","normalizers":[)" + steps + "]}";
  expect_error(read(tokenizer_json({{"normalizer", list}})), "over_limit", "256 steps");
}

TEST(HfSpec, BertAndRobertaProcessing) {
  const auto with = [](std::string_view members) {
    return read(tokenizer_json(
        {{"post_processor", R"({"type":"BertProcessing",)" + std::string(members) + "}"}}));
  };
  const Result<TokenizerSpec> spec = with(R"("sep":["b",1],"cls":["a",0])");
  ASSERT_TRUE(spec.ok()) << error_of(spec);
  EXPECT_EQ(spec->prefix_ids, std::vector<int32_t>{0});
  EXPECT_EQ(spec->suffix_ids, std::vector<int32_t>{1});
  expect_error(with(R"("sep":["b",1])"), "damaged", "post_processor.cls");
  expect_error(with(R"("sep":["b",9],"cls":["a",0])"), "damaged", "outside the vocabulary");
  expect_error(with(R"("sep":["b"],"cls":["a",0])"), "damaged", "post_processor.sep");
}

TEST(HfSpec, PostProcessors) {
  const auto with = [](std::string_view single, std::string_view tokens) {
    return read(tokenizer_json(
        {{"post_processor", R"({"type":"Sequence","processors":[{"type":"ByteLevel"},)"
                            R"({"type":"TemplateProcessing","single":)" +
                                std::string(single) + R"(,"pair":[],"special_tokens":)" +
                                std::string(tokens) + "}]}"}}));
  };
  const char* kBos = R"({"SpecialToken":{"id":"<s>","type_id":0}})";
  const char* kText = R"({"Sequence":{"id":"A","type_id":0}})";
  const char* kIds = R"({"<s>":{"id":"<s>","ids":[4,1],"tokens":["<s>","b"]}})";
  const std::string list = std::string("[") + kBos + "," + kText + "," + kBos + "]";
  const Result<TokenizerSpec> spec = with(list, kIds);
  ASSERT_TRUE(spec.ok()) << error_of(spec);
  EXPECT_EQ(spec->prefix_ids, (std::vector<int32_t>{4, 1}));
  EXPECT_EQ(spec->suffix_ids, (std::vector<int32_t>{4, 1}));
  expect_error(with(list, "{}"), "damaged", "no ids for \"<s>\"");
  expect_error(with(list, R"({"<s>":{"ids":[5]}})"), "damaged", "outside the vocabulary of 5 ids");
  expect_error(with(list, R"({"<s>":{"ids":["x"]}})"), "damaged", "expected an integer");
  expect_error(with(std::string("[") + kBos + "]", kIds), "damaged", "sequence A once");
  expect_error(with(std::string("[") + kText + "," + kText + "]", kIds), "damaged", "A once");
  expect_error(with(R"([{"Sequence":{"id":"B"}}])", kIds), "damaged", "A once");
  expect_error(with(R"([{}])", kIds), "damaged", "SpecialToken or a Sequence");
  expect_error(with(R"({})", kIds), "damaged", "post_processor.single");
}

// What these do was read off transformers 5.23.
TEST(HfSpec, ConfigFilesNameSpecialTokens) {
  const Json config = json(R"({"bos_token":"<s>","eos_token":{"content":"ab","lstrip":true},
      "pad_token":"[PAD]","image_token":"c","additional_special_tokens":["b"],"unk_token":null})");
  const TokenizerSpec spec = must_read(tokenizer_json(), config);
  EXPECT_EQ(spec.bos_id, 4);
  EXPECT_EQ(spec.eos_id, 3);
  EXPECT_EQ(spec.pad_id, 5);  // numbered on
  EXPECT_EQ(spec.unk_id, std::nullopt);
  ASSERT_EQ(spec.added_tokens.size(), 5u);  // b, c, ab, <s>, [PAD]
  for (const AddedToken& token : spec.added_tokens) EXPECT_TRUE(token.special) << token.content;
  EXPECT_TRUE(spec.added_tokens[2].lstrip);
}

TEST(HfSpec, SpecialTokensMapCountsBesideOlderConfigsOnly) {
  const Json map = json(R"({"bos_token":"a"})");
  EXPECT_EQ(must_read(tokenizer_json(), json(R"({"bos_token":"b"})"), map).bos_id, 0);
  const Json config = json(R"({"bos_token":"b","added_tokens_decoder":{"4":{"content":"<s>"}}})");
  const TokenizerSpec spec = must_read(tokenizer_json(), config, map);
  EXPECT_EQ(spec.bos_id, 1);
  EXPECT_EQ(spec.added_tokens.size(), 2u);
}

TEST(HfSpec, AddedTokensDecoderChangesFlagsAndAdds) {
  const Json config = json(R"({"added_tokens_decoder":{
      "5":{"content":"<x>","special":false},"4":{"content":"<s>","rstrip":true,"special":true}}})");
  const TokenizerSpec spec = must_read(tokenizer_json(), config);
  ASSERT_EQ(spec.added_tokens.size(), 2u);
  EXPECT_TRUE(spec.added_tokens[0].rstrip);
  EXPECT_EQ(spec.added_tokens[1].content, "<x>");
  EXPECT_TRUE(spec.added_tokens[1].normalized);
  const auto with = [](std::string_view tokens) {
    return read(tokenizer_json(), json(R"({"added_tokens_decoder":)" + std::string(tokens) + "}"));
  };
  expect_error(with(R"({"9":{"content":"<x>"}})"), "damaged", "gives it 5");
  expect_error(with(R"({"x":{"content":"<x>"}})"), "damaged", "expected an id");
  expect_error(with(R"({"123456789123":{"content":"<x>"}})"), "damaged", "expected an id");
  expect_error(with(R"({"5":"<x>"})"), "damaged", "expected an object");
  expect_error(with(R"([])"), "damaged", "expected an object");
}

TEST(HfSpec, AddBosTokenIsLeftToThePostProcessor) {
  const Json config = json(R"({"tokenizer_class":"LlamaTokenizerFast","add_bos_token":true,
                               "bos_token":"<s>"})");
  EXPECT_TRUE(must_read(tokenizer_json(), config).prefix_ids.empty());
}

TEST(HfSpec, CleanUpOnlyWhenAskedInSoManyWords) {
  const Json config = json(R"({"clean_up_tokenization_spaces":true})");
  EXPECT_FALSE(must_read(tokenizer_json(), config).clean_up_tokenization_spaces);
  const Json both = json(R"({"clean_up_tokenization_spaces":true,
      "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output":true})");
  EXPECT_TRUE(must_read(tokenizer_json(), both).clean_up_tokenization_spaces);
}

GgufVocabulary vocabulary() {
  GgufVocabulary v;
  v.model = "gpt2";
  v.pre = "llama-bpe";
  v.tokens = {"a", "b", "ab", "<s>", "  ", "[PAD5]"};
  v.token_types = {1, 1, 1, 3, 4, 5};
  v.merges = {"a b"};
  v.bos_id = 3;
  v.eos_id = 3;
  return v;
}

Result<TokenizerSpec> read(const GgufVocabulary& v) {
  return tokenizer_spec_from_gguf(v, "m.gguf");
}

TEST(GgufSpec, ReadsTokens) {
  const Result<TokenizerSpec> spec = read(vocabulary());
  ASSERT_TRUE(spec.ok()) << error_of(spec);
  EXPECT_EQ(spec->pieces[2], "ab");
  EXPECT_EQ(spec->pieces[5], "");
  ASSERT_EQ(spec->merges.size(), 1u);
  EXPECT_EQ(spec->merges[0].result, 2);
  ASSERT_EQ(spec->added_tokens.size(), 2u);
  EXPECT_TRUE(spec->added_tokens[0].special);
  EXPECT_FALSE(spec->added_tokens[1].special);
  const auto tokenizer = Tokenizer::create(*spec);
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ((*tokenizer)->encode("ab  <s>", {}).value(), (std::vector<int32_t>{3, 2, 4, 3}));
}

TEST(GgufSpec, PreTokenizersAndBos) {
  GgufVocabulary v = vocabulary();
  const auto splitter_in = [](const TokenizerSpec& spec) {
    return std::get<pre_tokenizer::Words>(spec.pre_tokenizer.at(0)).splitter;
  };
  const auto spec_of = [&v](std::string_view pre) {
    v.pre = pre;
    Result<TokenizerSpec> spec = read(v);
    EXPECT_TRUE(spec.ok()) << error_of(spec);
    return spec.ok() ? *std::move(spec) : TokenizerSpec();
  };
  for (const char* pre : {"llama-bpe", "llama3", "llama-v3"}) {
    EXPECT_EQ(splitter_in(spec_of(pre)), Splitter::llama3);
    EXPECT_TRUE(spec_of(pre).ignore_merges);
    EXPECT_EQ(spec_of(pre).prefix_ids, std::vector<int32_t>{3});
  }
  for (const char* pre : {"gpt-2", "phi-2"}) EXPECT_EQ(splitter_in(spec_of(pre)), Splitter::gpt2);
  for (const char* pre : {"smollm", "starcoder"})
    EXPECT_EQ(splitter_in(spec_of(pre)), Splitter::smollm);
  for (const char* pre : {"", "default"}) {
    EXPECT_EQ(splitter_in(spec_of(pre)), Splitter::llamacpp_default);
    EXPECT_FALSE(spec_of(pre).ignore_merges);
    EXPECT_TRUE(spec_of(pre).prefix_ids.empty());
  }
  v.add_bos = true;
  v.add_eos = true;
  EXPECT_EQ(spec_of("smollm").prefix_ids, std::vector<int32_t>{3});
  EXPECT_EQ(spec_of("smollm").suffix_ids, std::vector<int32_t>{3});
  v.add_bos = false;
  EXPECT_TRUE(spec_of("llama-bpe").prefix_ids.empty());
}

TEST(GgufSpec, Refuses) {
  const auto error_with = [](auto change) {
    GgufVocabulary v = vocabulary();
    change(v);
    return read(v);
  };
  using V = GgufVocabulary;
  expect_error(error_with([](V& v) { v.model = "rwkv"; }), "unsupported",
               "model: the tokenizer \"rwkv\"");
  expect_error(error_with([](V& v) { v.pre = "qwen7"; }), "unsupported",
               "pre: the pre-tokenizer \"qwen7\"");
  for (const char* model : {"llama", "t5"}) {
    expect_error(error_with([&](V& v) { v.model = model; }), "damaged", "0 scores for 6 tokens");
    expect_error(error_with([&](V& v) { v.model = model, v.scores.assign(6, NAN); }), "damaged",
                 "not finite");
  }
  expect_error(error_with([](V& v) { v.model = "bert"; }), "damaged", "[SEP]");
  const std::string long_token(2000, 'x');
  expect_error(
      error_with([&](V& v) { v.model = "llama", v.tokens[0] = long_token, v.scores.assign(6, 0); }),
      "over_limit", "2000 bytes");
  expect_error(error_with([](V& v) { v.tokens[1] = "a"; }), "damaged", "tokens[1]");
  expect_error(error_with([](V& v) { v.tokens[1] = ""; }), "damaged", "tokens[1]");
  expect_error(error_with([](V& v) { v.tokens[1] = "\xFF"; }), "damaged", "tokens[1]");
  expect_error(error_with([](V& v) { v.token_types.pop_back(); }), "damaged",
               "5 types for 6 tokens");
  expect_error(error_with([](V& v) { v.merges[0] = "ab"; }), "damaged", "merges[0]");
  expect_error(error_with([](V& v) { v.merges[0] = "a q"; }), "damaged", "merges[0]");
  expect_error(error_with([](V& v) { v.merges[0] = "b a"; }), "damaged", "merges[0]");
  expect_error(error_with([](V& v) { v.merges[0] = ""; }), "damaged", "merges[0]");
  expect_error(error_with([](V& v) { v.bos_id = 6; }), "damaged", "bos_token_id");
  expect_error(error_with([](V& v) { v.eos_id = -1; }), "damaged", "eos_token_id");
  expect_error(error_with([](V& v) { v.unk_id = INT64_MAX; }), "damaged", "unknown_token_id");
  expect_error(error_with([](V& v) { v.bos_id.reset(); }), "damaged", "bos_token_id");
  expect_error(error_with([](V& v) { v.eos_id.reset(), v.add_eos = true; }), "damaged",
               "eos_token_id");
}

}  // namespace
}  // namespace phial

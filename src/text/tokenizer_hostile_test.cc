// Files and texts made to hurt: a named error or a result, soon and in little memory.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "sys/test_time.h"
#include "text/charsmap.h"
#include "text/tokenizer.h"

namespace phial {
namespace {

using Model = TokenizerSpec::Model;

// A piece for a, aa, aaaa ... 64 times, the same of the mark, and for digits; no pre-tokenizer.
TokenizerSpec spec_of(Model model) {
  TokenizerSpec spec;
  spec.model = model;
  spec.pieces = {"<unk>"};
  for (const std::string_view base : {"a", "\u2581"}) {
    std::string piece(base);
    for (int doubling = 0; doubling <= 6; ++doubling) {
      const auto id = static_cast<int32_t>(spec.pieces.size());
      if (doubling > 0) {
        spec.merges.push_back({id - 1, id - 1, id, static_cast<uint32_t>(spec.merges.size())});
      }
      spec.pieces.push_back(piece);
      piece += piece;
    }
  }
  for (char digit = '0'; digit <= '9'; ++digit) spec.pieces.emplace_back(1, digit);
  spec.scores.resize(spec.pieces.size());
  double score = -2.0;
  for (double& of_piece : spec.scores) of_piece = score -= 0.01;
  spec.unknown_piece_id = 0;
  spec.max_word_chars = SIZE_MAX;
  if (model == Model::word_piece) spec.continuing_subword_prefix.clear();
  return spec;
}

TEST(HostileText, AMegabyteOfAnythingIsLinear) {
  const std::pair<Model, bool> kModels[] = {{Model::bpe, false},        {Model::bpe, true},
                                            {Model::unigram, false},    {Model::unigram, true},
                                            {Model::word_piece, false}, {Model::word_level, false}};
  for (const auto& [model, byte_fallback] : kModels) {
    TokenizerSpec spec = spec_of(model);
    spec.byte_fallback = byte_fallback;
    for (int byte = 0; byte_fallback && byte < 256; ++byte) {
      constexpr char kDigits[] = "0123456789ABCDEF";
      spec.pieces.push_back(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">");
      spec.scores.push_back(0);
    }
    spec.normalizer = {normalizer::Replace{{" ", false}, "\u2581"}};
    const auto tokenizer = Tokenizer::create(spec).value();
    for (const std::string_view unit : {"a", " ", "7", "?"}) {
      std::string text;
      while (text.size() < kLongText) text += unit;
      const Stopwatch watch;
      const auto ids = tokenizer->encode(text, {});
      EXPECT_LT(watch.seconds(), 2.0) << static_cast<int>(model) << unit;
      ASSERT_TRUE(ids.ok());
      if (unit == "?") {
        EXPECT_TRUE(tokenizer->decode(*ids, false).ok());
        EXPECT_LT(watch.seconds(), 4.0) << static_cast<int>(model);
      }
    }
  }
}

ErrorCode create_error(const TokenizerSpec& spec) {
  const auto made = Tokenizer::create(spec);
  return made.ok() ? ErrorCode::internal : made.error().code;
}

TEST(HostileSpec, RefusesWhatCannotBe) {
  TokenizerSpec spec = spec_of(Model::unigram);
  EXPECT_EQ(create_error(spec), ErrorCode::internal);  // a tokenizer
  spec.scores.pop_back();
  EXPECT_EQ(create_error(spec), ErrorCode::damaged);
  for (const Model model : {Model::unigram, Model::word_piece}) {
    spec = spec_of(model);
    spec.pieces[0] = std::string(2000, 'x');
    EXPECT_EQ(create_error(spec), ErrorCode::over_limit);
  }
  spec = spec_of(Model::bpe);
  spec.pre_tokenizer = {pre_tokenizer::FixedLength{0}};
  EXPECT_EQ(create_error(spec), ErrorCode::damaged);
  spec.pre_tokenizer.assign(1000, pre_tokenizer::Whitespace());
  EXPECT_EQ(create_error(spec), ErrorCode::over_limit);
  spec.pre_tokenizer = {pre_tokenizer::Split{{"(", true}, SplitBehavior::isolated, false}};
  EXPECT_EQ(create_error(spec), ErrorCode::damaged);
  spec.pre_tokenizer.clear();
  spec.decoder.assign(1000, decoder::Fuse());
  EXPECT_EQ(create_error(spec), ErrorCode::over_limit);
  spec.decoder.clear();
  spec.normalizer = {normalizer::Precompiled{"abc"}};
  EXPECT_EQ(create_error(spec), ErrorCode::damaged);
}

// As Hugging Face does: two added tokens that normalize to the same would match the same text.
TEST(HostileSpec, AddedTokensThatNormalizeToTheSame) {
  TokenizerSpec spec = spec_of(Model::bpe);
  spec.normalizer = {normalizer::Lowercase()};
  spec.added_tokens = {{.id = 100, .content = "X", .normalized = true},
                       {.id = 101, .content = "x", .normalized = true}};
  EXPECT_EQ(create_error(spec), ErrorCode::damaged);
  spec.normalizer = {normalizer::Replace{{"X", false}, ""}};
  EXPECT_EQ(create_error(spec), ErrorCode::damaged);
}

TEST(HostileSpec, TextsThatGrowWithoutEnd) {
  const auto error_of = [](std::vector<normalizer::Step> steps, std::string_view text) {
    TokenizerSpec spec = spec_of(Model::bpe);
    spec.normalizer = std::move(steps);
    const Stopwatch watch;
    const auto ids = Tokenizer::create(spec).value()->encode(text, {});
    EXPECT_LT(watch.seconds(), 1.0);
    return ids.ok() ? ErrorCode::internal : ids.error().code;
  };
  using normalizer::Replace;
  const std::string text(10'000, 'a');
  EXPECT_EQ(error_of({Replace{{"a", false}, "bb"}}, text), ErrorCode::internal);
  EXPECT_EQ(error_of(std::vector<normalizer::Step>(200, Replace{{"a", false}, "aa"}), text),
            ErrorCode::over_limit);
  EXPECT_EQ(error_of({Replace{{"", false}, std::string(100'000, 'x')}}, text),
            ErrorCode::over_limit);
  EXPECT_EQ(error_of(std::vector<normalizer::Step>(200, normalizer::ByteLevel()), "\u00e9"),
            ErrorCode::over_limit);
  // Each text between added tokens grows by little, all together by too much.
  TokenizerSpec spec = spec_of(Model::bpe);
  spec.normalizer = {normalizer::Prepend{std::string(500'000, 'x')}};
  spec.added_tokens = {{.id = 100, .content = "|"}};
  const auto ids = Tokenizer::create(spec).value()->encode("a|a|a|a|a|a", {});
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().code, ErrorCode::over_limit);
}

TEST(HostileSpec, IdsThatGrowWithoutEnd) {
  const auto error_of = [](std::vector<decoder::Step> steps) {
    TokenizerSpec spec = spec_of(Model::bpe);
    spec.decoder = std::move(steps);
    const auto tokenizer = Tokenizer::create(spec).value();
    const Stopwatch watch;
    const auto text = tokenizer->decode(std::vector<int32_t>(1000, 1), false);
    EXPECT_LT(watch.seconds(), 1.0);
    return text.ok() ? ErrorCode::internal : text.error().code;
  };
  using decoder::Replace;
  EXPECT_EQ(error_of({Replace{{"a", false}, "bb"}}), ErrorCode::internal);
  EXPECT_EQ(error_of(std::vector<decoder::Step>(200, Replace{{"a", false}, "aa"})),
            ErrorCode::over_limit);
  EXPECT_EQ(error_of({Replace{{"a", false}, std::string(500'000, 'x')}}), ErrorCode::over_limit);
  EXPECT_EQ(error_of(std::vector<decoder::Step>(200, decoder::Ctc{"<pad>", "", true})),
            ErrorCode::over_limit);
  EXPECT_EQ(error_of(std::vector<decoder::Step>(200, decoder::Bpe{""})), ErrorCode::over_limit);
}

TEST(HostileSpec, WordsThatTheVocabularyLacks) {
  for (const Model model : {Model::unigram, Model::word_piece, Model::word_level}) {
    TokenizerSpec spec = spec_of(model);
    spec.unknown_piece_id.reset();
    const auto tokenizer = Tokenizer::create(spec).value();
    EXPECT_TRUE(tokenizer->encode("aa", {}).ok());
    const auto ids = tokenizer->encode("aaz", {});
    ASSERT_FALSE(ids.ok());
    EXPECT_EQ(ids.error().code, ErrorCode::invalid_input);
  }
  TokenizerSpec spec = spec_of(Model::bpe);
  spec.unknown_piece_id.reset();
  EXPECT_TRUE(Tokenizer::create(spec).value()->encode("aaz", {}).ok());
  spec.unknown_is_missing = true;
  EXPECT_FALSE(Tokenizer::create(spec).value()->encode("aaz", {}).ok());
}

// Random tries reach every branch of the walk; their values point anywhere, also into characters.
TEST(HostileCharsmap, AnyBytesAreReadOrRefused) {
  Rng rng(9);
  size_t replaced = 0;
  for (int round = 0; round < 20'000; ++round) {
    const size_t units = rng.next() % 300;
    std::string bytes;
    for (int i = 0; i < 4; ++i) bytes += static_cast<char>(4 * units >> (8 * i));
    for (size_t i = 0; i < units; ++i) {
      // Labels that the text has, leaves often, offsets and values that mostly stay inside.
      constexpr std::string_view kLabels = "a\xC3\xA9\r\ne z";
      const auto label = static_cast<uint8_t>(kLabels[rng.next() % kLabels.size()]);
      const uint32_t unit = label | (rng.next() % 4 != 0 ? 0x100u : 0u) |
                            static_cast<uint32_t>(rng.next() % 256) << 10;
      for (int b = 0; b < 4; ++b) bytes += static_cast<char>(unit >> (8 * b));
    }
    for (uint64_t n = rng.next() % 3000; n > 0; --n) bytes += rng.next() % 3 ? "\u00e9" : "x";
    const auto map = Charsmap::create(bytes, "test");
    ASSERT_TRUE(map.ok());
    constexpr std::string_view kText = "a\u00e9\r\ne\u0301 \U0001F642z";
    std::string out;
    const Status status = map->apply(kText, 1 << 20, out);
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(utf8::find_invalid(out), std::nullopt);
    replaced += out != kText;
    const auto cut = Charsmap::create(bytes.substr(0, rng.next() % (4 + 4 * units)), "test");
    EXPECT_FALSE(cut.ok());
  }
  EXPECT_GT(replaced, 1000u);
}

}  // namespace
}  // namespace phial

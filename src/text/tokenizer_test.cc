#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "sys/test_time.h"
#include "text/byte_alphabet.h"
#include "text/space_cleaner.h"

namespace phial {
namespace {

std::vector<pre_tokenizer::Step> bytes_after(Splitter splitter) {
  return {pre_tokenizer::Words{splitter},
          pre_tokenizer::ByteLevel{.add_prefix_space = false, .use_regex = false}};
}

// All 256 bytes, then `words`, each with the merges that make it from the left.
TokenizerSpec spec_of(std::initializer_list<std::string_view> words) {
  TokenizerSpec spec;
  spec.pre_tokenizer = bytes_after(Splitter::gpt2);
  spec.decoder = {decoder::ByteLevel()};
  for (int byte = 0; byte < 256; ++byte) {
    spec.pieces.push_back(byte_alphabet::encode(std::string(1, static_cast<char>(byte))));
  }
  const auto id_of = [&spec](std::string_view bytes) {
    const std::string piece = byte_alphabet::encode(bytes);
    for (size_t id = 0; id < spec.pieces.size(); ++id) {
      if (spec.pieces[id] == piece) return static_cast<int32_t>(id);
    }
    spec.pieces.push_back(piece);
    return static_cast<int32_t>(spec.pieces.size() - 1);
  };
  for (const std::string_view word : words) {
    for (size_t n = 2; n <= word.size(); ++n) {
      const int32_t left = id_of(word.substr(0, n - 1));
      const int32_t right = id_of(word.substr(n - 1, 1));
      spec.merges.push_back(
          {left, right, id_of(word.substr(0, n)), static_cast<uint32_t>(spec.merges.size())});
    }
  }
  return spec;
}

std::shared_ptr<const Tokenizer> must_create(TokenizerSpec spec) {
  auto tokenizer = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  Result<std::vector<int32_t>> ids = tokenizer.encode(text, {});
  EXPECT_TRUE(ids.ok()) << ids.error().to_string();
  return ids.ok() ? *ids : std::vector<int32_t>();
}

using Ids = std::vector<int32_t>;

TEST(ByteAlphabet, IsGpt2s) {
  EXPECT_EQ(byte_alphabet::encode(" \n!~\x7F\xA0\xAD\xAE\xFF"),
            "\u0120\u010A!~\u0121\u0142\u0143\u00AE\u00FF");
  for (int byte = 0; byte < 256; ++byte) {
    const auto value = static_cast<uint8_t>(byte);
    EXPECT_EQ(byte_alphabet::to_byte(byte_alphabet::to_char(value)), value);
  }
  EXPECT_EQ(byte_alphabet::decode("a b"), std::nullopt);
  EXPECT_EQ(byte_alphabet::decode("\u0144"), std::nullopt);
  EXPECT_EQ(byte_alphabet::decode("a\xC4"), std::nullopt);
  EXPECT_EQ(byte_alphabet::decode(""), "");
}

TEST(Tokenizer, MergesByRankAndThenFromTheLeft) {
  TokenizerSpec spec = spec_of({"aa", "ab"});
  const int32_t aa = 256, ab = 257;
  EXPECT_EQ(encode(*must_create(spec), "aaab"), (Ids{aa, ab}));
  EXPECT_EQ(encode(*must_create(spec), "aab"), (Ids{aa, 'b'}));
  std::swap(spec.merges[0].rank, spec.merges[1].rank);
  EXPECT_EQ(encode(*must_create(spec), "aab"), (Ids{'a', ab}));
}

TEST(Tokenizer, RepeatedMergesKeepTheLastRank) {
  TokenizerSpec spec = spec_of({"aa", "ab"});
  spec.merges.push_back(spec.merges[0]);
  spec.merges.back().rank = 2;
  EXPECT_EQ(encode(*must_create(spec), "aab"), (Ids{'a', 257}));
}

TEST(Tokenizer, IgnoreMergesTakesWholeWords) {
  TokenizerSpec spec = spec_of({});
  spec.pieces.push_back("abc");
  EXPECT_EQ(encode(*must_create(spec), "abc abc"), (Ids{'a', 'b', 'c', ' ', 'a', 'b', 'c'}));
  spec.ignore_merges = true;
  EXPECT_EQ(encode(*must_create(spec), "abc abc"), (Ids{256, ' ', 'a', 'b', 'c'}));
}

TEST(Tokenizer, BytesWithoutAPiece) {
  TokenizerSpec spec = spec_of({"ab"});
  spec.pieces['x'].clear();
  EXPECT_EQ(encode(*must_create(spec), "axxb"), (Ids{256}));  // dropped, as if never there
  spec.unknown_piece_id = '?';
  EXPECT_EQ(encode(*must_create(spec), "axxb"), (Ids{'a', '?', '?', 'b'}));
  spec.fuse_unknown = true;
  EXPECT_EQ(encode(*must_create(spec), "axxb"), (Ids{'a', '?', 'b'}));
}

TEST(Tokenizer, PrefixSpaceGoesBeforeEveryTextBetweenTokens) {
  TokenizerSpec spec = spec_of({});
  spec.pre_tokenizer = {pre_tokenizer::ByteLevel{}};
  spec.added_tokens = {{.id = 256, .content = "<t>"}};
  EXPECT_EQ(encode(*must_create(spec), "a<t>b<t> c"),
            (Ids{' ', 'a', 256, ' ', 'b', 256, ' ', 'c'}));
  EXPECT_EQ(encode(*must_create(spec), ""), Ids{});
}

TEST(Tokenizer, NormalizedTokensAreFoundInWhatTheOthersLeave) {
  TokenizerSpec spec = spec_of({});
  spec.added_tokens = {{.id = 256, .content = "a<"},
                       {.id = 257, .content = "<t>", .normalized = true}};
  EXPECT_EQ(encode(*must_create(spec), "<t>a<t>"), (Ids{257, 256, 't', '>'}));
}

TEST(Tokenizer, SpecialTokensAround) {
  TokenizerSpec spec = spec_of({});
  spec.prefix_ids = {1, 2};
  spec.suffix_ids = {3};
  const auto tokenizer = must_create(spec);
  EXPECT_EQ(tokenizer->encode("x", {}).value(), (Ids{1, 2, 'x', 3}));
  EXPECT_EQ(tokenizer->encode("x", {.add_special_tokens = false}).value(), Ids{'x'});
  EXPECT_EQ(tokenizer->encode("", {}).value(), (Ids{1, 2, 3}));
}

TEST(Tokenizer, RefusesWhatIsNotUtf8) {
  const auto tokenizer = must_create(spec_of({}));
  const auto ids = tokenizer->encode("ab\xC3(", {});
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().code, ErrorCode::invalid_input);
  EXPECT_NE(ids.error().message.find("byte 2"), std::string::npos);
}

TEST(Tokenizer, RefusesTooLongTexts) {
  const auto ids = must_create(spec_of({}))->encode(std::string(kMaxTextBytes + 1, 'a'), {});
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().code, ErrorCode::over_limit);
}

TEST(Tokenizer, NamesIdsAndPieces) {
  TokenizerSpec spec = spec_of({"ab"});
  spec.added_tokens = {{.id = 258, .content = "<s>", .special = true},
                       {.id = 259, .content = "  "}};
  const auto tokenizer = must_create(spec);
  EXPECT_EQ(tokenizer->size(), 260);
  EXPECT_EQ(tokenizer->piece(256), "ab");
  EXPECT_EQ(tokenizer->piece(257), std::nullopt);
  EXPECT_EQ(tokenizer->piece(258), "<s>");
  EXPECT_EQ(tokenizer->piece(-1), std::nullopt);
  EXPECT_EQ(tokenizer->piece(260), std::nullopt);
  EXPECT_EQ(tokenizer->id_of("\u0120"), ' ');
  EXPECT_EQ(tokenizer->id_of("<s>"), 258);
  EXPECT_EQ(tokenizer->id_of("nothing"), std::nullopt);
  EXPECT_TRUE(tokenizer->is_special(258));
  EXPECT_FALSE(tokenizer->is_special(259));
  EXPECT_FALSE(tokenizer->is_special(1000));
}

TEST(Tokenizer, DecodesIdsWithoutPieceToNothingAndRefusesOthers) {
  TokenizerSpec spec = spec_of({});
  spec.pieces.resize(300);
  spec.pieces[299] = "z\u0120";
  const auto tokenizer = must_create(spec);
  EXPECT_EQ(tokenizer->decode(Ids{'a', 280, 299}, false).value(), "az ");
  for (const int32_t id : {-1, 300, INT32_MAX, INT32_MIN}) {
    const auto text = tokenizer->decode(Ids{'a', id}, false);
    ASSERT_FALSE(text.ok());
    EXPECT_EQ(text.error().code, ErrorCode::invalid_input);
    EXPECT_EQ(StreamDecoder(tokenizer, false).push(id).error().code, ErrorCode::invalid_input);
  }
}

TEST(Tokenizer, DecodesTheWholeRowOfBytesLossily) {
  const auto tokenizer = must_create(spec_of({}));
  EXPECT_EQ(tokenizer->decode(Ids{0xE2, 0x82, 0xAC}, false).value(), "\u20AC");
  EXPECT_EQ(tokenizer->decode(Ids{0xE2, 0x82, 'a', 0xAC}, false).value(), "\uFFFDa\uFFFD");
  EXPECT_EQ(tokenizer->decode(Ids{0xF0, 0x9F}, false).value(), "\uFFFD");
}

TEST(Tokenizer, AddedTokensOutsideTheAlphabetStandForThemselves) {
  TokenizerSpec spec = spec_of({});
  spec.added_tokens = {{.id = 256, .content = "漢 é"}, {.id = 257, .content = "<é>"}};
  const auto tokenizer = must_create(spec);
  EXPECT_EQ(tokenizer->decode(Ids{256}, false).value(), "漢 é");
  // All of it lies in the alphabet, where é is the byte E9.
  EXPECT_EQ(tokenizer->decode(Ids{257}, false).value(), "<\uFFFD>");
}

TEST(StreamDecoder, NeverEndsInsideACharacterAndLosesNothing) {
  TokenizerSpec spec = spec_of({"\xF0\x9F\x99", "\x82 a", " .", "n't"});
  spec.added_tokens = {{.id = 300, .content = "<s>", .special = true}};
  Rng rng(5);
  for (const bool clean : {false, true}) {
    spec.clean_up_tokenization_spaces = clean;
    const auto tokenizer = must_create(spec);
    const Ids likely = {0xF0, 0x9F, 0x99, 0x82, 0xE2, 0x82, 0xAC, 0xC3, 0xA9, 'a', ' ', '.',
                        '\'', 'n',  't',  's',  256,  257,  258,  259,  260,  261, 300, ','};
    for (int round = 0; round < 4000; ++round) {
      Ids ids;
      for (uint64_t n = rng.next() % 12; n > 0; --n)
        ids.push_back(likely[rng.next() % likely.size()]);
      const bool skip = rng.next() % 2 == 0;
      StreamDecoder stream(tokenizer, skip);
      std::string text;
      for (const int32_t id : ids) {
        const std::string part = stream.push(id).value();
        EXPECT_EQ(utf8::find_invalid(part), std::nullopt);
        text += part;
      }
      text += stream.finish();
      EXPECT_EQ(text, tokenizer->decode(ids, skip).value());
    }
  }
}

TEST(StreamDecoder, GivesTextAtOnce) {
  StreamDecoder stream(must_create(spec_of({})), false);
  EXPECT_EQ(stream.push('a').value(), "a");
  EXPECT_EQ(stream.push(0xC3).value(), "");
  EXPECT_EQ(stream.push(0xA9).value(), "é");
  EXPECT_EQ(stream.push(0xC3).value(), "");
  EXPECT_EQ(stream.push('b').value(), "\uFFFDb");
  EXPECT_EQ(stream.push(0xF0).value(), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(SpaceCleaner, AsTransformers) {
  // Answers of PreTrainedTokenizerBase.clean_up_tokenization.
  const std::pair<const char*, const char*> kCases[] = {
      {"a . b ? c ! d , e", "a. b? c! d, e"},
      {"x ' y", "x'y"},
      {"do n't I 'm it 's we 've you 're", "don't I'm it's we've you're"},
      {"  .  .", " . ."},
      {" ' ' ' ", "'''"},
      {"", ""},
  };
  for (const auto& [text, expected] : kCases) {
    SpaceCleaner cleaner;
    std::string cleaned = cleaner.push(text);
    cleaned += cleaner.finish();
    EXPECT_EQ(cleaned, expected);
  }
}

// Each is one word of a megabyte with a merge at almost every byte: quadratic merging would take
// 10^12 steps.
TEST(Tokenizer, LongWordsTakeNoLongerThanTheyMust) {
  TokenizerSpec spec = spec_of({});
  for (const char byte : {'a', ' ', '\n'}) {  // a byte, two, four ... 64 of it
    auto piece = static_cast<int32_t>(byte);
    for (int doubling = 0; doubling < 6; ++doubling) {
      const std::string& half = spec.pieces[static_cast<size_t>(piece)];
      spec.pieces.push_back(half + half);
      const auto whole = static_cast<int32_t>(spec.pieces.size() - 1);
      spec.merges.push_back({piece, piece, whole, static_cast<uint32_t>(spec.merges.size())});
      piece = whole;
    }
  }
  for (const Splitter splitter : {Splitter::none, Splitter::gpt2, Splitter::smollm,
                                  Splitter::llama3, Splitter::llamacpp_default}) {
    spec.pre_tokenizer = bytes_after(splitter);
    const auto tokenizer = must_create(spec);
    for (const char byte : {splitter == Splitter::none ? 'a' : ' ', '\n', '1'}) {
      const std::string text(kLongText, byte);
      const Stopwatch watch;
      const Ids ids = encode(*tokenizer, text);
      EXPECT_LT(watch.seconds(), 2.0);
      const bool merges = byte != '1';
      EXPECT_EQ(ids.size(), merges ? text.size() / 64 : text.size());
    }
  }
}

TEST(Tokenizer, RefusesSpecsThatContradictThemselves) {
  const auto error_of = [](auto change) {
    TokenizerSpec spec = spec_of({"ab"});
    change(spec);
    const auto tokenizer = Tokenizer::create(std::move(spec));
    return tokenizer.ok() ? ErrorCode::internal : tokenizer.error().code;
  };
  using Spec = TokenizerSpec;
  EXPECT_EQ(error_of([](Spec&) {}), ErrorCode::internal);  // a tokenizer
  EXPECT_EQ(error_of([](Spec& s) { s.pieces.push_back("a"); }), ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.merges.push_back({'a', 'b', 999, 9}); }), ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.merges.push_back({-1, 'b', 256, 9}); }), ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.merges.push_back({'b', 'a', 256, 9}); }), ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.pieces['a'].clear(); }), ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.bos_id = 257; }), ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.prefix_ids = {-1}; }), ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.suffix_ids = {5000}; }), ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.unknown_piece_id = 5000; }), ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.added_tokens = {{.id = 300, .content = ""}}; }),
            ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.added_tokens = {{.id = -5, .content = "x"}}; }),
            ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.added_tokens = {{.id = 'a', .content = "<b>"}}; }),
            ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) {
              s.added_tokens = {{.id = 257, .content = "<b>"}, {.id = 258, .content = "<b>"}};
            }),
            ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) {
              s.added_tokens = {{.id = 257, .content = "<b>"}, {.id = 257, .content = "<c>"}};
            }),
            ErrorCode::damaged);
  EXPECT_EQ(error_of([](Spec& s) { s.added_tokens = {{.id = INT32_MAX, .content = "x"}}; }),
            ErrorCode::over_limit);
}

}  // namespace
}  // namespace phial

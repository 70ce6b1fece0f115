#include "generate/text_stream.h"

#include "generate/request_help.h"

namespace phial {
namespace {

class TextStreamTest : public testing::Test {
 protected:
  struct Shown {
    std::vector<std::string> pieces;
    std::string text;
    bool stopped = false;
    size_t tokens = 0;  // until it stopped
  };
  // Pushes `ids` behind `prompt` until a stop string is complete.
  Shown show(const std::vector<int32_t>& ids, const std::vector<std::string>& stops,
             const std::vector<int32_t>& prompt = {}) {
    TextStream stream(tokenizer_, stops);
    must(stream.begin_behind(prompt));
    Shown shown;
    for (const int32_t id : ids) {
      const TextStream::Piece piece = must(stream.push(id));
      shown.pieces.push_back(piece.text);
      shown.text += piece.text;
      ++shown.tokens;
      if (piece.stopped) {
        shown.stopped = true;
        break;
      }
    }
    shown.text += stream.finish();
    return shown;
  }
  std::vector<int32_t> encode(const std::string& text) {
    return must(tokenizer_->encode(text, {.add_special_tokens = false}));
  }
  // Each byte a token of its own, however the tokenizer would join them.
  std::vector<int32_t> bytes(const std::string& text) {
    std::vector<int32_t> ids;
    for (const char c : text) {
      const auto id = encode(std::string(1, c));
      EXPECT_EQ(id.size(), 1u);
      ids.push_back(id.front());
    }
    return ids;
  }

  std::shared_ptr<const Tokenizer> tokenizer_ =
      must(open_tokenizer(*load_model("llama-smol")->checkpoint));
};

TEST_F(TextStreamTest, WithoutStopsItIsTheText) {
  const std::string text = "The capital, h\u00e9 \u2603 of <France>.";
  const Shown shown = show(encode(text), {});
  EXPECT_EQ(shown.text, text);
  EXPECT_FALSE(shown.stopped);
}

TEST_F(TextStreamTest, AStopStringAtEverySplit) {
  const std::string text = "one two three four five";
  for (size_t from = 0; from < text.size(); ++from) {
    for (size_t n = 1; from + n <= text.size(); ++n) {
      const std::string stop = text.substr(from, n);
      for (const auto& ids : {encode(text), bytes(text)}) {
        const Shown shown = show(ids, {"unseen", stop, stop + "!"});
        ASSERT_TRUE(shown.stopped) << stop;
        // The first place where it occurs is the first to be complete.
        ASSERT_EQ(shown.text, text.substr(0, text.find(stop))) << stop;
        const auto before = std::span(ids).first(shown.tokens - 1);
        ASSERT_EQ(must(tokenizer_->decode(before, true)).find(stop), std::string::npos);
      }
    }
  }
}

TEST_F(TextStreamTest, WhatMayBecomeAStopIsHeldBackAndNoMore) {
  const Shown shown = show(bytes("ab STOx STO"), {"STOP"});
  EXPECT_EQ(shown.pieces,
            (std::vector<std::string>{"a", "b", " ", "", "", "", "STOx", " ", "", "", ""}));
  EXPECT_EQ(shown.text, "ab STOx STO");
  EXPECT_FALSE(shown.stopped);
  // A beginning inside a beginning: "aab" in "aaab".
  EXPECT_EQ(show(bytes("aaab"), {"aab"}).text, "a");
}

TEST_F(TextStreamTest, TheEarliestOfSeveralStopsCounts) {
  EXPECT_EQ(show(encode("alpha beta gamma"), {"gamma", "beta", "pha be"}).text, "al");
}

TEST_F(TextStreamTest, CharactersOfSeveralBytes) {
  const std::string text = "a\u2603b\u00e9c";
  EXPECT_EQ(show(bytes("a"), {"\u2603"}).text, "a");
  EXPECT_EQ(show(encode(text), {"\u2603"}).text, "a");
  EXPECT_EQ(show(encode(text), {"\u00e9"}).text, "a\u2603b");
  EXPECT_EQ(show(encode(text), {"b\u00e9"}).text, "a\u2603");
}

TEST_F(TextStreamTest, AStopMayBeginInThePrompt) {
  EXPECT_TRUE(show(encode("op it"), {"stop"}, encode("do not st")).stopped);
  EXPECT_EQ(show(encode("op it"), {"stop"}, encode("do not st")).text, "");
  // What the prompt alone holds is no stop.
  EXPECT_FALSE(show(encode(" and go on"), {"stop"}, encode("do not stop")).stopped);
}

TEST_F(TextStreamTest, SpecialTokensAreMatchedNotShown) {
  const auto end = tokenizer_->id_of("<|im_end|>");
  ASSERT_TRUE(end);
  std::vector<int32_t> ids = encode("so it ends");
  ids.push_back(*end);
  ids.push_back(encode("x").front());
  EXPECT_EQ(show(ids, {}).text, "so it endsx");
  EXPECT_EQ(show(ids, {"unseen"}).text, "so it endsx");
  const Shown by_token = show(ids, {"<|im_end|>"});
  EXPECT_TRUE(by_token.stopped);
  EXPECT_EQ(by_token.text, "so it ends");
  EXPECT_EQ(show(ids, {"ends<|im"}).text, "so it ");
  // Held back because of the special token's text, then shown whole.
  EXPECT_EQ(show(ids, {"<|im_end|>y"}).text, "so it endsx");
}

TEST_F(TextStreamTest, WithoutATokenizerThereIsNoText) {
  TextStream stream(nullptr, {});
  EXPECT_EQ(must(stream.push(5)).text, "");
  EXPECT_EQ(stream.finish(), "");
}

TEST_F(TextStreamTest, PaddingIdsHaveNoText) {
  TextStream stream(tokenizer_, {"x"});
  EXPECT_EQ(must(stream.push(tokenizer_->size())).text, "");
}

}  // namespace
}  // namespace phial

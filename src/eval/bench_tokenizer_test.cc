#include "eval/bench_tokenizer.h"

#include <gtest/gtest.h>

#include <set>

#include "base/utf8.h"
#include "text/byte_alphabet.h"

namespace phial {
namespace {

// A tokenizer of single bytes.
std::shared_ptr<const Tokenizer> bytes_tokenizer() {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) {
    const char one[] = {static_cast<char>(byte), '\0'};
    spec.pieces.push_back(byte_alphabet::encode({one, 1}));
  }
  spec.pre_tokenizer.push_back(pre_tokenizer::ByteLevel{.add_prefix_space = false});
  spec.decoder.push_back(decoder::ByteLevel{});
  auto tokenizer = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(tokenizer.ok());
  return *std::move(tokenizer);
}

TEST(BenchTokenizer, Report) {
  const std::string text = "One line.\nAnd 2 more,\n\nof text: é.\n";
  const auto report = bench_tokenizer(*bytes_tokenizer(), {.text = text, .rounds = 1});
  ASSERT_TRUE(report.ok()) << report.error().to_string();
  const Json& about = *report->find("text");
  EXPECT_EQ(*about.find("bytes"), Json(uint64_t{text.size()}));
  EXPECT_EQ(*about.find("tokens"), Json(uint64_t{text.size()}));
  EXPECT_EQ(*about.find("source"), Json("given"));
  EXPECT_GT(*report->find("probes")->find("text_scan_mbps")->if_real(), 0.0);
  std::set<std::string> names;
  for (const Json& row : *report->find("rows")->if_array()) {
    names.insert(*row.find("name")->if_string());
    EXPECT_GT(*row.find("value")->if_real(), 0.0) << *row.find("name")->if_string();
    const bool rate = *row.find("unit") == Json("MB/s");
    EXPECT_EQ(rate, row.find("percent_of_probe")->if_real() != nullptr);
  }
  for (const char* name : {"tokenizer_mbps", "tokenizer_lines_mbps", "detokenizer_mbps",
                           "bytes_per_token", "tokenizer_worst_spaces_mbps"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST(BenchTokenizer, RefusesNonsense) {
  const auto tokenizer = bytes_tokenizer();
  EXPECT_EQ(bench_tokenizer(*tokenizer, {.text = "a", .rounds = 0}).error().code, ErrorCode::usage);
  EXPECT_EQ(bench_tokenizer(*tokenizer, {.text = "\xff", .rounds = 1}).error().code,
            ErrorCode::invalid_input);
}

TEST(BenchTokenizer, TextIsTheSameEverywhere) {
  const std::string text = bench_text(100000);
  EXPECT_EQ(text.size(), 100000u);
  EXPECT_FALSE(utf8::find_invalid(text));
  EXPECT_TRUE(bench_text(200000).starts_with(text));
  // FNV-1a: a change of the text makes measurements incomparable.
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  EXPECT_EQ(hash, 12062466140499390430u);
}

}  // namespace
}  // namespace phial

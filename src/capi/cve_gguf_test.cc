// Regressions named after published defects of other GGUF readers. docs/security.md holds the
// table.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "formats/extent.h"
#include "formats/gguf.h"
#include "formats/test_files.h"
#include "model/model.h"

namespace phial {
namespace {

using test::GgufBuilder;
using test::le;

constexpr uint64_t kBadCounts[] = {
    uint64_t{1} << 31,       (uint64_t{1} << 31) + 1, (uint64_t{1} << 32) - 1, uint64_t{1} << 32,
    (uint64_t{1} << 32) + 1, uint64_t{1} << 59,       uint64_t{1} << 60,       uint64_t{1} << 61,
    uint64_t{1} << 62,       uint64_t{1} << 63,       UINT64_MAX - 23,         UINT64_MAX};

Result<GgufContents> parse(const std::string& bytes) {
  return parse_gguf({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "t.gguf",
                    false);
}

// Refused as damaged, in one line.
void expect_damaged(const std::string& bytes) {
  const auto contents = parse(bytes);
  ASSERT_FALSE(contents.ok());
  EXPECT_EQ(contents.error().code, ErrorCode::damaged) << contents.error().to_string();
}

GgufBuilder tokenizer_file() {
  GgufBuilder builder;
  builder.text("general.architecture", "llama")
      .text("tokenizer.ggml.model", "gpt2")
      .text("tokenizer.ggml.pre", "smollm")
      .strings("tokenizer.ggml.tokens", {"a", "b", "ab"})
      .i32s("tokenizer.ggml.token_type", {1, 1, 1})
      .strings("tokenizer.ggml.merges", {"a b"});
  return builder;
}

Checkpoint checkpoint_of(const std::string& bytes) {
  MemoryFiles files;
  files.put("t.gguf", bytes);
  auto checkpoint = read_checkpoint(files, "t.gguf", {.text_only = true});
  EXPECT_TRUE(checkpoint.ok());
  return checkpoint.ok() ? std::move(*checkpoint) : Checkpoint();
}

TEST(Cve, N2024_21802_21825_21836_23496_23605_CountsTimesSizesOverflow) {
  for (const uint64_t count : kBadCounts) {
    GgufBuilder tensors = tokenizer_file();
    tensors.announced_tensors = count;
    expect_damaged(tensors.build());
    GgufBuilder pairs = tokenizer_file();
    pairs.announced_pairs = count;
    expect_damaged(pairs.build());
  }
}

TEST(Cve, N2024_25664_25665_25666_25667_25668_LengthsOfStringsAndArrays) {
  for (const uint64_t count : kBadCounts) {
    for (uint32_t type = 0; type <= test::kF64; ++type) {
      if (type == test::kArray) continue;
      GgufBuilder array;
      array.array("x", type, count, "12345678");
      expect_damaged(array.build());
    }
    GgufBuilder text;
    text.pair("x", test::kString, le(count) + "ab");
    expect_damaged(text.build());
    expect_damaged("GGUF" + le<uint32_t>(3) + le<uint64_t>(0) + le<uint64_t>(1) + le(count) +
                   "key" + std::string(40, '\0'));
  }
}

TEST(Cve, N2024_41130_TheFileEndsAtEveryByte) {
  const std::string whole =
      tokenizer_file().tensor("t", test::kGgmlF32, {4}, std::string(16, 'x')).build();
  ASSERT_TRUE(parse(whole).ok());
  const size_t end = whole.size() - 16;  // padding behind the data may be missing
  for (size_t size = 0; size < end; ++size) expect_damaged(whole.substr(0, size));
}

TEST(Cve, N2025_49847_ATokenLongerThanAnyBuffer) {
  for (const uint64_t length : {uint64_t{1} << 31, (uint64_t{1} << 31) + 1, UINT64_MAX}) {
    GgufBuilder builder;
    builder.array("tokenizer.ggml.tokens", test::kString, 1, le(length) + "ab");
    expect_damaged(builder.build());
  }
  // A token of a megabyte, an empty one, and one with a zero byte are as good as others.
  GgufBuilder builder = tokenizer_file();
  builder.strings("more", {std::string(1 << 20, 'x'), "", std::string("a\0b", 3)});
  EXPECT_TRUE(parse(builder.build()).ok());
}

TEST(Cve, N2025_53630_2026_27940_2026_33298_ExtentsEqualExactArithmetic) {
  Rng rng(1);
  for (int round = 0; round < 1'000'000; ++round) {
    const Grid grid = static_cast<Grid>(rng.next() % 3);
    std::vector<int64_t> shape(1 + rng.next() % 4);
    for (int64_t& extent : shape)
      extent = static_cast<int64_t>(rng.next() >> (1 + rng.next() % 63));
    unsigned __int128 values = 1;
    bool fits = true, zero = false;
    for (const int64_t extent : shape) zero |= extent == 0;
    for (const int64_t extent : shape) {
      values *= static_cast<uint64_t>(extent == 0 ? 1 : extent);
      fits = fits && values <= INT64_MAX;
      if (!fits) break;
    }
    const GridInfo& info = grid_info(grid);
    const auto block = static_cast<uint64_t>(info.block_values);
    fits = fits && static_cast<uint64_t>(shape.back()) % block == 0 &&
           values / block * static_cast<uint64_t>(info.block_bytes) <= INT64_MAX;
    const auto bytes = extent_bytes(grid, shape);
    if (!fits) {
      ASSERT_FALSE(bytes.has_value() && !zero);
      continue;
    }
    ASSERT_TRUE(bytes.has_value());
    const auto exact =
        static_cast<uint64_t>(values / block * static_cast<uint64_t>(info.block_bytes));
    ASSERT_EQ(*bytes, zero ? 0 : exact);
  }
}

TEST(Cve, N2026_33298_PaddingWrapsAround) {
  for (const uint64_t offset : {UINT64_MAX, UINT64_MAX - 31, uint64_t{1} << 63}) {
    GgufBuilder builder;
    builder.tensor("a", test::kGgmlF32, {8}, std::string(32, 'x'))
        .tensor("b", test::kGgmlF32, {8}, std::string(32, 'x'));
    builder.tensors[1].offset = offset;
    expect_damaged(builder.build());
  }
}

TEST(Cve, N2026_7482_ATensorThatReachesBeyondTheFile) {
  for (const uint64_t rows : {uint64_t{2}, uint64_t{1} << 20, uint64_t{1} << 55}) {
    GgufBuilder builder;
    builder.tensor("a", test::kGgmlF32, {8, rows}, std::string(32, 'x'));
    expect_damaged(builder.build());
  }
}

// llama.cpp #24997
TEST(Cve, GgufAlignmentOfAnyNumberAndType) {
  for (const uint64_t alignment : {uint64_t{0}, uint64_t{3}, uint64_t{1} << 17, uint64_t{1} << 31,
                                   (uint64_t{1} << 32) - 1, uint64_t{1} << 62}) {
    GgufBuilder builder;
    builder.pair("general.alignment", test::kU64, le(alignment));
    builder.tensor("a", test::kGgmlF32, {8}, std::string(32, 'x'));
    expect_damaged(builder.build());
  }
  for (const uint32_t type : {test::kF32, test::kBool, test::kF64}) {
    GgufBuilder builder;
    builder.pair("general.alignment", type,
                 le<uint64_t>(1).substr(0, type == test::kBool  ? 1
                                           : type == test::kF32 ? 4
                                                                : 8));
    builder.tensor("a", test::kGgmlF32, {8}, std::string(32, 'x'));
    expect_damaged(builder.build());
  }
  GgufBuilder text;
  text.text("general.alignment", "32").tensor("a", test::kGgmlF32, {8}, std::string(32, 'x'));
  expect_damaged(text.build());
}

// The proof of 53 bytes: INT64_MAX / 0
TEST(Cve, GgufDimensionsOfZero) {
  for (size_t axis = 0; axis < 4; ++axis) {
    std::vector<uint64_t> dims(4, 1);
    dims[axis] = 0;
    expect_damaged(GgufBuilder().tensor("a", test::kGgmlF32, dims, "").build());
  }
}

// llama.cpp #26690: every key of the tokenizer with every other type.
TEST(Cve, GgufMetadataOfWrongTypes) {
  const auto value = [](uint32_t type) -> std::string {
    if (type == test::kString) return test::gguf_string("1");
    static constexpr size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return le<uint64_t>(1).substr(0, kBytes[type]);
  };
  struct Key {
    const char* name;
    bool array;
    uint32_t right;
  };
  for (const Key key : {Key{"tokenizer.ggml.tokens", true, test::kString},
                        Key{"tokenizer.ggml.merges", true, test::kString},
                        Key{"tokenizer.ggml.model", false, test::kString},
                        Key{"tokenizer.ggml.pre", false, test::kString}}) {
    for (uint32_t type = 0; type <= test::kF64; ++type) {
      for (const bool array : {false, true}) {
        if (type == test::kArray || (array == key.array && type == key.right)) continue;
        GgufBuilder builder;
        const std::vector<std::pair<const char*, const char*>> texts = {
            {"tokenizer.ggml.model", "gpt2"}, {"tokenizer.ggml.pre", "smollm"}};
        for (const auto& [name, text] : texts) {
          if (std::string_view(key.name) != name) builder.text(name, text);
        }
        if (std::string_view(key.name) != "tokenizer.ggml.tokens") {
          builder.strings("tokenizer.ggml.tokens", {"a", "b", "ab"});
        }
        if (array) {
          builder.array(key.name, type, 1, value(type));
        } else {
          builder.pair(key.name, type, value(type));
        }
        const Checkpoint checkpoint = checkpoint_of(builder.build());
        const auto tokenizer = open_tokenizer(checkpoint);
        ASSERT_FALSE(tokenizer.ok()) << key.name << " of type " << type;
        EXPECT_EQ(tokenizer.error().code, ErrorCode::damaged) << tokenizer.error().to_string();
      }
    }
  }
}

// llama.cpp #25969: a byte token whose number is none
TEST(Cve, GgufByteTokensThatAreNone) {
  for (const char* text : {"<0x-1>", "<0x100>", "<0xzz>", "<0x>", "<0x"}) {
    GgufBuilder builder;
    builder.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "smollm");
    builder.strings("tokenizer.ggml.tokens", {"a", "b", text});
    builder.i32s("tokenizer.ggml.token_type", {1, 1, 6});
    const auto tokenizer = open_tokenizer(checkpoint_of(builder.build()));
    if (!tokenizer.ok()) continue;  // refused is as good
    const auto ids = (*tokenizer)->encode("ab", {});
    ASSERT_TRUE(ids.ok());
    EXPECT_TRUE((*tokenizer)->decode(*ids, false).ok());
  }
}

// Vocabularies whose arrays disagree in length, and ids outside of them
TEST(Cve, GgufTokenizerArraysOfOtherLengths) {
  for (const size_t count : {size_t{1}, size_t{2}, size_t{4}, size_t{1000}}) {
    GgufBuilder builder;
    builder.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "smollm");
    builder.strings("tokenizer.ggml.tokens", {"a", "b", "ab"});
    builder.i32s("tokenizer.ggml.token_type", std::vector<int32_t>(count, 1));
    EXPECT_FALSE(open_tokenizer(checkpoint_of(builder.build())).ok()) << count;
  }
  for (const int64_t id : {int64_t{-1}, int64_t{3}, int64_t{1} << 31, int64_t{1} << 62}) {
    GgufBuilder builder = tokenizer_file();
    builder.pair("tokenizer.ggml.bos_token_id", test::kI64, le(id));
    EXPECT_FALSE(open_tokenizer(checkpoint_of(builder.build())).ok()) << id;
  }
}

GgufBuilder configured(const std::string& key, int64_t value) {
  GgufBuilder builder;
  builder.text("general.architecture", "llama")
      .f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  const std::vector<std::pair<std::string, int64_t>> sizes = {{"llama.context_length", 64},
                                                              {"llama.embedding_length", 32},
                                                              {"llama.block_count", 1},
                                                              {"llama.feed_forward_length", 32},
                                                              {"llama.attention.head_count", 4},
                                                              {"llama.attention.head_count_kv", 2},
                                                              {"llama.vocab_size", 8}};
  for (const auto& [name, size] : sizes) {
    builder.pair(name, test::kI64, le(name == key ? value : size));
  }
  builder.tensor("token_embd.weight", test::kGgmlF32, {32, 8}, std::string(32 * 8 * 4, '\0'));
  return builder;
}

// llama.cpp #25821, #26051; Ollama CVE-2024-8063, CVE-2025-0312, 0315, 0317
TEST(Cve, N2024_8063_2025_0312_0315_0317_SizesOfZeroAndBeyondAnyModel) {
  MemoryFiles files;
  files.put("t.gguf", configured("", 0).build());
  ASSERT_TRUE(model_spec_of(*read_checkpoint(files, "t.gguf")).ok());
  for (const char* key : {"llama.context_length", "llama.embedding_length", "llama.block_count",
                          "llama.feed_forward_length", "llama.attention.head_count",
                          "llama.attention.head_count_kv"}) {
    for (const int64_t value :
         {int64_t{-1}, int64_t{0}, int64_t{1} << 31, (int64_t{1} << 32) + 1, int64_t{1} << 62}) {
      files.put("t.gguf", configured(key, value).build());
      const auto spec = model_spec_of(*read_checkpoint(files, "t.gguf"));
      ASSERT_FALSE(spec.ok()) << key << " " << value;
      EXPECT_EQ(spec.error().where, std::string("t.gguf: ") + key);
    }
  }
  for (const int64_t kv_heads : {3, 5}) {  // does not divide, is more than the heads
    files.put("t.gguf", configured("llama.attention.head_count_kv", kv_heads).build());
    EXPECT_FALSE(model_spec_of(*read_checkpoint(files, "t.gguf")).ok());
  }
}

// Control vectors: an int32 out of a tensor's name
TEST(Cve, GgufNumbersInTensorNames) {
  for (const char* name : {"blk.-1.attn_q.weight", "blk.2147483648.attn_q.weight",
                           "blk.9223372036854775808.attn_q.weight", "blk.00.attn_q.weight",
                           "direction.-1", "blk..attn_q.weight"}) {
    GgufBuilder builder = configured("", 0);
    builder.tensor(name, test::kGgmlF32, {32, 32}, std::string(32 * 32 * 4, '\0'));
    MemoryFiles files;
    files.put("t.gguf", builder.build());
    auto checkpoint = read_checkpoint(files, "t.gguf");
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
    EXPECT_FALSE(open_model(std::make_shared<const Checkpoint>(std::move(*checkpoint))).ok());
  }
}

// MLX CVE-2025-62609: a pointer to data that the file does not have
TEST(Cve, N2025_62609_TensorsWithoutData) {
  GgufBuilder builder;
  builder.tensor("a", test::kGgmlF32, {8}, std::string(32, 'x'));
  expect_damaged(builder.header());
}

}  // namespace
}  // namespace phial

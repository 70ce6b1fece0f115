#include "formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/rng.h"
#include "formats/extent.h"
#include "formats/test_files.h"

namespace phial {
namespace {

using test::gguf_string;
using test::GgufBuilder;
using test::le;
using ::testing::HasSubstr;

std::span<const uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Result<GgufContents> parse(const std::string& file, bool metadata_only = false) {
  return parse_gguf(as_bytes(file), "dir/m.gguf", metadata_only);
}

// Fails unless `file` is refused with `code` and a message that holds `part`.
void expect_refused(const std::string& file, ErrorCode code, std::string_view part,
                    bool metadata_only = false) {
  const Result<GgufContents> result = parse(file, metadata_only);
  ASSERT_FALSE(result.ok()) << "expected an error about: " << part;
  EXPECT_EQ(result.error().code, code) << result.error().to_string();
  EXPECT_THAT(result.error().to_string(), HasSubstr(std::string(part)));
  EXPECT_THAT(result.error().to_string(), HasSubstr("m.gguf"));
}

void expect_damaged(const GgufBuilder& file, std::string_view part) {
  expect_refused(file.build(), ErrorCode::damaged, part);
}

// Two tensors and one pair of each kind.
GgufBuilder small_file() {
  GgufBuilder file;
  file.text("general.architecture", "llama")
      .u32("llama.block_count", 7)
      .f32("llama.rope.freq_base", 1.5f)
      .boolean("tokenizer.ggml.add_bos_token", true)
      .strings("tokenizer.ggml.tokens", {"a", "", std::string("b\0c", 3)})
      .i32s("tokenizer.ggml.token_type", {1, -2, 3})
      .array("reals", test::kF32, 2, le(0.5f) + le(-2.0f));
  file.tensor("t.f32", test::kGgmlF32, {3, 2}, test::le_all<float>({1, 2, 3, 4, 5, 6}));
  file.tensor("t.q8", test::kGgmlQ8_0, {64, 1, 2}, std::string(4 * 34, '\x01'));
  return file;
}

TEST(Gguf, ReadsPairsAndTensors) {
  const std::string file = small_file().build();
  Result<GgufContents> contents = parse(file);
  ASSERT_TRUE(contents.ok()) << contents.error().to_string();
  const GgufMetadata& m = contents->metadata;
  EXPECT_EQ(m.entries().size(), 7u);
  EXPECT_EQ(m.entries()[1].key, "llama.block_count");
  EXPECT_EQ(**m.string("general.architecture"), "llama");
  EXPECT_EQ(**m.integer("llama.block_count"), 7);
  EXPECT_EQ(**m.real("llama.block_count"), 7.0);
  EXPECT_EQ(**m.real("llama.rope.freq_base"), 1.5);
  EXPECT_EQ(**m.boolean("tokenizer.ggml.add_bos_token"), true);
  EXPECT_THAT(**m.strings("tokenizer.ggml.tokens"),
              testing::ElementsAre("a", "", std::string_view("b\0c", 3)));
  EXPECT_THAT(**m.integers("tokenizer.ggml.token_type"), testing::ElementsAre(1, -2, 3));
  EXPECT_THAT(**m.reals("reals"), testing::ElementsAre(0.5f, -2.0f));
  EXPECT_FALSE(m.integer("absent")->has_value());
  EXPECT_EQ(*m.strings("absent"), nullptr);

  ASSERT_EQ(contents->tensors.size(), 2u);
  const NamedTensor& f32 = contents->tensors[0];
  EXPECT_EQ(f32.name, "t.f32");
  EXPECT_EQ(f32.dtype, "F32");
  EXPECT_EQ(f32.file, "m.gguf");
  EXPECT_EQ(f32.view.grid, Grid::f32);
  EXPECT_THAT(f32.view.shape, testing::ElementsAre(2, 3));  // slowest axis first
  ASSERT_EQ(f32.view.bytes.size(), 24u);
  EXPECT_EQ(std::string(f32.view.bytes.begin(), f32.view.bytes.end()),
            test::le_all<float>({1, 2, 3, 4, 5, 6}));
  const NamedTensor& q8 = contents->tensors[1];
  EXPECT_EQ(q8.view.grid, Grid::q8_0);
  EXPECT_THAT(q8.view.shape, testing::ElementsAre(2, 1, 64));
  EXPECT_EQ(q8.view.bytes.size(), 4 * 34u);
  EXPECT_GE(q8.view.bytes.data(), as_bytes(file).data()) << "a view, not a copy";
  EXPECT_LE(q8.view.bytes.data(), as_bytes(file).data() + file.size());
}

TEST(Gguf, ReadsEveryScalarType) {
  GgufBuilder file;
  file.version = 2;
  file.pair("u8", test::kU8, le<uint8_t>(200)).pair("i8", test::kI8, le<int8_t>(-100));
  file.pair("u16", test::kU16, le<uint16_t>(60000)).pair("i16", test::kI16, le<int16_t>(-30000));
  file.pair("u32", test::kU32, le<uint32_t>(4000000000)).pair("i32", test::kI32, le<int32_t>(-7));
  file.pair("u64", test::kU64, le<uint64_t>(INT64_MAX)).pair("i64", test::kI64, le(INT64_MIN));
  file.pair("f64", test::kF64, le(0.1));
  const std::string bytes = file.build();
  const auto contents = parse(bytes);
  ASSERT_TRUE(contents.ok()) << contents.error().to_string();
  const GgufMetadata& m = contents->metadata;
  EXPECT_EQ(**m.integer("u8"), 200);
  EXPECT_EQ(**m.integer("i8"), -100);
  EXPECT_EQ(**m.integer("u16"), 60000);
  EXPECT_EQ(**m.integer("i16"), -30000);
  EXPECT_EQ(**m.integer("u32"), 4000000000);
  EXPECT_EQ(**m.integer("i32"), -7);
  EXPECT_EQ(**m.integer("u64"), INT64_MAX);
  EXPECT_EQ(**m.integer("i64"), INT64_MIN);
  EXPECT_EQ(**m.real("f64"), 0.1);
}

TEST(Gguf, ReadsArraysOfEveryElementType) {
  GgufBuilder file;
  file.array("u8", test::kU8, 2, le<uint8_t>(1) + le<uint8_t>(255));
  file.array("i16", test::kI16, 1, le<int16_t>(-2));
  file.array("bool", test::kBool, 3, std::string("\0\1\0", 3));
  file.array("u64", test::kU64, 1, le<uint64_t>(1));
  file.array("f64", test::kF64, 1, le(2.5));
  file.array("none", test::kString, 0, "");
  const std::string bytes = file.build();
  const auto contents = parse(bytes);
  ASSERT_TRUE(contents.ok()) << contents.error().to_string();
  const GgufMetadata& m = contents->metadata;
  EXPECT_THAT(**m.integers("u8"), testing::ElementsAre(1, 255));
  EXPECT_THAT(**m.integers("i16"), testing::ElementsAre(-2));
  EXPECT_THAT(**m.integers("bool"), testing::ElementsAre(0, 1, 0));
  EXPECT_THAT(**m.integers("u64"), testing::ElementsAre(1));
  EXPECT_THAT(**m.reals("f64"), testing::ElementsAre(2.5f));
  EXPECT_TRUE((*m.strings("none"))->empty());
}

// Each way to ask for a value, on a value of each type: that type answers, all others are errors
// that name the key and both types.
TEST(GgufMetadata, TypedAccessRefusesEveryOtherType) {
  const std::string bytes = small_file().build();
  const auto contents = parse(bytes);
  ASSERT_TRUE(contents.ok());
  const GgufMetadata& m = contents->metadata;
  const std::vector<std::pair<const char*, const char*>> keys = {
      {"general.architecture", "string"},
      {"llama.block_count", "u32"},
      {"llama.rope.freq_base", "f32"},
      {"tokenizer.ggml.add_bos_token", "bool"},
      {"tokenizer.ggml.tokens", "array of string"},
      {"tokenizer.ggml.token_type", "array of i32"},
      {"reals", "array of f32"}};
  const std::vector<std::pair<std::vector<std::string>, std::function<Status(const char*)>>>
      askers = {{{"u32"},
                 [&](const char* key) {
                   auto r = m.integer(key);
                   return r.ok() ? Status() : Status(r.error());
                 }},
                {{"u32", "f32"},
                 [&](const char* key) {
                   auto r = m.real(key);
                   return r.ok() ? Status() : Status(r.error());
                 }},
                {{"bool"},
                 [&](const char* key) {
                   auto r = m.boolean(key);
                   return r.ok() ? Status() : Status(r.error());
                 }},
                {{"string"},
                 [&](const char* key) {
                   auto r = m.string(key);
                   return r.ok() ? Status() : Status(r.error());
                 }},
                {{"array of string"},
                 [&](const char* key) {
                   auto r = m.strings(key);
                   return r.ok() ? Status() : Status(r.error());
                 }},
                {{"array of i32"},
                 [&](const char* key) {
                   auto r = m.integers(key);
                   return r.ok() ? Status() : Status(r.error());
                 }},
                {{"array of f32"}, [&](const char* key) {
                   auto r = m.reals(key);
                   return r.ok() ? Status() : Status(r.error());
                 }}};
  for (const auto& [accepted, ask] : askers) {
    for (const auto& [key, type] : keys) {
      const Status status = ask(key);
      const bool fits = std::find(accepted.begin(), accepted.end(), type) != accepted.end();
      EXPECT_EQ(status.ok(), fits) << key << " asked for as " << accepted[0];
      if (!status.ok()) {
        EXPECT_EQ(status.error().code, ErrorCode::damaged);
        EXPECT_THAT(status.error().to_string(), HasSubstr(key));
        EXPECT_THAT(status.error().to_string(), HasSubstr(std::string("found ") + type));
      }
    }
  }
}

TEST(Gguf, VocabularyOnlyFileNeedsNoTensors) {
  GgufBuilder file;
  file.strings("tokenizer.ggml.tokens", {"a", "b"});
  const std::string bytes = file.build();
  EXPECT_TRUE(parse(bytes, true).ok());
  EXPECT_TRUE(parse(bytes, false).ok());
}

TEST(Gguf, MetadataOnlyIgnoresWhatFollowsThePairs) {
  GgufBuilder file = small_file();
  file.tensors[0].type = 9;  // Q8_1
  file.tensors[1].offset = 1;
  const std::string bytes = file.build();
  expect_refused(bytes, ErrorCode::unsupported, "t.f32");
  const auto contents = parse(bytes, true);
  ASSERT_TRUE(contents.ok()) << contents.error().to_string();
  EXPECT_TRUE(contents->tensors.empty());
  EXPECT_EQ(contents->metadata.entries().size(), 7u);
}

TEST(GgufRefuses, OtherMagicVersionsAndByteOrder) {
  GgufBuilder file = small_file();
  file.magic = "GGUX";
  expect_damaged(file, "GGUF");
  for (const uint32_t version : {0u, 1u, 4u, 0xFFFFFFFFu}) {
    file = small_file();
    file.version = version;
    expect_refused(file.build(), ErrorCode::unsupported, "version " + std::to_string(version));
  }
  for (const uint32_t version : {0x02000000u, 0x03000000u}) {
    file.version = version;
    expect_refused(file.build(), ErrorCode::unsupported, "big-endian");
  }
}

// Values that have broken other readers (overflow when multiplied by an element size or added to).
constexpr uint64_t kHugeCounts[] = {
    (1ull << 31) - 1, 1ull << 31,      (1ull << 31) + 1, (1ull << 32) - 1, 1ull << 32,
    (1ull << 32) + 1, 1ull << 61,      1ull << 62,       (1ull << 63) - 1, 1ull << 63,
    (1ull << 63) + 1, UINT64_MAX - 31, UINT64_MAX - 8,   UINT64_MAX - 1,   UINT64_MAX};

TEST(GgufRefuses, HugeCountsOfTensorsAndPairs) {
  for (const uint64_t count : kHugeCounts) {
    GgufBuilder file = small_file();
    file.announced_tensors = count;
    expect_damaged(file, "announces " + std::to_string(count) + " tensors");
    file = small_file();
    file.announced_pairs = count;
    expect_damaged(file, "announces " + std::to_string(count) + " key-value pairs");
  }
}

TEST(GgufRefuses, CountsThatAreOffByOne) {
  GgufBuilder file = small_file();
  file.announced_pairs = 8;
  EXPECT_FALSE(parse(file.build()).ok());
  file = small_file();
  file.announced_pairs = 6;
  EXPECT_FALSE(parse(file.build()).ok());
  file = small_file();
  file.announced_tensors = 3;
  EXPECT_FALSE(parse(file.build()).ok());
}

TEST(GgufRefuses, HugeLengthsOfEveryString) {
  for (const uint64_t length : kHugeCounts) {
    const std::string text = le(length) + "abc";
    GgufBuilder file;
    file.pair("k", test::kString, text);
    expect_damaged(file, "the value of k");
    file = GgufBuilder();
    file.array("k", test::kString, 1, text);
    expect_damaged(file, "the value of k");

    // A key and a tensor name of that length.
    const std::string head = "GGUF" + le<uint32_t>(3);
    expect_refused(head + le<uint64_t>(0) + le<uint64_t>(1) + text + std::string(64, 'x'),
                   ErrorCode::damaged, "the key of pair 0");
    expect_refused(head + le<uint64_t>(1) + le<uint64_t>(0) + text + std::string(64, 'x'),
                   ErrorCode::damaged, "the name of tensor 0");
  }
}

TEST(GgufRefuses, HugeCountsInArraysOfEveryType) {
  for (const uint32_t type :
       {test::kU8, test::kI8, test::kU16, test::kI16, test::kU32, test::kI32, test::kF32,
        test::kBool, test::kString, test::kU64, test::kI64, test::kF64}) {
    for (const uint64_t count : kHugeCounts) {
      GgufBuilder file;
      file.array("big", type, count, std::string(64, '\0'));
      expect_damaged(file, "elements in the value of big");
    }
  }
}

TEST(GgufRefuses, EmptyLongAndDuplicateKeys) {
  GgufBuilder file;
  file.u32("", 1);
  expect_damaged(file, "the key of pair 0 has 0 bytes");
  file = GgufBuilder();
  file.u32(std::string(65536, 'k'), 1);
  expect_damaged(file, "has 65536 bytes");
  file = GgufBuilder();
  file.u32("twin", 1).text("twin", "x");
  expect_damaged(file, "the key \"twin\" occurs twice");
}

TEST(GgufRefuses, UnknownTypesNestedArraysAndBadValues) {
  GgufBuilder file;
  file.pair("k", 13, le<uint64_t>(0));
  expect_damaged(file, "the value of k has the unknown type 13");
  file = GgufBuilder();
  file.array("k", 0xFFFFFFFF, 1, "x");
  expect_damaged(file, "unknown type 4294967295");
  file = GgufBuilder();
  file.array("k", test::kArray, 1, le<uint32_t>(0) + le<uint64_t>(0));
  expect_refused(file.build(), ErrorCode::unsupported, "the value of k is an array of arrays");
  file = GgufBuilder();
  file.pair("k", test::kBool, le<uint8_t>(2));
  expect_damaged(file, "the value of k is a bool with the value 2");
  file = GgufBuilder();
  file.array("k", test::kBool, 2, "\x01\x80");
  expect_damaged(file, "bool with the value 128");
  file = GgufBuilder();
  file.pair("k", test::kU64, le(static_cast<uint64_t>(INT64_MAX) + 1));
  expect_damaged(file, "9223372036854775808");
}

TEST(GgufRefuses, BadAlignment) {
  for (const uint32_t alignment : {0u, 3u, 33u, 131072u, 0x80000000u, 0xFFFFFFFFu}) {
    GgufBuilder file = small_file();
    file.u32("general.alignment", alignment);
    expect_damaged(file, "general.alignment is " + std::to_string(alignment));
  }
  GgufBuilder file = small_file();
  file.pair("general.alignment", test::kI64, le<int64_t>(-32));
  expect_damaged(file, "general.alignment");
  file = small_file();
  file.text("general.alignment", "32");
  expect_damaged(file, "general.alignment: expected an integer, found string");
}

TEST(Gguf, EveryAllowedAlignmentPlacesTheData) {
  for (uint32_t alignment = 1; alignment <= 65536; alignment *= 2) {
    GgufBuilder file = small_file();
    file.alignment = alignment;
    file.u32("general.alignment", alignment);
    const std::string bytes = file.build();
    const auto contents = parse(bytes);
    ASSERT_TRUE(contents.ok()) << alignment << ": " << contents.error().to_string();
    EXPECT_EQ((contents->tensors[0].view.bytes.data() - as_bytes(bytes).data()) % alignment, 0);
    EXPECT_EQ(contents->tensors[1].view.bytes[0], 1);
  }
}

TEST(GgufRefuses, BadDimensions) {
  GgufBuilder file = small_file();
  file.tensors[0].dims = {3, 2, 1, 1, 1};
  expect_damaged(file, "tensor \"t.f32\" has 5 dimensions");
  for (size_t axis = 0; axis < 2; ++axis) {
    for (const uint64_t dim : {uint64_t{0}, uint64_t{1} << 63, UINT64_MAX}) {
      file = small_file();
      file.tensors[0].dims[axis] = dim;
      expect_damaged(file, "tensor \"t.f32\" has a dimension of " + std::to_string(dim));
    }
  }
  file = small_file();
  file.tensors[1].dims = {33, 2};
  expect_damaged(file, "tensor \"t.q8\" has rows of 33 values");
  file = small_file();
  file.tensors[1].dims = {};
  expect_damaged(file, "tensor \"t.q8\" has rows of 1 values");
}

TEST(GgufRefuses, ProductsThatOverflow) {
  const std::vector<std::vector<uint64_t>> shapes = {
      {1ull << 62, 2},                                   // 2^63 values
      {1ull << 62},                                      // 2^64 bytes
      {1ull << 61},                                      // 2^63 bytes
      {1ull << 32, 1ull << 32},                          // 2^64 values
      {1ull << 16, 1ull << 16, 1ull << 16, 1ull << 16},  // wraps to 0
      {(1ull << 63) - 1, (1ull << 63) - 1},
  };
  for (const std::vector<uint64_t>& shape : shapes) {
    GgufBuilder file = small_file();
    file.tensors[0].dims = shape;
    expect_damaged(file, "tensor \"t.f32\" is larger than any file");
  }
  // Not a single size but their sum leaves 64 bits: when padded, and when added.
  constexpr uint64_t kHalf = (1ull << 61) - 8;  // 2^63 - 32 bytes
  GgufBuilder file;
  file.tensor("a", test::kGgmlF32, {kHalf}, "").tensor("b", test::kGgmlF32, {8}, "");
  file.tensors[1].offset = (1ull << 63) - 32;
  file.tensor("c", test::kGgmlF32, {kHalf + 7}, "");
  file.tensors[2].offset = 1ull << 63;
  expect_damaged(file, "tensor \"c\" ends beyond any file");
  file.tensors[2].dims = {kHalf};
  file.tensor("d", test::kGgmlF32, {16}, "");
  file.tensors[3].offset = UINT64_MAX - 31;
  expect_damaged(file, "tensor \"d\" ends beyond any file");
}

TEST(GgufRefuses, OffsetsThatAreNotConsecutive) {
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{31}, uint64_t{33}, uint64_t{64}, UINT64_MAX}) {
    GgufBuilder file = small_file();
    file.tensors[1].offset = offset;
    expect_damaged(file,
                   "tensor \"t.q8\" lies at offset " + std::to_string(offset) + "; expected 32");
  }
}

TEST(GgufRefuses, TensorsThatLeaveTheFile) {
  GgufBuilder file = small_file();
  file.tensors[1].dims = {64, 1, 20};
  expect_damaged(file, "cut short: tensor \"t.q8\"");
}

TEST(GgufRefuses, DuplicateEmptyAndLongTensorNames) {
  GgufBuilder file = small_file();
  file.tensors[1].name = "t.f32";
  expect_damaged(file, "tensor \"t.f32\" occurs twice");
  file = small_file();
  file.tensors[1].name = "";
  expect_damaged(file, "the name of tensor 1 has 0 bytes");
  file = small_file();
  file.tensors[1].name = std::string(256, 'n');
  expect_damaged(file, "the name of tensor 1 has 256 bytes");
}

TEST(GgufRefuses, TensorTypesItCannotRead) {
  const std::vector<std::pair<uint32_t, const char*>> types = {
      {9, "Q8_1"},       {40, "NVFP4"},
      {41, "Q1_0"},      {42, "Q2_0"},
      {4, "type 4"},     {31, "type 31"},
      {38, "type 38"},   {43, "type 43"},
      {138, "type 138"}, {0xFFFFFFFF, "type 4294967295"}};
  for (const auto& [id, name] : types) {
    GgufBuilder file = small_file();
    file.tensors[0].type = id;
    expect_refused(
        file.build(), ErrorCode::unsupported,
        std::string("tensor \"t.f32\" is stored as ") + name + "; phial reads F32, F16, ");
  }
}

// Every type: one block has the size and the name that ggml gives it.
TEST(Gguf, ReadsEveryTensorType) {
  struct Case {
    uint32_t id;
    const char* name;
    uint64_t values;
    size_t bytes;
  };
  const Case cases[] = {
      {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
      {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
      {8, "Q8_0", 32, 34},      {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},
      {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},   {14, "Q6_K", 256, 210},
      {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
      {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},
      {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136},
      {24, "I8", 1, 1},         {25, "I16", 1, 2},        {26, "I32", 1, 4},
      {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
      {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},
      {39, "MXFP4", 32, 17},
  };
  for (const Case& c : cases) {
    GgufBuilder file;
    file.tensor("t", c.id, {c.values, 3}, std::string(3 * c.bytes, 'x'));
    const std::string bytes = file.build();
    const auto contents = parse(bytes);
    ASSERT_TRUE(contents.ok()) << c.name << ": " << contents.error().to_string();
    EXPECT_EQ(contents->tensors[0].dtype, c.name);
    EXPECT_EQ(contents->tensors[0].view.bytes.size(), 3 * c.bytes) << c.name;
    if (c.values == 1) continue;
    GgufBuilder odd;
    odd.tensor("t", c.id, {c.values + 1}, std::string(2 * c.bytes, 'x'));
    expect_damaged(odd, std::string("which is no whole number of ") + c.name + " blocks");
  }
}

TEST(GgufRefuses, TextsOfTheFileStayPrintable) {
  GgufBuilder file = small_file();
  file.tensors[1].name = "t\n\x1b[31m";
  file.tensors[1].dims = {0};
  const auto result = parse(file.build());
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().to_string(), HasSubstr("t\\n\\x1b[31m"));
}

TEST(GgufRefuses, TruncationAtEveryByte) {
  const GgufBuilder builder = small_file();
  const std::string whole = builder.build();
  ASSERT_TRUE(parse(whole).ok());
  // Zeros behind the last tensor carry nothing; some writers leave them out.
  const size_t needed = whole.size() - (32 - 4 * 34 % 32);
  for (size_t size = 0; size < needed; ++size) {
    expect_refused(whole.substr(0, size), ErrorCode::damaged, "m.gguf");
  }
  EXPECT_TRUE(parse(whole.substr(0, needed)).ok());
}

TEST(GgufRefuses, RandomByteFlipsNeverCrash) {
  const GgufBuilder builder = small_file();
  const std::string whole = builder.build();
  const size_t header = builder.header().size();
  Rng rng(1);
  int loaded = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string flipped = whole;
    for (int n = i % 4; n >= 0; --n) {
      flipped[rng.next() % header] ^= static_cast<char>(1 + rng.next() % 255);
    }
    const auto result = parse(flipped);
    if (result.ok()) {
      ++loaded;
      for (const NamedTensor& tensor : result->tensors) {
        EXPECT_TRUE(range_fits(tensor.view.bytes.data() - as_bytes(flipped).data(),
                               tensor.view.bytes.size(), flipped.size()));
      }
    } else {
      EXPECT_THAT(result.error().code, testing::AnyOf(ErrorCode::damaged, ErrorCode::unsupported))
          << result.error().to_string();
      EXPECT_THAT(result.error().to_string(), HasSubstr("m.gguf"));
    }
  }
  EXPECT_GT(loaded, 0) << "flips inside names and values load";
  EXPECT_LT(loaded, 2000);
}

}  // namespace
}  // namespace phial

#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/checked.h"
#include "base/rng.h"
#include "formats/test_files.h"

namespace phial {
namespace {

using test::SafetensorsBuilder;
using ::testing::HasSubstr;

std::span<const uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Result<std::vector<NamedTensor>> parse(const std::string& file) {
  return parse_safetensors(as_bytes(file), "dir/m.safetensors");
}

void expect_refused(const std::string& file, ErrorCode code, std::string_view part) {
  const auto result = parse(file);
  ASSERT_FALSE(result.ok()) << "expected an error about: " << part;
  EXPECT_EQ(result.error().code, code) << result.error().to_string();
  EXPECT_THAT(result.error().to_string(), HasSubstr(std::string(part)));
  EXPECT_THAT(result.error().to_string(), HasSubstr("m.safetensors"));
}

// A file whose header is the text `header`, with 8 bytes of data.
void expect_damaged(std::string_view header, std::string_view part) {
  expect_refused(SafetensorsBuilder::raw(header, "12345678"), ErrorCode::damaged, part);
}

std::string small_file() {
  SafetensorsBuilder file;
  file.entry("__metadata__", R"({"format":"pt"})");
  file.tensor("b.f32", "F32", {2, 3}, test::le_all<float>({1, 2, 3, 4, 5, 6}));
  file.tensor("a.bf16", "BF16", {4}, "12345678");
  file.tensor("c.f16", "F16", {}, "xy");
  return file.build();
}

TEST(Safetensors, ReadsTensorsInTheOrderOfTheData) {
  const std::string file = small_file();
  const auto tensors = parse(file);
  ASSERT_TRUE(tensors.ok()) << tensors.error().to_string();
  ASSERT_EQ(tensors->size(), 3u);
  const NamedTensor& f32 = (*tensors)[0];
  EXPECT_EQ(f32.name, "b.f32");
  EXPECT_EQ(f32.dtype, "F32");
  EXPECT_EQ(f32.file, "m.safetensors");
  EXPECT_EQ(f32.view.grid, Grid::f32);
  EXPECT_THAT(f32.view.shape, testing::ElementsAre(2, 3));
  EXPECT_EQ(std::string(f32.view.bytes.begin(), f32.view.bytes.end()),
            test::le_all<float>({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ((*tensors)[1].view.grid, Grid::bf16);
  EXPECT_EQ((*tensors)[2].view.grid, Grid::f16);
  EXPECT_EQ((*tensors)[2].view.elements(), 1);
  EXPECT_EQ((*tensors)[2].view.bytes.data() + 2, as_bytes(file).data() + file.size());
}

TEST(Safetensors, AllowsBlanksBehindTheHeaderNoTensorsAndEmptyTensors) {
  EXPECT_TRUE(parse(SafetensorsBuilder::raw("{}   ", "")).ok());
  SafetensorsBuilder file;
  file.tensor("e", "F32", {0, 3}, "").tensor("f", "F32", {0}, "").tensor("g", "F32", {1}, "1234");
  const auto tensors = parse(file.build());
  ASSERT_TRUE(tensors.ok()) << tensors.error().to_string();
  EXPECT_EQ(tensors->size(), 3u);
}

TEST(Safetensors, TheOrderOfEntriesIsFree) {
  const auto tensors =
      parse(SafetensorsBuilder::raw(R"({"z":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},)"
                                    R"("y":{"data_offsets":[0,4],"shape":[1],"dtype":"F32"}})",
                                    "12345678"));
  ASSERT_TRUE(tensors.ok()) << tensors.error().to_string();
  EXPECT_EQ((*tensors)[0].name, "y");
}

TEST(Safetensors, ReadsEveryDtype) {
  const std::pair<const char*, size_t> dtypes[] = {
      {"F64", 8},     {"F32", 4},  {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1},
      {"F8_E5M2", 1}, {"BOOL", 1}, {"I8", 1},  {"U8", 1},   {"I16", 2},
      {"U16", 2},     {"I32", 4},  {"U32", 4}, {"I64", 8},  {"U64", 8}};
  for (const auto& [dtype, bytes] : dtypes) {
    SafetensorsBuilder file;
    file.tensor("w", dtype, {3, 5}, std::string(15 * bytes, 'x'));
    const std::string text = file.build();
    const auto tensors = parse(text);
    ASSERT_TRUE(tensors.ok()) << dtype << ": " << tensors.error().to_string();
    EXPECT_EQ((*tensors)[0].dtype, dtype);
    EXPECT_EQ((*tensors)[0].view.bytes.size(), 15 * bytes) << dtype;
  }
}

TEST(SafetensorsRefuses, HeaderLengths) {
  for (const uint64_t length : {uint64_t{100'000'001}, uint64_t{1} << 31, uint64_t{1} << 32,
                                uint64_t{1} << 63, UINT64_MAX - 7, UINT64_MAX}) {
    expect_refused(test::le(length) + "{}", ErrorCode::damaged,
                   "announces a header of " + std::to_string(length));
  }
  expect_refused(test::le<uint64_t>(3) + "{}", ErrorCode::damaged, "file ends inside the header");
  expect_refused(test::le<uint64_t>(0) + "{}", ErrorCode::damaged, "does not begin with '{'");
}

TEST(SafetensorsRefuses, HeadersThatAreNoObject) {
  expect_damaged(" {}", "does not begin with '{'");
  expect_damaged("[]", "does not begin with '{'");
  expect_damaged("{", "not valid JSON");
  expect_damaged("{}{}", "not valid JSON");
  expect_damaged("{\"a\xff\":1}", "not valid UTF-8");
  expect_damaged(R"({"a":1})", "tensor \"a\": expected an object, found integer");
}

TEST(SafetensorsRefuses, DeepHeaders) {
  std::string deep(1000, '[');
  deep = "{\"a\":" + deep + std::string(1000, ']') + "}";
  expect_refused(SafetensorsBuilder::raw(deep, ""), ErrorCode::over_limit, "nested deeper");
}

TEST(SafetensorsRefuses, DuplicateKeys) {
  expect_damaged(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                 R"("a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}})",
                 "the key \"a\" occurs twice");
  expect_damaged(R"({"a":{"dtype":"F32","dtype":"BF16","shape":[2],"data_offsets":[0,8]}})",
                 "the key \"dtype\" occurs twice");
}

TEST(SafetensorsRefuses, Metadata) {
  expect_damaged(R"({"__metadata__":[]})", "__metadata__: expected an object");
  expect_damaged(R"({"__metadata__":{"format":1}})",
                 "\"format\": expected a string, found integer");
}

TEST(SafetensorsRefuses, MissingAndMistypedFields) {
  expect_damaged(R"({"a":{"shape":[2],"data_offsets":[0,8]}})", "tensor \"a\": dtype is missing");
  expect_damaged(R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", "tensor \"a\": shape is missing");
  expect_damaged(R"({"a":{"dtype":"F32","shape":[2]}})", "tensor \"a\": data_offsets is missing");
  expect_damaged(R"({"a":{"dtype":3,"shape":[2],"data_offsets":[0,8]}})",
                 "dtype: expected a string");
  for (const char* shape : {"2", "[-2]", "[2.0]", "[\"2\"]", "[9223372036854775808]", "[1e30]",
                            "[36893488147419103234]", "{}", "null", "[[2]]", "[true]"}) {
    expect_damaged(
        R"({"a":{"dtype":"F32","shape":)" + std::string(shape) + R"(,"data_offsets":[0,8]}})",
        "tensor \"a\": shape: expected a list");
  }
  for (const char* offsets : {"[0]", "[0,4,8]", "[8,0]", "[]"}) {
    expect_damaged(
        R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + std::string(offsets) + "}}",
        "tensor \"a\": data_offsets: expected [begin, end]");
  }
  for (const char* offsets : {"[-8,0]", "[0.0,8]", "\"0,8\"", "[0,18446744073709551624]"}) {
    expect_damaged(
        R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + std::string(offsets) + "}}",
        "tensor \"a\": data_offsets: expected a list of sizes");
  }
}

TEST(SafetensorsRefuses, DtypesItCannotRead) {
  for (const char* dtype : {"F4", "F6_E2M3", "F8_E8M0", "C64", "f32", "", "Q4"}) {
    SafetensorsBuilder file;
    file.tensor("w", dtype, {1}, "12345678");
    expect_refused(file.build(), ErrorCode::unsupported,
                   "tensor \"w\": is stored as " + std::string(dtype) +
                       "; phial reads F64, F32, F16, BF16, F8_E4M3, F8_E5M2, BOOL, I8, ");
  }
}

TEST(SafetensorsRefuses, SizesThatContradictTheShape) {
  for (const char* shape : {"[1]", "[3]", "[0]", "[]", "[4294967296,4294967296]",
                            "[4611686018427387904]", "[9223372036854775807,9223372036854775807]",
                            "[2147483648,2147483648,0]", "[4611686018427387904,4,0]"}) {
    expect_damaged(
        R"({"a":{"dtype":"F32","shape":)" + std::string(shape) + R"(,"data_offsets":[0,8]}})",
        "tensor \"a\": data_offsets: 8 bytes, but shape and dtype make");
  }
  expect_refused(
      SafetensorsBuilder::raw(
          R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})", "12345678"),
      ErrorCode::unsupported, "has 9 axes");
}

TEST(SafetensorsRefuses, HolesOverlapsAndUncoveredBytes) {
  const auto two = [](const char* first, const char* second) {
    return R"({"a":{"dtype":"BF16","shape":[2],"data_offsets":)" + std::string(first) +
           R"(},"b":{"dtype":"BF16","shape":[2],"data_offsets":)" + std::string(second) + "}}";
  };
  EXPECT_TRUE(parse(SafetensorsBuilder::raw(two("[0,4]", "[4,8]"), "12345678")).ok());
  expect_damaged(two("[0,4]", "[0,4]"), "tensor \"b\": data_offsets: begins at byte 0");
  expect_damaged(two("[0,4]", "[3,7]"), "overlaps");
  expect_damaged(two("[1,5]", "[5,9]"), "tensor \"b\": data_offsets: ends at byte 9");
  expect_damaged(R"({"a":{"dtype":"BF16","shape":[3],"data_offsets":[2,8]}})", "expected 0");
  expect_damaged(R"({"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}})",
                 "2 bytes at the end belong to no tensor");
  expect_damaged("{}", "8 bytes at the end belong to no tensor");
  // An empty tensor in the middle of another one.
  expect_damaged(R"({"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},)"
                 R"("e":{"dtype":"BF16","shape":[0],"data_offsets":[4,4]}})",
                 "tensor \"e\"");
}

TEST(SafetensorsRefuses, TruncationAtEveryByte) {
  const std::string whole = small_file();
  for (size_t size = 0; size < whole.size(); ++size) {
    expect_refused(whole.substr(0, size), ErrorCode::damaged, "m.safetensors");
  }
}

TEST(SafetensorsRefuses, RandomByteFlipsNeverCrash) {
  const std::string whole = small_file();
  const size_t header = whole.size() - 34;
  Rng rng(2);
  int loaded = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string flipped = whole;
    for (int n = i % 4; n >= 0; --n) {
      flipped[rng.next() % header] ^= static_cast<char>(1 + rng.next() % 255);
    }
    const auto result = parse(flipped);
    if (result.ok()) {
      ++loaded;
      for (const NamedTensor& tensor : *result) {
        EXPECT_TRUE(range_fits(tensor.view.bytes.data() - as_bytes(flipped).data(),
                               tensor.view.bytes.size(), flipped.size()));
      }
    } else {
      EXPECT_THAT(result.error().code, testing::AnyOf(ErrorCode::damaged, ErrorCode::unsupported))
          << result.error().to_string();
      EXPECT_THAT(result.error().to_string(), HasSubstr("m.safetensors"));
    }
  }
  EXPECT_GT(loaded, 0) << "flips inside names load";
  EXPECT_LT(loaded, 2000);
}

// ---- sharded ----

std::string shard(std::string_view tensor) {
  SafetensorsBuilder file;
  file.tensor(tensor, "F32", {2}, "12345678");
  return file.build();
}

std::string index_of(std::string_view weight_map) {
  return R"({"metadata":{"total_size":16},"weight_map":)" + std::string(weight_map) + "}";
}

constexpr const char* kMap = R"({"x":"s-1.safetensors","y":"s-2.safetensors"})";

void put_shards(MemoryFiles& files) {
  files.put("m/model.safetensors.index.json", index_of(kMap));
  files.put("m/s-1.safetensors", shard("x"));
  files.put("m/s-2.safetensors", shard("y"));
}

Result<SafetensorsShards> read(const MemoryFiles& files) {
  return read_sharded_safetensors(files, "m/model.safetensors.index.json");
}

void expect_index_refused(const MemoryFiles& files, ErrorCode code, std::string_view part) {
  const auto result = read(files);
  ASSERT_FALSE(result.ok()) << "expected an error about: " << part;
  EXPECT_EQ(result.error().code, code) << result.error().to_string();
  EXPECT_THAT(result.error().to_string(), HasSubstr(std::string(part)));
}

TEST(SafetensorsShards, AreReadTogether) {
  MemoryFiles files;
  put_shards(files);
  const auto shards = read(files);
  ASSERT_TRUE(shards.ok()) << shards.error().to_string();
  ASSERT_EQ(shards->tensors.size(), 2u);
  EXPECT_EQ(shards->mappings.size(), 2u);
  EXPECT_EQ(shards->tensors[0].file, "s-1.safetensors");
  EXPECT_EQ(shards->tensors[1].name, "y");
}

TEST(SafetensorsShards, RefuseADamagedIndex) {
  for (const char* text : {"", "{", "[]", "{}", R"({"weight_map":{}})", R"({"weight_map":[]})",
                           R"({"weight_map":{"x":"a","x":"b"}})", R"({"weight_map":{"x":1}})"}) {
    MemoryFiles files;
    put_shards(files);
    files.put("m/model.safetensors.index.json", text);
    expect_index_refused(files, ErrorCode::damaged, "m/model.safetensors.index.json");
  }
}

TEST(SafetensorsShards, RefuseNamesThatLeaveTheFolder) {
  for (const char* name : {"../s-1.safetensors", "/m/s-1.safetensors", "a/../s-1.safetensors", ".",
                           "", "C:s-1.safetensors", "..\\\\s-1.safetensors"}) {
    MemoryFiles files;
    put_shards(files);
    files.put("m/model.safetensors.index.json",
              index_of(R"({"x":"s-1.safetensors","y":")" + std::string(name) + "\"}"));
    expect_index_refused(files, ErrorCode::damaged, "weight_map");
  }
}

TEST(SafetensorsShards, RefuseMissingShardsAndContradictions) {
  MemoryFiles files;
  put_shards(files);
  files.put("m/model.safetensors.index.json",
            index_of(R"({"x":"s-1.safetensors","y":"s-3.safetensors"})"));
  expect_index_refused(files, ErrorCode::not_found, "s-3.safetensors");

  files.put("m/model.safetensors.index.json",
            index_of(R"({"x":"s-1.safetensors","y":"s-2.safetensors","z":"s-2.safetensors"})"));
  expect_index_refused(files, ErrorCode::damaged, "tensor \"z\" is missing");

  files.put("m/model.safetensors.index.json",
            index_of(R"({"x":"s-2.safetensors","y":"s-2.safetensors"})"));
  expect_index_refused(files, ErrorCode::damaged, "tensor \"x\" is missing");

  files.put("m/model.safetensors.index.json",
            index_of(R"({"x":"s-2.safetensors","y":"s-1.safetensors"})"));
  expect_index_refused(files, ErrorCode::damaged, "the index places it in \"s-2.safetensors\"");

  put_shards(files);
  files.put("m/s-2.safetensors", shard("q"));
  expect_index_refused(files, ErrorCode::damaged, "tensor \"q\" is not in the index's weight_map");
}

TEST(SafetensorsShards, RefuseTruncationOfTheIndexAndOfEachShardAtEveryByte) {
  const std::string index = index_of(kMap);
  for (size_t size = 0; size < index.size(); ++size) {
    MemoryFiles files;
    put_shards(files);
    files.put("m/model.safetensors.index.json", index.substr(0, size));
    expect_index_refused(files, ErrorCode::damaged, "m/model.safetensors.index.json");
  }
  for (const auto& [name, tensor] :
       {std::pair("m/s-1.safetensors", "x"), {"m/s-2.safetensors", "y"}}) {
    const std::string whole = shard(tensor);
    for (size_t size = 0; size < whole.size(); ++size) {
      MemoryFiles files;
      put_shards(files);
      files.put(name, whole.substr(0, size));
      expect_index_refused(files, ErrorCode::damaged, name);
    }
  }
}

TEST(SafetensorsShards, RandomByteFlipsOfTheIndexNeverCrash) {
  const std::string whole = index_of(kMap);
  Rng rng(3);
  int loaded = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string flipped = whole;
    flipped[rng.next() % flipped.size()] ^= static_cast<char>(1 + rng.next() % 255);
    MemoryFiles files;
    put_shards(files);
    files.put("m/model.safetensors.index.json", flipped);
    const auto result = read(files);
    loaded += result.ok();
    if (!result.ok()) {
      EXPECT_THAT(result.error().code, testing::AnyOf(ErrorCode::damaged, ErrorCode::not_found))
          << result.error().to_string();
    }
  }
  EXPECT_GT(loaded, 0) << "flips inside total_size load";
  EXPECT_LT(loaded, 2000);
}

}  // namespace
}  // namespace phial

#include "formats/gguf_writer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "formats/test_files.h"

namespace phial {
namespace {

std::vector<GgufPair> pairs_of_every_type() {
  return {{"a.u8", uint8_t{200}},
          {"a.i8", int8_t{-3}},
          {"a.u16", uint16_t{60000}},
          {"a.i16", int16_t{-300}},
          {"a.u32", uint32_t{4000000000}},
          {"a.i32", int32_t{-70000}},
          {"a.f32", 0.1f},
          {"a.bool", true},
          {"a.string", std::string("na\u00efve\0x", 8)},
          {"a.u64", uint64_t{1} << 40},
          {"a.i64", -(int64_t{1} << 40)},
          {"a.f64", 0.1},
          {"b.u8", std::vector<uint8_t>{0, 255}},
          {"b.i8", std::vector<int8_t>{-128, 127}},
          {"b.u16", std::vector<uint16_t>{1, 65535}},
          {"b.i16", std::vector<int16_t>{-1, 2}},
          {"b.u32", std::vector<uint32_t>{}},
          {"b.i32", std::vector<int32_t>{1, -2, 3}},
          {"b.f32", std::vector<float>{0.5f, -0.1f}},
          {"b.bool", std::vector<bool>{true, false}},
          {"b.string", std::vector<std::string>{"", "two"}},
          {"b.u64", std::vector<uint64_t>{uint64_t{1} << 62}},
          {"b.i64", std::vector<int64_t>{INT64_MIN}},
          {"b.f64", std::vector<double>{0.1, 1e300}}};
}

GgufLayout must(Result<GgufLayout> layout) {
  EXPECT_TRUE(layout.ok()) << layout.error().to_string();
  return layout.ok() ? *std::move(layout) : GgufLayout();
}

GgufContents parsed(std::span<const uint8_t> bytes) {
  Result<GgufContents> contents = parse_gguf(bytes, "m.gguf", false);
  EXPECT_TRUE(contents.ok()) << contents.error().to_string();
  return contents.ok() ? *std::move(contents) : GgufContents();
}

// The file that a layout and its tensors' data make, written in pieces of `chunk` bytes.
std::vector<uint8_t> written(const GgufLayout& layout, const std::vector<uint8_t>& data,
                             size_t chunk) {
  MemoryFiles files;
  Result<GgufWriter> writer = GgufWriter::create(files, "m.gguf", layout);
  EXPECT_TRUE(writer.ok());
  for (size_t at = 0; at < data.size(); at += chunk) {
    EXPECT_TRUE(
        writer->append(std::span(data).subspan(at, std::min(chunk, data.size() - at))).ok());
  }
  EXPECT_EQ(files.kind("m.gguf"), FileKind::none) << "before it is committed";
  EXPECT_TRUE(writer->commit().ok());
  const auto mapped = files.map("m.gguf").value();
  return {mapped->bytes().begin(), mapped->bytes().end()};
}

std::vector<uint8_t> counting(size_t n) {
  std::vector<uint8_t> bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + 1);
  return bytes;
}

TEST(GgufWriter, PairsOfEveryTypeAreReadAsTheyWere) {
  const GgufLayout layout = must(gguf_layout(pairs_of_every_type(), {}));
  const GgufContents contents = parsed(layout.header);
  const std::vector<GgufPair> read = gguf_pairs_of(contents.metadata);
  const std::vector<GgufPair> wanted = pairs_of_every_type();
  ASSERT_EQ(read.size(), wanted.size());
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].key, wanted[i].key);
    EXPECT_TRUE(read[i].value == wanted[i].value) << read[i].key;
  }
  EXPECT_EQ(must(gguf_layout(read, {})).header, layout.header);
}

// Byte for byte what the format says, put together by hand.
TEST(GgufWriter, BytesOfASmallFile) {
  test::GgufBuilder wanted;
  wanted.pair("general.architecture", test::kString, test::gguf_string("llama"));
  wanted.pair("x", test::kU32, test::le(uint32_t{7}));
  const std::vector<uint8_t> data = counting(20 + 68);
  wanted.tensors.push_back(
      {"a", test::kGgmlF32, {5}, std::string(data.begin(), data.begin() + 20), {}});
  wanted.tensors.push_back(
      {"b", test::kGgmlQ8_0, {32, 2}, std::string(data.begin() + 20, data.end()), {}});
  const GgufLayout layout =
      must(gguf_layout({{"general.architecture", std::string("llama")}, {"x", uint32_t{7}}},
                       {{"a", Grid::f32, {5}}, {"b", Grid::q8_0, {2, 32}}}));
  for (const size_t chunk : {1, 3, 20, 33, 1000}) {
    const std::vector<uint8_t> bytes = written(layout, data, chunk);
    EXPECT_EQ(bytes.size(), layout.file_bytes);
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), wanted.build()) << chunk;
  }
}

TEST(GgufWriter, AlignmentOfTheFile) {
  for (const uint32_t alignment : {1u, 8u, 64u, 65536u}) {
    const std::vector<uint8_t> data = counting(20 + 4);
    const GgufLayout layout = must(gguf_layout({{"general.alignment", alignment}},
                                               {{"a", Grid::f32, {5}}, {"b", Grid::f32, {1}}}));
    const std::vector<uint8_t> bytes = written(layout, data, 5);
    const GgufContents contents = parsed(bytes);
    ASSERT_EQ(contents.tensors.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(layout.offsets[i] % alignment, 0u);
      EXPECT_EQ(contents.tensors[i].view.bytes.data(), bytes.data() + layout.offsets[i]);
    }
    EXPECT_EQ(contents.tensors[1].view.bytes[0], data[20]);
  }
}

TEST(GgufWriter, EveryGridThatHasAType) {
  int holds = 0;
  for (const GridInfo& info : grid_table()) {
    if (!gguf_can_hold(info.grid)) {
      EXPECT_EQ(gguf_layout({}, {{"t", info.grid, {2, 256}}}).error().code, ErrorCode::unsupported);
      continue;
    }
    ++holds;
    const GgufLayout layout = must(gguf_layout({}, {{"t", info.grid, {2, 256}}}));
    const std::vector<uint8_t> data = counting(2 * static_cast<size_t>(row_bytes(info.grid, 256)));
    const std::vector<uint8_t> bytes = written(layout, data, data.size());
    const GgufContents contents = parsed(bytes);
    ASSERT_EQ(contents.tensors.size(), 1u) << info.name;
    EXPECT_EQ(contents.tensors[0].view.grid, info.grid);
    EXPECT_EQ(contents.tensors[0].view.shape, (std::vector<int64_t>{2, 256}));
    EXPECT_TRUE(std::ranges::equal(contents.tensors[0].view.bytes, data)) << info.name;
  }
  EXPECT_GE(holds, 29);
}

void expect_refused(const std::vector<GgufPair>& pairs, std::vector<GgufTensor> tensors,
                    ErrorCode code, std::string_view says) {
  const Result<GgufLayout> layout = gguf_layout(pairs, std::move(tensors));
  ASSERT_FALSE(layout.ok()) << says;
  EXPECT_EQ(layout.error().code, code) << layout.error().to_string();
  EXPECT_NE(layout.error().to_string().find(says), std::string::npos) << layout.error().to_string();
}

TEST(GgufWriter, Refuses) {
  using enum ErrorCode;
  const GgufTensor good{"t", Grid::f32, {4}};
  expect_refused({{"k", uint32_t{1}}, {"k", uint32_t{2}}}, {}, damaged, "twice");
  expect_refused({{"", uint32_t{1}}}, {}, damaged, "0 bytes");
  expect_refused({{std::string(65536, 'k'), uint32_t{1}}}, {}, damaged, "65536 bytes");
  expect_refused({{"general.alignment", uint32_t{48}}}, {}, damaged, "power of two");
  expect_refused({{"general.alignment", uint32_t{0}}}, {}, damaged, "power of two");
  expect_refused({{"general.alignment", uint64_t{32}}}, {}, damaged, "u32");
  expect_refused({}, {good, good}, damaged, "tensor t: is there twice");
  expect_refused({}, {{"", Grid::f32, {4}}}, unsupported, "0 bytes");
  expect_refused({}, {{std::string(64, 't'), Grid::f32, {4}}}, unsupported, "64 bytes");
  expect_refused({}, {{"t", Grid::q4_k, {2, 288}}}, unsupported, "288");
  expect_refused({}, {{"t", Grid::f32, {}}}, unsupported, "0 axes");
  expect_refused({}, {{"t", Grid::f32, {1, 1, 1, 1, 1}}}, unsupported, "5 axes");
  expect_refused({}, {{"t", Grid::f32, {4, 0}}}, damaged, "an axis of 0");
  expect_refused({}, {{"t", Grid::f32, {4, -1}}}, damaged, "an axis of -1");
  expect_refused({}, {{"t", Grid::f32, {INT64_MAX, 4}}}, damaged, "overflow");
  const GgufTensor huge{"t", Grid::f32, {INT64_MAX / 8}};
  const GgufTensor more{"u", Grid::f32, {INT64_MAX / 8}};
  const GgufTensor most{"v", Grid::f32, {INT64_MAX / 8}};
  expect_refused({}, {huge, more, most}, damaged, "larger than any");
}

TEST(GgufWriter, DataThatDoNotFitTheTensors) {
  MemoryFiles files;
  GgufWriter writer =
      GgufWriter::create(files, "m.gguf", must(gguf_layout({}, {{"t", Grid::f32, {4}}}))).value();
  const std::vector<uint8_t> data = counting(17);
  ASSERT_TRUE(writer.append(std::span(data).first(15)).ok());
  EXPECT_EQ(writer.commit().error().code, ErrorCode::internal);
  EXPECT_EQ(writer.append(std::span(data).subspan(15)).error().code, ErrorCode::internal);
  EXPECT_EQ(files.kind("m.gguf"), FileKind::none);
}

TEST(GgufWriter, SetPairReplacesWhereItStands) {
  std::vector<GgufPair> pairs = {{"a", uint32_t{1}}, {"b", uint32_t{2}}};
  set_gguf_pair(pairs, "a", std::string("one"));
  set_gguf_pair(pairs, "c", true);
  ASSERT_EQ(pairs.size(), 3u);
  EXPECT_TRUE(pairs[0].value == GgufPair::Value(std::string("one")));
  EXPECT_EQ(pairs[2].key, "c");
}

}  // namespace
}  // namespace phial

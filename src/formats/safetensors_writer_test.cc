#include "formats/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/checkpoint.h"

namespace phial {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Three tensors of 6, 1 and 24 bytes, and one without any.
const std::vector<SafetensorsTensor> kTensors = {{"b", Grid::bf16, {3}},
                                                 {"none", Grid::f32, {0, 4}},
                                                 {"a", Grid::u8, {}},
                                                 {"c", Grid::f32, {2, 3}}};

std::vector<uint8_t> counted(size_t bytes) {
  std::vector<uint8_t> out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(i + 1);
  return out;
}

std::string text_of(const Files& files, const std::string& path) {
  const auto file = files.map(path);
  return file.ok() ? std::string((*file)->text()) : "<none>";
}

// Writes kTensors in pieces of `piece` bytes, then commits.
Status write_all(const Files& files, const SafetensorsOptions& options, size_t piece = 31) {
  PHIAL_ASSIGN(const auto writer,
               SafetensorsWriter::create(files, "d/model.safetensors", kTensors, options));
  const std::vector<uint8_t> bytes = counted(31);
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const size_t count = std::min(piece, bytes.size() - at);
    PHIAL_TRY(writer->append({bytes.data() + at, count}));
  }
  return writer->commit();
}

void expect_all_there(const Checkpoint& checkpoint) {
  ASSERT_EQ(checkpoint.tensors.size(), 4u);
  size_t at = 0;
  const std::vector<uint8_t> bytes = counted(31);
  for (const SafetensorsTensor& expected : kTensors) {
    const NamedTensor* tensor = checkpoint.find(expected.name);
    ASSERT_NE(tensor, nullptr) << expected.name;
    EXPECT_EQ(tensor->view.grid, expected.grid);
    EXPECT_EQ(tensor->view.shape, expected.shape);
    for (const uint8_t byte : tensor->view.bytes) EXPECT_EQ(byte, bytes[at++]) << expected.name;
  }
  EXPECT_EQ(at, bytes.size());
}

TEST(SafetensorsWriter, WritesWhatTheReaderReads) {
  for (const size_t piece : {1, 2, 7, 31}) {
    MemoryFiles files;
    const Status written = write_all(files, {}, piece);
    ASSERT_TRUE(written.ok()) << written.error().to_string();
    EXPECT_THAT(*files.list("d"), ElementsAre("model.safetensors"));
    const auto checkpoint = read_checkpoint(files, "d/model.safetensors");
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
    expect_all_there(*checkpoint);
    EXPECT_THAT(text_of(files, "d/model.safetensors"), HasSubstr(R"({"format":"pt"})"));
  }
}

TEST(SafetensorsWriter, AlignsTensorsAndSaysHowLargeTheFileGets) {
  MemoryFiles files;
  const SafetensorsOptions options{.alignment = 64};
  const auto plan = plan_safetensors("d/model.safetensors", kTensors, options);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->size(), 1u);
  ASSERT_TRUE(write_all(files, options).ok());
  const std::string file = text_of(files, "d/model.safetensors");
  EXPECT_EQ(plan->front().path, "d/model.safetensors");
  EXPECT_EQ(plan->front().bytes, file.size());
  const auto checkpoint = read_checkpoint(files, "d/model.safetensors");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  expect_all_there(*checkpoint);
  for (const NamedTensor& tensor : checkpoint->tensors) {
    const auto* begin = checkpoint->mappings[0]->bytes().data();
    EXPECT_EQ((tensor.view.bytes.data() - begin) % 64, 0) << tensor.name;
  }
}

TEST(SafetensorsWriter, SplitsIntoShardsWithAnIndex) {
  MemoryFiles files;
  const SafetensorsOptions options{.max_shard_bytes = 8,
                                   .index_metadata = {{"total_parameters", int64_t{9}}}};
  const auto plan = plan_safetensors("d/model.safetensors", kTensors, options);
  ASSERT_TRUE(plan.ok());
  ASSERT_TRUE(write_all(files, options, 5).ok());
  EXPECT_THAT(*files.list("d"),
              ElementsAre("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                          "model.safetensors.index.json"));
  for (const SafetensorsFile& file : *plan) {
    EXPECT_EQ(text_of(files, file.path).size(), file.bytes) << file.path;
  }
  const auto checkpoint = read_checkpoint(files, "d/model.safetensors.index.json");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  expect_all_there(*checkpoint);
  const std::string index = text_of(files, "d/model.safetensors.index.json");
  EXPECT_THAT(index, HasSubstr(R"("total_size": 31)"));
  EXPECT_THAT(index, HasSubstr(R"("total_parameters": 9)"));
  EXPECT_THAT(index, HasSubstr(R"("c": "model-00002-of-00002.safetensors")"));
}

TEST(SafetensorsWriter, GivesASingleFileAnIndexWhereAsked) {
  MemoryFiles files;
  ASSERT_TRUE(write_all(files, {.always_index = true}).ok());
  EXPECT_THAT(*files.list("d"), ElementsAre("model.safetensors", "model.safetensors.index.json"));
  const auto checkpoint = read_checkpoint(files, "d/model.safetensors.index.json");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  expect_all_there(*checkpoint);
}

TEST(SafetensorsWriter, LeavesNothingWithoutCommit) {
  MemoryFiles files;
  {
    const auto writer = SafetensorsWriter::create(files, "d/model.safetensors", kTensors,
                                                  {.max_shard_bytes = 8, .always_index = true});
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->append(counted(31)).ok());
  }
  EXPECT_EQ(files.kind("d/model-00001-of-00002.safetensors"), FileKind::none);
  EXPECT_EQ(files.kind("d/model.safetensors.index.json"), FileKind::none);
}

TEST(SafetensorsWriter, RefusesFewerAndMoreBytesThanAnnounced) {
  for (const size_t bytes : {0, 30, 32}) {
    MemoryFiles files;
    const auto writer = SafetensorsWriter::create(files, "m.safetensors", kTensors);
    ASSERT_TRUE(writer.ok());
    const Status appended = (*writer)->append(counted(bytes));
    EXPECT_EQ(appended.ok(), bytes < 32);
    if (!appended.ok()) {
      EXPECT_EQ(appended.error().code, ErrorCode::internal);
      continue;
    }
    const Status committed = (*writer)->commit();
    ASSERT_FALSE(committed.ok());
    EXPECT_EQ(committed.error().code, ErrorCode::internal);
    EXPECT_EQ(files.kind("m.safetensors"), FileKind::none);
  }
}

TEST(SafetensorsWriter, RefusesWhatNoReaderWouldTake) {
  constexpr int64_t kHuge = int64_t{1} << 40;
  const auto code = [](const SafetensorsTensor& tensor, const SafetensorsOptions& options = {}) {
    const std::vector<SafetensorsTensor> tensors = {{"w", Grid::f32, {1}}, tensor};
    const auto plan = plan_safetensors("m.safetensors", tensors, options);
    return plan.ok() ? ErrorCode::failed : plan.error().code;
  };
  EXPECT_EQ(code({"w", Grid::f32, {1}}), ErrorCode::usage);
  EXPECT_EQ(code({"", Grid::f32, {1}}), ErrorCode::usage);
  EXPECT_EQ(code({"__metadata__", Grid::f32, {1}}), ErrorCode::usage);
  EXPECT_EQ(code({"__padding__.0", Grid::f32, {1}}), ErrorCode::usage);
  EXPECT_EQ(code({"\xff", Grid::f32, {1}}), ErrorCode::usage);
  EXPECT_EQ(code({"v", Grid::q4_1, {32}}), ErrorCode::unsupported);
  EXPECT_EQ(code({"v", Grid::u8, {kHuge, kHuge}}), ErrorCode::over_limit);
  EXPECT_EQ(code({"v", Grid::u8, {kHuge, 1 << 23}}), ErrorCode::over_limit);
  EXPECT_EQ(code({"v", Grid::u8, {1}}, {.alignment = 24}), ErrorCode::usage);
  EXPECT_EQ(code({"v", Grid::u8, {1}}, {.alignment = 0}), ErrorCode::usage);
  EXPECT_EQ(code({"v", Grid::u8, {1}}, {.alignment = 1 << 21}), ErrorCode::usage);
  EXPECT_EQ(code({"v", Grid::u8, {1}}), ErrorCode::failed) << "this one is fine";
}

TEST(SafetensorsWriter, EscapesNames) {
  MemoryFiles files;
  const std::vector<SafetensorsTensor> tensors = {{"a\"b\\\n\u00e9", Grid::u8, {2}}};
  const auto writer = SafetensorsWriter::create(files, "m.safetensors", tensors);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->append(counted(2)).ok());
  ASSERT_TRUE((*writer)->commit().ok());
  const auto checkpoint = read_checkpoint(files, "m.safetensors");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  EXPECT_EQ(checkpoint->tensors.front().name, tensors.front().name);
}

}  // namespace
}  // namespace phial

#include "formats/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "formats/test_files.h"

namespace phial {
namespace {

using test::GgufBuilder;
using test::SafetensorsBuilder;
using ::testing::HasSubstr;

std::string small_gguf() {
  GgufBuilder file;
  file.text("general.architecture", "llama").strings("tokenizer.ggml.tokens", {"a", "b"});
  file.tensor("z", test::kGgmlF32, {2}, "12345678").tensor("a", test::kGgmlF32, {1}, "1234");
  return file.build();
}

std::string small_safetensors(std::string_view tensor = "w") {
  SafetensorsBuilder file;
  file.tensor(tensor, "F32", {2}, "12345678");
  return file.build();
}

void put_side_files(MemoryFiles& files, const std::string& folder) {
  files.put(folder + "/config.json", R"({"model_type":"llama"})");
  files.put(folder + "/generation_config.json", R"({"eos_token_id":[1,2]})");
  files.put(folder + "/tokenizer_config.json", R"({"bos_token":"<s>"})");
  files.put(folder + "/special_tokens_map.json", R"({"eos_token":"</s>"})");
  files.put(folder + "/tokenizer.json", R"({"model":{}})");
  files.put(folder + "/chat_template.jinja", "{{ messages }}");
}

void expect_side_files(const Checkpoint& checkpoint) {
  EXPECT_EQ(*checkpoint.config.find("model_type")->if_string(), "llama");
  EXPECT_TRUE(checkpoint.generation_config.find("eos_token_id"));
  EXPECT_TRUE(checkpoint.tokenizer_config.find("bos_token"));
  EXPECT_TRUE(checkpoint.special_tokens_map.find("eos_token"));
  EXPECT_EQ(checkpoint.tokenizer_json, R"({"model":{}})");
  EXPECT_EQ(checkpoint.chat_template, "{{ messages }}");
}

void expect_refused(const MemoryFiles& files, const std::string& path, ErrorCode code,
                    std::string_view part, bool text_only = false) {
  const auto result = read_checkpoint(files, path, {.text_only = text_only});
  ASSERT_FALSE(result.ok()) << path << ": expected an error about: " << part;
  EXPECT_EQ(result.error().code, code) << result.error().to_string();
  EXPECT_THAT(result.error().to_string(), HasSubstr(std::string(part)));
}

Checkpoint must_read(const MemoryFiles& files, const std::string& path, bool text_only = false) {
  auto result = read_checkpoint(files, path, {.text_only = text_only});
  EXPECT_TRUE(result.ok()) << path << ": " << result.error().to_string();
  return result.ok() ? std::move(*result) : Checkpoint();
}

TEST(Checkpoint, ReadsAGgufFileUnderAnyName) {
  MemoryFiles files;
  for (const char* path : {"m.gguf", "m", "m.bin", "m.safetensors"}) {
    files.put(path, small_gguf());
    const Checkpoint checkpoint = must_read(files, path);
    EXPECT_EQ(checkpoint.format, Checkpoint::Format::gguf) << path;
    EXPECT_EQ(checkpoint.path, path);
    EXPECT_EQ(checkpoint.file_bytes, small_gguf().size());
    EXPECT_EQ(**checkpoint.gguf.string("general.architecture"), "llama");
    ASSERT_EQ(checkpoint.tensors.size(), 2u);
    EXPECT_EQ(checkpoint.tensors[0].name, "a") << "sorted by name";
    ASSERT_TRUE(checkpoint.find("z"));
    EXPECT_EQ(checkpoint.find("z")->view.bytes.size(), 8u);
    EXPECT_EQ(checkpoint.find("b"), nullptr);
    EXPECT_EQ(checkpoint.find(""), nullptr);
  }
}

TEST(Checkpoint, ViewsOutliveTheFiles) {
  Checkpoint checkpoint;
  {
    MemoryFiles files;
    files.put("m.gguf", small_gguf());
    checkpoint = must_read(files, "m.gguf");
  }
  const auto bytes = checkpoint.find("z")->view.bytes;
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "12345678");
  EXPECT_THAT(**checkpoint.gguf.strings("tokenizer.ggml.tokens"), testing::ElementsAre("a", "b"));
}

TEST(Checkpoint, ReadsASafetensorsFileWithTheSideFilesOfItsFolder) {
  MemoryFiles files;
  put_side_files(files, "m");
  for (const char* name : {"m/model.safetensors", "m/other.safetensors", "m/weights"}) {
    files.put(name, small_safetensors());
    const Checkpoint checkpoint = must_read(files, name);
    EXPECT_EQ(checkpoint.format, Checkpoint::Format::safetensors);
    EXPECT_TRUE(checkpoint.find("w"));
    expect_side_files(checkpoint);
  }
}

TEST(Checkpoint, SideFilesAreOptional) {
  MemoryFiles files;
  files.put("m/model.safetensors", small_safetensors());
  const Checkpoint checkpoint = must_read(files, "m");
  EXPECT_TRUE(checkpoint.config.is_null());
  EXPECT_TRUE(checkpoint.tokenizer_json.empty());
  EXPECT_TRUE(checkpoint.chat_template.empty());
}

TEST(Checkpoint, FolderPrefersIndexThenSingleThenOnlySafetensorsThenOnlyGguf) {
  MemoryFiles files;
  files.put("m/only.gguf", small_gguf());
  EXPECT_EQ(must_read(files, "m").format, Checkpoint::Format::gguf);
  files.put("m/only.safetensors", small_safetensors("only"));
  EXPECT_TRUE(must_read(files, "m").find("only"));
  files.put("m/model.safetensors", small_safetensors("single"));
  EXPECT_TRUE(must_read(files, "m/").find("single"));
  files.put("m/s.safetensors", small_safetensors("sharded"));
  files.put("m/model.safetensors.index.json", R"({"weight_map":{"sharded":"s.safetensors"}})");
  put_side_files(files, "m");
  for (const char* path : {"m", "m/model.safetensors.index.json"}) {
    const Checkpoint checkpoint = must_read(files, path);
    EXPECT_TRUE(checkpoint.find("sharded"));
    EXPECT_EQ(checkpoint.tensors.size(), 1u);
    expect_side_files(checkpoint);
  }
}

TEST(Checkpoint, ChatTemplateMayBeJson) {
  MemoryFiles files;
  files.put("m/model.safetensors", small_safetensors());
  files.put("m/chat_template.json", R"({"chat_template":"{{ 1 }}"})");
  EXPECT_EQ(must_read(files, "m").chat_template, "{{ 1 }}");
  files.put("m/chat_template.jinja", "{{ 2 }}");
  EXPECT_EQ(must_read(files, "m").chat_template, "{{ 2 }}");
  files.put("m/chat_template.jinja", "\xff");
  expect_refused(files, "m", ErrorCode::damaged, "chat_template.jinja");
}

TEST(Checkpoint, RefusesDamagedSideFiles) {
  for (const char* name : {"config.json", "generation_config.json", "tokenizer_config.json",
                           "special_tokens_map.json"}) {
    for (const char* text : {"", "{", "[]", "null", R"({"a":1,"a":2})", "{\"a\":\"\xff\"}"}) {
      MemoryFiles files;
      files.put("m/model.safetensors", small_safetensors());
      files.put(std::string("m/") + name, text);
      expect_refused(files, "m", ErrorCode::damaged, name);
      expect_refused(files, "m", ErrorCode::damaged, name, true);
    }
  }
  for (const char* text : {"{}", R"({"chat_template":1})", "[]"}) {
    MemoryFiles files;
    files.put("m/model.safetensors", small_safetensors());
    files.put("m/chat_template.json", text);
    expect_refused(files, "m", ErrorCode::damaged, "chat_template");
  }
}

TEST(Checkpoint, TextNeedsNoWeights) {
  MemoryFiles files;
  put_side_files(files, "m");
  expect_side_files(must_read(files, "m", true));
  expect_side_files(must_read(files, "m/tokenizer.json", true));
  expect_refused(files, "m", ErrorCode::unsupported, "holds no model");
  expect_refused(files, "m/tokenizer.json", ErrorCode::unsupported, "a tokenizer without a model");

  // Weights that are there but of no use.
  files.put("m/model.safetensors", "cut");
  expect_side_files(must_read(files, "m", true));
  files.put("m/model.safetensors.index.json", "{}");
  expect_side_files(must_read(files, "m", true));
  expect_side_files(must_read(files, "m/model.safetensors.index.json", true));

  GgufBuilder vocabulary;
  vocabulary.strings("tokenizer.ggml.tokens", {"a"});
  files.put("v/vocabulary.gguf", vocabulary.build());
  EXPECT_TRUE(must_read(files, "v", true).gguf.find("tokenizer.ggml.tokens"));
  EXPECT_TRUE(must_read(files, "v/vocabulary.gguf", true).tensors.empty());
}

TEST(Checkpoint, ATokenizerFileOfAnotherNameStandsAlone) {
  MemoryFiles files;
  put_side_files(files, "m");
  files.put("m/phi.tokenizer.json", "{}");
  const Checkpoint checkpoint = must_read(files, "m/phi.tokenizer.json", true);
  EXPECT_EQ(checkpoint.tokenizer_json, "{}");
  EXPECT_TRUE(checkpoint.tokenizer_config.is_null());
}

TEST(Checkpoint, RefusesWhatIsNoModel) {
  MemoryFiles files;
  files.put("m/readme.txt", "hello");
  files.put("m/empty", "");
  files.put("m/model.onnx", "\x08\x07");
  expect_refused(files, "absent", ErrorCode::not_found, "absent: no such file or folder");
  expect_refused(files, "m/absent.gguf", ErrorCode::not_found, "m/absent.gguf");
  expect_refused(files, "m", ErrorCode::unsupported, "m: holds no model");
  expect_refused(files, "m", ErrorCode::unsupported, "neither a model nor a tokenizer", true);
  for (const char* path : {"m/readme.txt", "m/empty", "m/model.onnx"}) {
    expect_refused(files, path, ErrorCode::unsupported, "phial reads .gguf and .safetensors");
  }
  files.put("two/a.safetensors", small_safetensors());
  files.put("two/b.safetensors", small_safetensors());
  expect_refused(files, "two", ErrorCode::unsupported, "holds 2 .safetensors files and no");
  files.put("ggufs/a.gguf", small_gguf());
  files.put("ggufs/b.gguf", small_gguf());
  expect_refused(files, "ggufs", ErrorCode::unsupported, "holds 2 .gguf files");
}

TEST(Checkpoint, TheExtensionDecidesWhereTheBytesTellNothing) {
  MemoryFiles files;
  for (const char* text : {"", "G", "GGU", "garbage garbage garbage"}) {
    files.put("m.gguf", text);
    expect_refused(files, "m.gguf", ErrorCode::damaged, "m.gguf");
    files.put("m.safetensors", text);
    expect_refused(files, "m.safetensors", ErrorCode::damaged, "m.safetensors");
  }
}

// ---- on disk ----

class CheckpointOnDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "phial-checkpoint-XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories(std::filesystem::path(at(name)).parent_path());
    std::ofstream(at(name), std::ios::binary) << text;
  }
  std::string at(const std::string& name) const { return join_path(folder_, name); }

  std::string folder_;
};

// As download caches lay a model out: a folder of links to files named by their hash.
TEST_F(CheckpointOnDisk, FollowsLinksToShardsAndSideFiles) {
  const std::vector<std::pair<std::string, std::string>> files = {
      {"config.json", R"({"model_type":"llama"})"},
      {"model.safetensors.index.json",
       R"({"weight_map":{"a":"s-1.safetensors","b":"s-2.safetensors"}})"},
      {"s-1.safetensors", small_safetensors("a")},
      {"s-2.safetensors", small_safetensors("b")}};
  std::filesystem::create_directories(at("snapshots/1"));
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string blob = "blobs/" + std::to_string(i);
    write(blob, files[i].second);
    std::filesystem::create_symlink("../../" + blob, at("snapshots/1/" + files[i].first));
  }
  const auto checkpoint = read_checkpoint(*disk_files(), at("snapshots/1"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  EXPECT_EQ(checkpoint->tensors.size(), 2u);
  EXPECT_EQ(checkpoint->find("b")->file, "s-2.safetensors");
  EXPECT_FALSE(checkpoint->config.is_null());

  std::filesystem::remove(at("blobs/3"));  // an interrupted download
  const auto broken = read_checkpoint(*disk_files(), at("snapshots/1"));
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().code, ErrorCode::not_found);
  EXPECT_THAT(broken.error().to_string(), HasSubstr("s-2.safetensors"));
}

// A writer that was killed between the last byte and the rename leaves a file that is whole.
TEST_F(CheckpointOnDisk, WhatAnInterruptedRunLeftIsNoModel) {
  write(".m.gguf.123-0.part", small_safetensors());
  write("m.partial-123-0/model.safetensors", small_safetensors());
  write("m.partial/model.safetensors", small_safetensors());
  for (const char* name : {".m.gguf.123-0.part", "m.partial-123-0"}) {
    const auto checkpoint = read_checkpoint(*disk_files(), at(name));
    ASSERT_FALSE(checkpoint.ok()) << name;
    EXPECT_EQ(checkpoint.error().code, ErrorCode::damaged);
    EXPECT_THAT(checkpoint.error().to_string(), HasSubstr("interrupted"));
  }
  EXPECT_TRUE(read_checkpoint(*disk_files(), at("m.partial")).ok());
}

TEST_F(CheckpointOnDisk, NeverWaitsForAPipe) {
  for (const char* pipe : {"model.safetensors", "config.json", "tokenizer.json"}) {
    std::filesystem::remove_all(at("m"));
    write("m/model.safetensors", small_safetensors());
    std::filesystem::remove(at("m/") + pipe);
    ASSERT_EQ(::mkfifo((at("m/") + pipe).c_str(), 0600), 0);
    const auto checkpoint = read_checkpoint(*disk_files(), at("m"));
    ASSERT_FALSE(checkpoint.ok()) << pipe;
    EXPECT_EQ(checkpoint.error().code, ErrorCode::unsupported);
    EXPECT_THAT(checkpoint.error().to_string(), HasSubstr(pipe));
  }
  const auto device = read_checkpoint(*disk_files(), "/dev/zero");
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace phial

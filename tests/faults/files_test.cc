// Reads and writes that fail at any moment: every call on Files, one after another, while models of
// each layout are read and files written. Each gives an error that names the file, or, where asking
// again helped, the whole model; never one that is less. What was not committed is not there.
#include "sys/files.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <functional>

#include "engine/native_decoder.h"
#include "engine/sequence.h"
#include "formats/checkpoint.h"
#include "model/model.h"
#include "quantize/convert.h"

namespace phial {
namespace {

// Counts the calls; the one that `left` counts down to fails.
class FaultyFiles final : public Files {
 public:
  mutable MemoryFiles memory;
  mutable int64_t left = -1;
  mutable int64_t failed = 0;

  bool fails() const {
    if (left < 0) return false;
    if (left-- > 0) return false;
    ++failed;
    return true;
  }
  static Error fault(const std::string& path) { return io_error(path, "an injected fault"); }

  FileKind kind(const std::string& path) const override {
    return fails() ? FileKind::unreadable : memory.kind(path);
  }
  Result<std::shared_ptr<const MappedFile>> map(const std::string& path) const override {
    if (fails()) return fault(path);
    return memory.map(path);
  }
  Result<std::vector<std::string>> list(const std::string& folder) const override {
    if (fails()) return fault(folder);
    return memory.list(folder);
  }
  Result<std::string> canonical(const std::string& path) const override {
    if (fails()) return fault(path);
    return memory.canonical(path);
  }
  Result<std::unique_ptr<FileWriter>> create(const std::string& path) const override {
    if (fails()) return fault(path);
    PHIAL_ASSIGN(auto writer, memory.create(path));
    return std::unique_ptr<FileWriter>(
        std::make_unique<FaultyWriter>(*this, path, std::move(writer)));
  }
  Result<std::unique_ptr<FolderWriter>> create_folder(const std::string& path) const override {
    if (fails()) return fault(path);
    PHIAL_ASSIGN(auto writer, memory.create_folder(path));
    return std::unique_ptr<FolderWriter>(
        std::make_unique<FaultyFolder>(*this, path, std::move(writer)));
  }
  Status remove_leftovers(const std::string& path) const override {
    if (fails()) return fault(path);
    return memory.remove_leftovers(path);
  }

 private:
  class FaultyWriter final : public FileWriter {
   public:
    FaultyWriter(const FaultyFiles& files, std::string path, std::unique_ptr<FileWriter> writer)
        : files_(files), path_(std::move(path)), writer_(std::move(writer)) {}
    Status append(std::span<const uint8_t> bytes) override {
      if (files_.fails()) return fault(path_);
      return writer_->append(bytes);
    }
    Status commit() override {
      if (files_.fails()) return fault(path_);
      return writer_->commit();
    }

   private:
    const FaultyFiles& files_;
    const std::string path_;
    std::unique_ptr<FileWriter> writer_;
  };

  class FaultyFolder final : public FolderWriter {
   public:
    FaultyFolder(const FaultyFiles& files, std::string final_path,
                 std::unique_ptr<FolderWriter> writer)
        : files_(files), final_path_(std::move(final_path)), writer_(std::move(writer)) {}
    const std::string& path() const override { return writer_->path(); }
    Status make_folder(const std::string& name) const override {
      return writer_->make_folder(name);
    }
    Status commit() override {
      if (files_.fails()) return fault(final_path_);
      return writer_->commit();
    }

   private:
    const FaultyFiles& files_;
    const std::string final_path_;
    std::unique_ptr<FolderWriter> writer_;
  };
};

// A golden model's files under "m".
void copy_golden(const std::string& name, FaultyFiles& files) {
  namespace fs = std::filesystem;
  const auto disk = disk_files();
  const fs::path source = fs::path(PHIAL_SOURCE_DIR) / "tests/golden/models" / name;
  const auto put = [&](const fs::path& from, const std::string& to) {
    files.memory.put(to, *read_text(*disk, from.string(), UINT64_MAX));
  };
  if (!fs::is_directory(source)) return put(source, "m");
  for (const auto& entry : fs::directory_iterator(source)) {
    put(entry.path(), "m/" + entry.path().filename().string());
  }
}

// Everything that is made from a model's files; the answer tells one model from a lesser one.
Result<std::string> load(const Files& files) {
  PHIAL_ASSIGN(Checkpoint read, read_checkpoint(files, "m"));
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(read));
  PHIAL_ASSIGN(const auto model, open_model(checkpoint));
  PHIAL_ASSIGN(const auto tokenizer, open_tokenizer(*checkpoint));
  PHIAL_ASSIGN(const auto defaults, generation_defaults(*checkpoint, tokenizer.get()));
  PHIAL_ASSIGN(const auto templates, chat_templates(*checkpoint));
  std::string out = std::to_string(tokenizer->spec().added_tokens.size());
  for (const NamedTemplate& named : templates) out += "/" + named.source;
  out += "/" + std::to_string(model->weights.layers.size()) + to_text(checkpoint->tokenizer_config);
  for (const int32_t id : defaults.end_ids) out += "/" + std::to_string(id);
  return out;
}

TEST(FileFaults, AReadThatFailsAnywhereLeavesNothingOutInSilence) {
  for (const char* name : {"llama-smol", "llama-tiny-sharded", "llama-smol-q4_1.gguf"}) {
    FaultyFiles files;
    copy_golden(name, files);
    const auto whole = load(files);
    ASSERT_TRUE(whole.ok());
    int64_t points = 0, errors = 0;
    for (;; ++points) {
      files.left = points;
      files.failed = 0;
      const auto again = load(files);
      if (again.ok()) {
        EXPECT_EQ(*again, *whole) << name << ": call " << points;
      } else {
        ++errors;
        EXPECT_TRUE(again.error().code == ErrorCode::io_error ||
                    again.error().code == ErrorCode::not_found)
            << again.error().to_string();
        EXPECT_EQ(again.error().where.rfind("m", 0), 0u) << again.error().to_string();
      }
      if (files.failed == 0) break;
    }
    files.left = -1;
    EXPECT_TRUE(load(files).ok());
    EXPECT_GE(points, 2);
    std::printf("    %s: %ld calls failed, %ld errors\n", name, static_cast<long>(points),
                static_cast<long>(errors));
  }
}

Status write(const Files& files, const std::string& path) {
  PHIAL_ASSIGN(const auto writer, files.create(path));
  const std::vector<uint8_t> bytes(1000, 7);
  for (int i = 0; i < 3; ++i) PHIAL_TRY(writer->append(bytes));
  return writer->commit();
}

TEST(FileFaults, AWriteThatFailsAnywhereLeavesTheOldFile) {
  int64_t points = 0;
  for (;; ++points) {
    FaultyFiles files;
    files.memory.put("out", "old");
    files.left = points;
    const Status status = write(files, "out");
    if (files.failed == 0) {
      EXPECT_TRUE(status.ok());
      break;
    }
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().where, "out");
    EXPECT_EQ((*files.memory.map("out"))->text(), "old") << points;
  }
  EXPECT_EQ(points, 5);  // create, three appends, commit
  std::printf("    write: %ld calls failed, %ld errors\n", static_cast<long>(points),
              static_cast<long>(points));
}

TEST(FileFaults, ASequenceThatIsNotSavedWholeDoesNotLoad) {
  FaultyFiles golden;
  copy_golden("llama-smol", golden);
  auto checkpoint = read_checkpoint(golden, "m");
  ASSERT_TRUE(checkpoint.ok());
  const auto model = *open_model(std::make_shared<const Checkpoint>(*std::move(checkpoint)));
  const auto decoder = *make_native_decoder(*Runtime::create(1, "", disk_files()), model);
  auto sequence = *Sequence::create(decoder, 0);
  ASSERT_TRUE(sequence->append(std::vector<int32_t>(70, 3)).ok());
  ASSERT_TRUE(sequence->compute_logits(LogitsRows::last, nullptr).ok());
  int64_t points = 0;
  for (;; ++points) {
    FaultyFiles files;
    files.left = points;
    const Status status = sequence->save(files, "out");
    const bool whole = files.failed == 0;
    EXPECT_EQ(status.ok(), whole);
    files.left = -1;
    const auto loaded = Sequence::load(decoder, 0, files, "out");
    EXPECT_EQ(loaded.ok(), whole) << points;
    if (whole) break;
    EXPECT_EQ(loaded.error().code, ErrorCode::not_found);
  }
  EXPECT_EQ(points, 9);  // create, the head, three parts of two writes each, commit
  std::printf("    save: %ld calls failed\n", static_cast<long>(points));
}

// Names and bytes of all that lies at `path`, a file or a folder; empty for nothing.
std::string all_bytes(const Files& files, const std::string& path) {
  const FileKind kind = files.kind(path);
  if (kind == FileKind::none) return {};
  if (kind != FileKind::folder) return std::string((*files.map(path))->text());
  std::string out;
  for (const std::string& name : *files.list(path)) {
    out += name + ":" + all_bytes(files, join_path(path, name)) + "\n";
  }
  return out;
}

void fail_conversions(TargetFormat format, const std::string& scheme) {
  auto files = std::make_shared<FaultyFiles>();
  copy_golden("llama-smol", *files);
  const std::string source = all_bytes(*files, "m");
  const auto runtime = *Runtime::create(1, "", files);
  auto checkpoint = read_checkpoint(*files, "m");
  ASSERT_TRUE(checkpoint.ok());
  const auto model = *open_model(std::make_shared<const Checkpoint>(*std::move(checkpoint)));
  ConvertOptions options;
  options.format = format;
  options.scheme = scheme;
  const auto plan = plan_conversion(*files, model, options);
  ASSERT_TRUE(plan.ok());
  ASSERT_TRUE(run_conversion(*runtime, *plan, "whole", {}, nullptr).ok());
  const std::string whole = all_bytes(*files, "whole");

  int64_t points = 0;
  for (;; ++points) {
    const std::string out = "out" + std::to_string(points);
    files->left = points;
    files->failed = 0;
    const auto result = run_conversion(*runtime, *plan, out, {}, nullptr);
    files->left = -1;
    EXPECT_EQ(all_bytes(*files, out), result.ok() ? whole : "") << points;
    EXPECT_EQ(all_bytes(*files, "m"), source) << points;
    if (files->failed == 0) {
      EXPECT_TRUE(result.ok());
      break;
    }
    // A call that need not answer (what stands at the output's place) may fail unnoticed.
    if (result.ok()) continue;
    EXPECT_EQ(result.error().code, ErrorCode::io_error) << result.error().to_string();
    ASSERT_TRUE(run_conversion(*runtime, *plan, out, {}, nullptr).ok()) << points;
    EXPECT_EQ(all_bytes(*files, out), whole) << points;
  }
  EXPECT_GE(points, 4);  // leftovers, create, an append, commit
  std::printf("    %s: %ld calls failed\n", scheme.c_str(), static_cast<long>(points));
}

TEST(FileFaults, AConversionThatFailsAnywhereLeavesNothing) {
  fail_conversions(TargetFormat::gguf, "q4_0");
  fail_conversions(TargetFormat::mlx, "4-g32");
}

}  // namespace
}  // namespace phial

// Calls of the system that fail at any moment, below disk_files(): each of them, one after another,
// with each of several error numbers, while a model is read and a file written (through the
// linker's --wrap).
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <functional>

#include "formats/checkpoint.h"
#include "sys/files.h"

namespace {

// Calls of this thread that still succeed; negative: all of them.
thread_local int64_t calls_left = -1;
thread_local int error_number = 0;
thread_local int64_t calls_failed = 0;
thread_local const char* failed_call = "";

bool fails(const char* name) {
  if (calls_left < 0) return false;
  if (calls_left-- > 0) return false;
  ++calls_failed;
  failed_call = name;
  errno = error_number;
  return true;
}

}  // namespace

extern "C" {
int __real_stat(const char* path, struct stat* info);
int __real_fstat(int fd, struct stat* info);
int __real_open(const char* path, int flags, ...);
ssize_t __real_write(int fd, const void* data, size_t size);
int __real_fsync(int fd);
int __real_rename(const char* from, const char* to);
DIR* __real_opendir(const char* path);
struct dirent* __real_readdir(DIR* folder);
char* __real_realpath(const char* path, char* resolved);

int __wrap_stat(const char* path, struct stat* info) {
  return fails("stat") ? -1 : __real_stat(path, info);
}
int __wrap_fstat(int fd, struct stat* info) { return fails("fstat") ? -1 : __real_fstat(fd, info); }
int __wrap_open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int mode = (flags & O_CREAT) != 0 ? va_arg(rest, int) : 0;
  va_end(rest);
  return fails("open") ? -1 : __real_open(path, flags, mode);
}
ssize_t __wrap_write(int fd, const void* data, size_t size) {
  return fails("write") ? -1 : __real_write(fd, data, size);
}
int __wrap_fsync(int fd) { return fails("fsync") ? -1 : __real_fsync(fd); }
int __wrap_rename(const char* from, const char* to) {
  return fails("rename") ? -1 : __real_rename(from, to);
}
DIR* __wrap_opendir(const char* path) { return fails("opendir") ? nullptr : __real_opendir(path); }
struct dirent* __wrap_readdir(DIR* folder) {
  return fails("readdir") ? nullptr : __real_readdir(folder);
}
char* __wrap_realpath(const char* path, char* resolved) {
  return fails("realpath") ? nullptr : __real_realpath(path, resolved);
}
}

namespace phial {
namespace {

class SystemFaults : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "phial-faults-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Runs `call` with a failure at its first, second ... call of the system; `check` judges each.
  // Returns the number of faults.
  static int64_t sweep(int number, const std::function<Status()>& call,
                       const std::function<void(const Status&)>& check) {
    for (int64_t point = 0;; ++point) {
      calls_left = point;
      error_number = number;
      calls_failed = 0;
      const Status status = call();
      calls_left = -1;
      if (calls_failed == 0) {
        EXPECT_TRUE(status.ok());
        return point;
      }
      check(status);
    }
  }

  size_t files_in_folder() const {
    const auto entries = std::filesystem::directory_iterator(folder_);
    return static_cast<size_t>(std::distance(begin(entries), end(entries)));
  }

  const std::shared_ptr<const Files> files_ = disk_files();
  std::string folder_;
};

TEST_F(SystemFaults, ACallThatFailsAnywhereLeavesNothingOutInSilence) {
  const std::string path = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/models/llama-smol";
  for (const int number : {EIO, EACCES, EMFILE, ENFILE, ENOMEM, EOVERFLOW, ESTALE, EINVAL}) {
    int64_t errors = 0;
    const int64_t faults = sweep(
        number,
        [&]() -> Status {
          PHIAL_ASSIGN(const Checkpoint checkpoint, read_checkpoint(*files_, path));
          if (checkpoint.tokenizer_json.empty() || checkpoint.generation_config.is_null()) {
            return internal_error(path, "a file was left out in silence");
          }
          return {};
        },
        [&](const Status& status) {
          // A stat that fails once is asked again by the open that follows.
          if (status.ok()) return;
          ++errors;
          const ErrorCode code = status.error().code;
          EXPECT_TRUE(code == ErrorCode::io_error || code == ErrorCode::not_found ||
                      code == ErrorCode::out_of_memory)
              << failed_call << ": " << status.error().to_string();
        });
    EXPECT_GT(faults, 10);
    std::printf("    read, %s: %ld calls failed, %ld errors\n", strerrorname_np(number),
                static_cast<long>(faults), static_cast<long>(errors));
  }
}

TEST_F(SystemFaults, InterruptedCallsAreRepeated) {
  const std::string path = folder_ + "/out";
  int64_t failed_for_good = 0;
  const int64_t faults = sweep(
      EINTR,
      [&]() -> Status {
        PHIAL_ASSIGN(const auto writer, files_->create(path));
        PHIAL_TRY(writer->append(std::vector<uint8_t>(100, 1)));
        return writer->commit();
      },
      [&](const Status& status) {
        // stat, rename and the like are never interrupted.
        const std::string_view call = failed_call;
        if (call == "write" || call == "fsync" || call == "open") {
          EXPECT_TRUE(status.ok()) << failed_call;
        } else {
          failed_for_good += !status.ok();
        }
      });
  std::printf("    write, EINTR: %ld calls interrupted, %ld errors\n", static_cast<long>(faults),
              static_cast<long>(failed_for_good));
}

TEST_F(SystemFaults, EveryCallOfAWriteThatFailsLeavesTheOldFile) {
  const std::string path = folder_ + "/out";
  const auto write = [&](uint8_t value) -> Status {
    PHIAL_ASSIGN(const auto writer, files_->create(path));
    for (int i = 0; i < 3; ++i) PHIAL_TRY(writer->append(std::vector<uint8_t>(1000, value)));
    return writer->commit();
  };
  for (const int number : {EIO, ENOSPC, EDQUOT, EROFS, EFBIG}) {
    int64_t errors = 0;
    ASSERT_TRUE(write(1).ok());
    const int64_t faults = sweep(
        number, [&] { return write(2); },
        [&](const Status& status) {
          errors += !status.ok();
          EXPECT_EQ(files_in_folder(), 1u) << failed_call << " leaves a part";
          const auto mapped = files_->map(path);
          ASSERT_TRUE(mapped.ok());
          const auto bytes = (*mapped)->bytes();
          ASSERT_TRUE(bytes.size() == 3000 && bytes.front() == bytes.back());
          if (bytes.front() == 2) {
            ASSERT_TRUE(write(1).ok());
          }
        });
    EXPECT_GT(faults, 6);
    std::printf("    write, %s: %ld calls failed, %ld errors, the file always whole\n",
                strerrorname_np(number), static_cast<long>(faults), static_cast<long>(errors));
    ASSERT_TRUE(write(1).ok());
  }
}

}  // namespace
}  // namespace phial

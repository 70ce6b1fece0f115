#include "sys/memory.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

namespace phial {
namespace {

namespace fs = std::filesystem;

// A tree with the files of proc/ and sys/ that count.
class FakeMachine : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "phial-memory-XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    root_ = pattern + "/";
    write("proc/meminfo", "MemTotal:       16000 kB\nMemFree:  100 kB\nMemAvailable:   9000 kB\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(root_ + name).parent_path());
    std::ofstream(root_ + name) << text;
  }
  void expect_kilobytes(uint64_t total, uint64_t available) const {
    const MemoryInfo info = machine_memory_under(root_);
    EXPECT_EQ(info.total, total * 1024);
    EXPECT_EQ(info.available, available * 1024);
  }

  std::string root_;
};

TEST_F(FakeMachine, WithoutGroups) { expect_kilobytes(16000, 9000); }

TEST_F(FakeMachine, WithoutAnything) {
  fs::remove_all(root_ + "proc");
  expect_kilobytes(0, 0);
}

TEST_F(FakeMachine, Version2GroupNarrows) {
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/b/memory.max", "4096000\n");
  write("sys/fs/cgroup/a/b/memory.current", "2048000\n");
  write("sys/fs/cgroup/a/b/memory.stat",
        "anon 1\nfile 9\ninactive_file 512000\nactive_file 512000\n");
  expect_kilobytes(4000, 3000);
}

TEST_F(FakeMachine, AParentsLimitCounts) {
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  write("sys/fs/cgroup/a/memory.max", "2048000\n");
  write("sys/fs/cgroup/a/memory.current", "4096000\n");
  expect_kilobytes(2000, 0);
}

TEST_F(FakeMachine, TheRootOfANamespaceCounts) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "1024000\n");
  write("sys/fs/cgroup/memory.current", "0\n");
  expect_kilobytes(1000, 1000);
}

TEST_F(FakeMachine, Version1GroupNarrows) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "3072000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1024000\n");
  expect_kilobytes(3000, 2000);
}

TEST_F(FakeMachine, AnAbsurdlyLargeLimitIsNone) {
  write("proc/self/cgroup", "4:memory:/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  expect_kilobytes(16000, 9000);
}

TEST(Memory, ThisMachine) {
  const MemoryInfo info = machine_memory();
  EXPECT_GT(info.total, uint64_t{64} << 20);
  EXPECT_GT(info.available, 0u);
  EXPECT_LE(info.available, info.total);
}

TEST(Memory, ResidentFiguresFollowUse) {
  constexpr size_t kBytes = 64 << 20;
  const uint64_t before = anonymous_bytes();
  ASSERT_GT(before, 0u);
  {
    // volatile: the pages must really be written.
    const std::vector<char> block(kBytes, 1);
    const volatile char* data = block.data();
    EXPECT_EQ(data[kBytes - 1], 1);
    EXPECT_GE(anonymous_bytes(), before + kBytes / 2);
  }
  EXPECT_GE(peak_resident_bytes(), before + kBytes / 2);
}

}  // namespace
}  // namespace phial

#include "sys/cpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace phial {
namespace {

using Cores = std::vector<std::vector<int>>;

// A folder like /sys/devices/system/cpu, removed at the end.
class FakeSysfs {
 public:
  explicit FakeSysfs(const std::string& name)
      : root_(std::filesystem::path(testing::TempDir()) / ("phial_cpu_test_" + name)) {
    std::filesystem::remove_all(root_);
  }
  ~FakeSysfs() { std::filesystem::remove_all(root_); }

  void add(int cpu, const std::string& package, const std::string& core) const {
    const auto folder = root_ / ("cpu" + std::to_string(cpu)) / "topology";
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "physical_package_id") << package << "\n";
    std::ofstream(folder / "core_id") << core << "\n";
  }
  std::string path() const { return root_.string(); }

 private:
  std::filesystem::path root_;
};

TEST(PhysicalCores, SiblingsCountOnceAndPackagesApart) {
  const FakeSysfs sysfs("siblings");
  // Two packages of two cores with two threads each.
  for (int cpu = 0; cpu < 8; ++cpu) {
    sysfs.add(cpu, std::to_string(cpu / 2 % 2), std::to_string(cpu % 2));
  }
  EXPECT_EQ(physical_cores(sysfs.path(), std::vector{0, 1, 2, 3, 4, 5, 6, 7}),
            (Cores{{0, 4}, {1, 5}, {2, 6}, {3, 7}}));
  EXPECT_EQ(physical_cores(sysfs.path(), std::vector{0, 4}), (Cores{{0, 4}}));
  EXPECT_EQ(physical_cores(sysfs.path(), std::vector{0, 2}), (Cores{{0}, {2}}));
  EXPECT_EQ(physical_cores(sysfs.path(), {}), Cores{});
}

TEST(PhysicalCores, UndescribedProcessorsAreCores) {
  const FakeSysfs sysfs("undescribed");
  sysfs.add(0, "0", "0");
  sysfs.add(1, "0", "not a number");
  EXPECT_EQ(physical_cores(sysfs.path(), std::vector{0, 1, 2}).size(), 3u);
  EXPECT_EQ(physical_cores("/nowhere", std::vector{0, 1}).size(), 2u);
}

TEST(Cpu, CountsArePossible) {
  const CpuInfo info = probe_cpu();
  EXPECT_GE(info.physical_cores, 1);
  EXPECT_GE(info.logical_cores, info.physical_cores);
}

TEST(CoreBinding, BindsAndGivesBack) {
  const CpuInfo before = probe_cpu();
  if (before.cores.empty()) GTEST_SKIP() << "not executed: the system does not tell its processors";
  for (const std::vector<int>& core : before.cores) {
    const CoreBinding binding(core);
    EXPECT_EQ(probe_cpu().cores, Cores{core});
  }
  EXPECT_EQ(probe_cpu().cores, before.cores);
}

TEST(CoreBinding, LeavesAThreadThatSomeoneElseHasBound) {
  const CpuInfo before = probe_cpu();
  if (before.cores.size() < 2) GTEST_SKIP() << "not executed: one core";
  std::thread([&] {  // of its own, because it stays bound
    auto ours = std::make_unique<CoreBinding>(before.cores[0]);
    auto other = std::make_unique<CoreBinding>(before.cores[1]);
    ours.reset();
    EXPECT_EQ(probe_cpu().cores, Cores{before.cores[1]});
  })
      .join();
}

// The kernel lists a feature when processor and kernel both support it; it must agree.
TEST(Cpu, FeaturesAgreeWithTheKernelsList) {
#if defined(__aarch64__)
  const std::string key = "Features";
#else
  const std::string key = "flags";
#endif
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && !line.starts_with(key)) {
  }
  if (!file) GTEST_SKIP() << "not executed: no " << key << " in /proc/cpuinfo";
  std::istringstream words(line);
  std::vector<std::string> flags;
  for (std::string word; words >> word;) flags.push_back(word);
  const auto has = [&](std::initializer_list<const char*> names) {
    return std::all_of(names.begin(), names.end(), [&](const char* name) {
      return std::find(flags.begin(), flags.end(), name) != flags.end();
    });
  };
  const CpuInfo info = probe_cpu();
  EXPECT_EQ(info.avx2, has({"avx2", "fma", "f16c"}));
  EXPECT_EQ(info.avx512,
            has({"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl"}));
  EXPECT_EQ(info.avx512_vnni, info.avx512 && has({"avx512_vnni"}));
  EXPECT_EQ(info.avx512_bf16, info.avx512 && has({"avx512_bf16"}));
  EXPECT_EQ(info.avx_vnni, info.avx2 && has({"avx_vnni"}));
  EXPECT_EQ(info.dotprod, has({"asimddp"}));
  EXPECT_EQ(info.i8mm, has({"i8mm"}));
}

}  // namespace
}  // namespace phial

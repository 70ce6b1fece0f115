#include "eval/probes.h"

#include <gtest/gtest.h>

#include <string>

namespace phial {
namespace {

TEST(MachineProbes, EveryInstructionSetHasThemAndReportsMedians) {
  for (const KernelTable* table : kernel_tables()) {
    if (!is_supported(*table)) continue;
    const auto runtime = Runtime::create(2, table->isa, disk_files());
    ASSERT_TRUE(runtime.ok());
    const auto probes = MachineProbes::create(*runtime);
    ASSERT_TRUE(probes.ok());
    for (const Probe probe : {Probe::dram, Probe::int8, Probe::int8_wide, Probe::fma}) {
      EXPECT_TRUE((*probes)->has(probe));
    }
    const double dram = (*probes)->take(Probe::dram);
    EXPECT_GT(dram, 0);
    const Json report = (*probes)->report();
    EXPECT_DOUBLE_EQ(*report.find("dram_gbps")->if_real(), dram * 1e-9) << table->isa;
    for (const char* name : {"int8_gops", "int8_wide_gops", "fma_gflops"}) {
      EXPECT_GT(*report.find(name)->if_real(), 0) << table->isa << " " << name;
    }
    for (const char* name : {"int8_method", "int8_wide_method", "fma_method"}) {
      EXPECT_NE(report.find(name)->if_string(), nullptr) << table->isa << " " << name;
    }
    EXPECT_EQ((*probes)->has(Probe::bf16), report.find("bf16_gflops") != nullptr);
  }
}

TEST(Quantiles, Interpolated) {
  EXPECT_DOUBLE_EQ(median_of({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(median_of({4, 1, 3, 2}), 2.5);
  EXPECT_DOUBLE_EQ(median_of({7}), 7);
  EXPECT_DOUBLE_EQ(quantile_of({10, 20, 30}, 0.25), 15);
  EXPECT_DOUBLE_EQ(quantile_of({10, 20, 30}, 0), 10);
  EXPECT_DOUBLE_EQ(quantile_of({10, 20, 30}, 1), 30);
}

}  // namespace
}  // namespace phial

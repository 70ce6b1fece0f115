#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/test_support.h"
#include "sys/cpu.h"

namespace phial {
namespace {

TEST(SelectKernels, ReferenceIsFirstAndAlwaysThere) {
  ASSERT_FALSE(kernel_tables().empty());
  EXPECT_STREQ(kernel_tables().front()->isa, "reference");
  EXPECT_TRUE(is_supported(*kernel_tables().front()));
}

TEST(SelectKernels, EmptyNameGivesTheBestSupported) {
  const auto best = select_kernels("");
  ASSERT_TRUE(best.ok());
  bool seen = false;
  for (const KernelTable* table : kernel_tables()) {
    EXPECT_FALSE(seen && is_supported(*table)) << table->isa << " is better";
    seen = seen || table == *best;
  }
  EXPECT_TRUE(seen);
  // Where a processor is emulated, what it should have is known.
  if (const char* known = std::getenv("PHIAL_TEST_BEST_ISA")) {
    EXPECT_STREQ((*best)->isa, known);
  }
}

TEST(SelectKernels, EachNameGivesItsTableOrSaysItIsUnavailable) {
  for (const KernelTable* table : kernel_tables()) {
    const auto selected = select_kernels(table->isa);
    if (is_supported(*table)) {
      ASSERT_TRUE(selected.ok());
      EXPECT_EQ(*selected, table);
    } else {
      ASSERT_FALSE(selected.ok());
      EXPECT_EQ(selected.error().code, ErrorCode::unavailable);
    }
  }
}

TEST(SelectKernels, NamesOfOtherProcessorsAreKnownButUnavailable) {
  for (const char* name : {"avx2", "avxvnni", "avx512", "neon", "dotprod", "i8mm"}) {
    bool here = false;
    for (const KernelTable* table : kernel_tables()) here = here || table->isa == std::string(name);
    const auto selected = select_kernels(name);
    if (here) continue;
    ASSERT_FALSE(selected.ok()) << name;
    EXPECT_EQ(selected.error().code, ErrorCode::unavailable) << name;
  }
}

TEST(SelectKernels, UnknownNamesAreUsageErrorsThatListTheKnown) {
  for (const char* name : {"sse", "AVX2", "emulated512", "avx512 "}) {
    const auto selected = select_kernels(name);
    ASSERT_FALSE(selected.ok()) << name;
    EXPECT_EQ(selected.error().code, ErrorCode::usage);
    for (const KernelTable* table : kernel_tables()) {
      EXPECT_NE(selected.error().to_string().find(table->isa), std::string::npos);
    }
  }
}

TEST(SelectKernels, SupportFollowsTheProcessor) {
  const CpuInfo cpu = probe_cpu();
  for (const KernelTable* table : kernel_tables()) {
    const std::string isa = table->isa;
    const bool expected = isa == "avx512"    ? cpu.avx512
                          : isa == "avxvnni" ? cpu.avx2 && cpu.avx_vnni
                          : isa == "avx2"    ? cpu.avx2
                          : isa == "i8mm"    ? cpu.dotprod && cpu.i8mm
                          : isa == "dotprod" ? cpu.dotprod
                                             : true;
    EXPECT_EQ(is_supported(*table), expected) << isa;
  }
}

TEST(KernelTables, AreComplete) {
  for (const KernelTable* table : tested_tables()) {
    for (int grid = 0; grid < kGridCount; ++grid) {
      EXPECT_NE(table->gemv[grid], nullptr) << table->isa;
      EXPECT_NE(table->unpack[grid], nullptr) << table->isa;
    }
    EXPECT_TRUE(table->gemv_affine && table->unpack_affine);
    EXPECT_TRUE(table->gemm && table->rms_norm && table->layer_norm && table->add &&
                table->silu_mul && table->gelu_tanh && table->rope && table->softmax_block &&
                table->scale)
        << table->isa;
  }
}

}  // namespace
}  // namespace phial

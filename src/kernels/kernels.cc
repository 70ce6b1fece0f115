#include "kernels/kernels.h"

#include <string>

#include "kernels/tables.h"
#include "sys/cpu.h"

namespace phial {
namespace {

// Best last.
constexpr const KernelTable* kTables[] = {
    &kReferenceKernels,
#if defined(__x86_64__)
    &kAvx2Kernels,
    &kAvxVnniKernels,
    &kAvx512Kernels,
#elif defined(__aarch64__)
    &kNeonKernels,
    &kDotprodKernels,
    &kI8mmKernels,
#endif
};

// Of other builds.
constexpr const char* kForeign[] = {
#if !defined(__x86_64__)
    "avx2", "avxvnni", "avx512",
#endif
#if !defined(__aarch64__)
    "neon", "dotprod", "i8mm",
#endif
};

}  // namespace

std::span<const KernelTable* const> kernel_tables() { return kTables; }

const AttentionKernels& attention_kernels(const KernelTable& table) {
#if defined(__x86_64__)
  if (&table == &kAvx512Kernels && probe_cpu().avx512_vnni) return kAvx512VnniAttention;
#endif
  return *table.attention;
}

bool is_supported(const KernelTable& table) {
#if defined(__x86_64__)
  const CpuInfo cpu = probe_cpu();
  if (&table == &kAvx512Kernels) return cpu.avx512;
  if (&table == &kAvxVnniKernels) return cpu.avx2 && cpu.avx_vnni;
  if (&table == &kAvx2Kernels || &table == &kEmulated512Kernels) return cpu.avx2;
#elif defined(__aarch64__)
  const CpuInfo cpu = probe_cpu();
  if (&table == &kI8mmKernels) return cpu.dotprod && cpu.i8mm;
  if (&table == &kDotprodKernels) return cpu.dotprod;
  // Part of every AArch64 processor.
  if (&table == &kNeonKernels) return true;
#endif
  return &table == &kReferenceKernels;
}

Result<const KernelTable*> select_kernels(std::string_view isa) {
  std::string known;
  const KernelTable* best = nullptr;
  for (const KernelTable* table : kernel_tables()) {
    if (isa == table->isa) {
      if (is_supported(*table)) return table;
      return unavailable("isa", std::string("this processor does not have ") + table->isa,
                         "leave it out to use the best it has");
    }
    if (isa.empty() && is_supported(*table)) best = table;
    known += known.empty() ? "" : ", ";
    known += table->isa;
  }
  if (best != nullptr) return best;
  for (const char* name : kForeign) {
    if (isa == name) {
      return unavailable("isa", std::string(name) + " is for another kind of processor",
                         "expected one of " + known);
    }
  }
  return usage_error("isa", "expected one of " + known + ", got '" + std::string(isa) + "'");
}

}  // namespace phial

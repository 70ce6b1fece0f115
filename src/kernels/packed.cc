#include "kernels/packed.h"

#include "base/checked.h"
#include "kernels/packed_tables.h"
#include "kernels/tables.h"
#include "sys/cpu.h"

namespace phial {
namespace {

constexpr const PackedKernels* kTables[] = {
    &kReferencePacked,
#if defined(__x86_64__)
    &kAvx2Packed,
    &kAvxVnniPacked,
    &kAvx512VnniPacked,
#endif
};

constexpr int64_t kAlign = 64;
constexpr int64_t aligned(int64_t bytes) { return ceil_div(bytes, kAlign) * kAlign; }

struct Sizes {
  int64_t codes, sums, groups;  // bytes; the last of each of group_sums and scales
};
Sizes sizes_of(const QuantizedRows& shape) {
  const int64_t slabs = ceil_div<int64_t>(shape.columns, kSlabColumns);
  const int64_t rows = shape.rows;
  return {aligned(rows * slabs * kSlabColumns), aligned(rows * slabs * (kSlabColumns / 16) * 4),
          aligned(rows * slabs * (kSlabColumns / shape.group) * 4)};
}

}  // namespace

int64_t quantized_bytes(const QuantizedRows& shape) {
  const Sizes sizes = sizes_of(shape);
  return sizes.codes + sizes.sums + 2 * sizes.groups;
}

QuantizedRows place_quantized(const QuantizedRows& shape, void* memory) {
  const Sizes sizes = sizes_of(shape);
  auto* bytes = static_cast<uint8_t*>(memory);
  QuantizedRows placed = shape;
  placed.codes = reinterpret_cast<int8_t*>(bytes);
  placed.sums = reinterpret_cast<int32_t*>(bytes + sizes.codes);
  placed.group_sums = reinterpret_cast<int32_t*>(bytes + sizes.codes + sizes.sums);
  placed.scales = reinterpret_cast<float*>(bytes + sizes.codes + sizes.sums + sizes.groups);
  return placed;
}

// Float32 results of one panel, and what a slab of its weights becomes: its codes, five tables of
// floats or words of its groups, and sums in flight.
int64_t gemm_scratch_bytes(int32_t rows) {
  constexpr int64_t kCodes = int64_t{kSlabColumns} * kPackedRows;
  constexpr int64_t kScaleTables = 5 * int64_t{kSlabColumns / 16} * kPackedRows * 4;
  constexpr int64_t kSums = 2048;
  return int64_t{rows} * kPackedRows * 4 + kCodes + kScaleTables + kSums;
}

std::span<const PackedKernels* const> packed_tables() { return kTables; }

bool is_supported(const PackedKernels& kernels) {
#if defined(__x86_64__)
  const CpuInfo cpu = probe_cpu();
  if (&kernels == &kAvx512VnniPacked) return cpu.avx512_vnni;
  if (&kernels == &kAvxVnniPacked) return cpu.avx2 && cpu.avx_vnni;
  if (&kernels == &kAvx2Packed) return cpu.avx2;
#endif
  return &kernels == &kReferencePacked;
}

const PackedKernels& packed_kernels([[maybe_unused]] const KernelTable& table) {
#if defined(__x86_64__)
  if (&table == &kAvx512Kernels && is_supported(kAvx512VnniPacked)) return kAvx512VnniPacked;
  if (&table == &kAvxVnniKernels) return kAvxVnniPacked;
  if (&table == &kAvx512Kernels || &table == &kAvx2Kernels) return kAvx2Packed;
#endif
  return kReferencePacked;
}

}  // namespace phial

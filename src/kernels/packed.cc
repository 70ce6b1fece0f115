#include "kernels/packed.h"

#include <bit>

#include "base/checked.h"
#include "kernels/packed_layout.h"
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
#elif defined(__aarch64__)
    &kNeonPacked,
    &kDotprodPacked,
    &kI8mmPacked,
#endif
};

constexpr int64_t kAlign = 64;
constexpr int64_t aligned(int64_t bytes) { return ceil_div(bytes, kAlign) * kAlign; }

struct Sizes {
  // Bytes.
  int64_t codes, sums, chunk_sums, scales, high, high_rows, high_list, high_counts;
};
Sizes sizes_of(const QuantizedRows& shape) {
  const int64_t slabs = ceil_div<int64_t>(shape.columns, kSlabColumns);
  const int64_t rows = shape.rows, chunks = rows * slabs * kSlabChunks;
  return {aligned(chunks * kChunkColumns),
          aligned(chunks * 2 * 4),
          aligned(chunks * 4),
          aligned(rows * slabs * 4),
          chunks * static_cast<int64_t>(sizeof(HighChunk)),
          aligned(slabs * kSlabChunks * ceil_div(shape.rows, shape.tile.rows)),
          chunks * static_cast<int64_t>(sizeof(HighChunk)),
          aligned(slabs * kSlabChunks * 4)};
}

}  // namespace

int64_t quantized_bytes(const QuantizedRows& shape) {
  const Sizes sizes = sizes_of(shape);
  return sizes.codes + sizes.sums + sizes.chunk_sums + sizes.scales + sizes.high + sizes.high_rows +
         sizes.high_list + sizes.high_counts;
}

QuantizedRows place_quantized(const QuantizedRows& shape, void* memory) {
  const Sizes sizes = sizes_of(shape);
  auto* bytes = static_cast<uint8_t*>(memory);
  const auto take = [&bytes](int64_t size) {
    uint8_t* at = bytes;
    bytes += size;
    return at;
  };
  QuantizedRows placed = shape;
  placed.codes = reinterpret_cast<int8_t*>(take(sizes.codes));
  placed.sums = reinterpret_cast<int32_t*>(take(sizes.sums));
  placed.chunk_sums = reinterpret_cast<int32_t*>(take(sizes.chunk_sums));
  placed.scales = reinterpret_cast<float*>(take(sizes.scales));
  placed.high = reinterpret_cast<HighChunk*>(take(sizes.high));
  placed.high_rows = take(sizes.high_rows);
  placed.high_list = reinterpret_cast<HighChunk*>(take(sizes.high_list));
  placed.high_counts = reinterpret_cast<int32_t*>(take(sizes.high_counts));
  return placed;
}

void list_high(const QuantizedRows& x, int64_t slab_begin, int64_t slab_end) {
  const Tiling tiling(x);
  for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
    HighChunk* next = x.high_list + slab * kSlabChunks * x.rows;
    const int64_t chunks = quantized_columns(x, slab) / kChunkColumns;
    for (int64_t c = 0; c < chunks; ++c) {
      const HighChunk* const begin = next;
      for (int32_t t = 0; t < tiling.tiles; ++t) {
        const SlabTile tile = slab_tile(x, tiling, slab, t);
        for (unsigned rows = tile.high_rows[c]; rows != 0; rows &= rows - 1) {
          const int m = std::countr_zero(rows);
          *next = tile.high[m * chunks + c];
          next++->row = tiling.begin(t) + m;
        }
      }
      x.high_counts[slab * kSlabChunks + c] = static_cast<int32_t>(next - begin);
    }
  }
}

int64_t gemm_scratch_bytes(int32_t rows) {
  return int64_t{rows} * kPackedRows * 4 + kGemmScratchBytes;
}

std::span<const PackedKernels* const> packed_tables() { return kTables; }

bool is_supported(const PackedKernels& kernels) {
#if defined(__x86_64__)
  const CpuInfo cpu = probe_cpu();
  if (&kernels == &kAvx512VnniPacked) return cpu.avx512_vnni;
  if (&kernels == &kAvxVnniPacked) return cpu.avx2 && cpu.avx_vnni;
  if (&kernels == &kAvx2Packed) return cpu.avx2;
#elif defined(__aarch64__)
  const CpuInfo cpu = probe_cpu();
  if (&kernels == &kI8mmPacked) return cpu.dotprod && cpu.i8mm;
  if (&kernels == &kDotprodPacked) return cpu.dotprod;
  if (&kernels == &kNeonPacked) return true;
#endif
  return &kernels == &kReferencePacked;
}

const PackedKernels& packed_kernels([[maybe_unused]] const KernelTable& table) {
#if defined(__x86_64__)
  if (&table == &kAvx512Kernels && is_supported(kAvx512VnniPacked)) return kAvx512VnniPacked;
  if (&table == &kAvxVnniKernels) return kAvxVnniPacked;
  if (&table == &kAvx512Kernels || &table == &kAvx2Kernels) return kAvx2Packed;
#elif defined(__aarch64__)
  if (&table == &kI8mmKernels) return kI8mmPacked;
  if (&table == &kDotprodKernels) return kDotprodPacked;
  if (&table == &kNeonKernels) return kNeonPacked;
#endif
  return kReferencePacked;
}

}  // namespace phial

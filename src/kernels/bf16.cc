#include "kernels/bf16.h"

#include <cmath>

#include "kernels/bf16_tables.h"
#include "kernels/tables.h"
#include "sys/cpu.h"

namespace phial {
namespace {

constexpr const Bf16Kernels* kTables[] = {
    &kReferenceBf16,
#if defined(__x86_64__)
    &kAvx512Bf16,
#endif
};

uint32_t pair_of(float low, float high) {
  return f32_to_bf16(low) | static_cast<uint32_t>(f32_to_bf16(high)) << 16;
}
float low_of(uint32_t pair) { return bf16_to_f32(static_cast<uint16_t>(pair)); }
float high_of(uint32_t pair) { return bf16_to_f32(static_cast<uint16_t>(pair >> 16)); }

void round_plain(int64_t n, const float* x, uint32_t* pairs) {
  for (int64_t i = 0; i < n; i += 2) pairs[i / 2] = pair_of(x[i], i + 1 < n ? x[i + 1] : 0.0f);
}

void round_panel_plain(int64_t k, const float* panel, uint32_t* pairs) {
  for (int64_t c = 0; c < k; c += 2) {
    for (int64_t r = 0; r < kPanelRows; ++r) {
      const float* at = panel + c * kPanelRows + r;
      pairs[c / 2 * kPanelRows + r] = pair_of(at[0], c + 1 < k ? at[kPanelRows] : 0.0f);
    }
  }
}

void gemm_plain(int64_t m, int64_t n, int64_t k, const uint32_t* a, int64_t a_stride,
                const uint32_t* b, int64_t b_stride, float* c, int64_t c_stride, bool accumulate) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float sum = accumulate ? c[i * c_stride + j] : 0.0f;
      for (int64_t p = 0; p < k; ++p) {
        const uint32_t x = a[i * a_stride + p], w = b[p * b_stride + j];
        sum = std::fma(low_of(x), low_of(w), sum);
        sum = std::fma(high_of(x), high_of(w), sum);
      }
      c[i * c_stride + j] = sum;
    }
  }
}

}  // namespace

constexpr Bf16Kernels kReferenceBf16 = {"reference", round_plain, round_panel_plain, gemm_plain};

std::span<const Bf16Kernels* const> bf16_tables() { return kTables; }

bool is_supported(const Bf16Kernels& kernels) {
#if defined(__x86_64__)
  const CpuInfo cpu = probe_cpu();
  if (&kernels == &kAvx512Bf16) return cpu.avx512_bf16;
  if (&kernels == &kEmulatedBf16) return cpu.avx2;
#endif
  return &kernels == &kReferenceBf16;
}

const Bf16Kernels* bf16_kernels([[maybe_unused]] const KernelTable& table) {
#if defined(__x86_64__)
  if (&table == &kAvx512Kernels && is_supported(kAvx512Bf16)) return &kAvx512Bf16;
#endif
  return nullptr;
}

}  // namespace phial

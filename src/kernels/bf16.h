// Products of bfloat16 with sums in float32, for passes over many rows, on processors that have an
// instruction for them. Others gain nothing by rounding: they take the float32 kernels
// (kernels/kernels.h).
//
// A *pair* is two bfloat16 of consecutive columns, the first in the low half of a word. Kernels
// allocate nothing, know no threads and write nothing but what is said.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernels.h"

namespace phial {

struct Bf16Kernels {
  const char* isa;  // "reference", "avx512bf16"

  // pairs[i] = x[2 i], x[2 i + 1] as bfloat16: to nearest, ties to even, infinite beyond the range;
  // NaN stays NaN; what is below 2^-126 may become 0 of its sign. The last one of an odd n has 0 as
  // its second. ceil(n / 2) words are written.
  void (*round)(int64_t n, const float* x, uint32_t* pairs);

  // The same for the columns of a float32 panel: panel is [k, kPanelRows], pairs [ceil(k / 2),
  // kPanelRows], at the same address or apart.
  void (*round_panel)(int64_t k, const float* panel, uint32_t* pairs);

  // c[m][n] (+)= sum over k of a[m][k].low * b[k][n].low + a[m][k].high * b[k][n].high, with k
  // counting pairs. Products are exact, or 0 below 2^-126; each is added in float32, in any order
  // that depends neither on m nor on n, and sums below 2^-126 may become 0. So is the error at most
  //   gamma(2 k + 1) * (|c| + sum of |products|) + (4 k + 1) * 2^-126
  // with gamma(n) = n 2^-24 / (1 - n 2^-24), for inputs that are 0 or at least 2^-126; smaller ones
  // may count as 0.
  void (*gemm)(int64_t m, int64_t n, int64_t k, const uint32_t* a, int64_t a_stride,
               const uint32_t* b, int64_t b_stride, float* c, int64_t c_stride, bool accumulate);
};

// The reference, then what this build has.
std::span<const Bf16Kernels* const> bf16_tables();
bool is_supported(const Bf16Kernels& kernels);

// Those that belong to `table` on this processor; null where it has none.
const Bf16Kernels* bf16_kernels(const KernelTable& table);

}  // namespace phial

#include "kernels/bf16_tables.h"
#include "kernels/isa_unit.h"

#if defined(__GNUC__) && !defined(__clang__)
// gcc 12's own intrinsics make "undefined" registers from themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx512bf16 {
// clang-format off
#include "kernels/vec_avx512.inl"
#include "kernels/vec_bf16_avx512.inl"
#include "kernels/body_gemm.inl"
#include "kernels/body_bf16.inl"
// clang-format on
}  // namespace avx512bf16
}  // namespace

constexpr Bf16Kernels kAvx512Bf16 = avx512bf16::make_bf16("avx512bf16");

}  // namespace phial
#endif

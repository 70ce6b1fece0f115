#include "kernels/isa_unit.h"

#if defined(__GNUC__) && !defined(__clang__)
// gcc 12's own intrinsics make "undefined" registers from themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx512 {
// clang-format off
#include "kernels/vec_avx512.inl"
#include "kernels/bodies.inl"
// clang-format on
}  // namespace avx512
}  // namespace

constexpr KernelTable kAvx512Kernels = avx512::make_table("avx512", &kAvx512Attention);

}  // namespace phial
#endif

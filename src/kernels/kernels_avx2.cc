#include "kernels/isa_unit.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx2 {
// clang-format off
#include "kernels/vec_avx2.inl"
#include "kernels/bodies.inl"
// clang-format on
}  // namespace avx2
}  // namespace

constexpr KernelTable kAvx2Kernels = avx2::make_table("avx2", &kAvx2Attention);
constexpr KernelTable kAvxVnniKernels = avx2::make_table("avxvnni", &kAvx2Attention);

}  // namespace phial
#endif

#include "kernels/attention_unit.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx2 {
// clang-format off
#include "kernels/vec_avx2.inl"
#include "kernels/vec_dots_avx2.inl"
#include "kernels/attention_bodies.inl"
// clang-format on
}  // namespace avx2
}  // namespace

constexpr AttentionKernels kAvx2Attention = avx2::make_attention();

}  // namespace phial
#endif

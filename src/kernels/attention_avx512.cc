#include "kernels/attention_unit.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx512 {
// clang-format off
#include "kernels/vec_avx512.inl"
#include "kernels/vec_dots_avx512.inl"
#include "kernels/attention_bodies.inl"
// clang-format on
}  // namespace avx512
}  // namespace

constexpr AttentionKernels kAvx512Attention = avx512::make_attention();

}  // namespace phial
#endif

#include "kernels/attention_unit.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace emulated512 {
// clang-format off
namespace half {
#include "kernels/vec_avx2.inl"
#include "kernels/vec_dots_avx2.inl"
}  // namespace half
#include "kernels/vec_emulated.inl"
#include "kernels/vec_dots_emulated.inl"
#include "kernels/attention_bodies.inl"
// clang-format on
}  // namespace emulated512
}  // namespace

constexpr AttentionKernels kEmulated512Attention = emulated512::make_attention();

}  // namespace phial
#endif

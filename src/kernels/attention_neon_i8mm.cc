#include "kernels/attention_unit.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace phial {
namespace {
namespace i8mm {
// clang-format off
#include "kernels/vec_neon.inl"
#include "kernels/vec_dots_neon.inl"
#include "kernels/attention_bodies.inl"
// clang-format on
}  // namespace i8mm
}  // namespace

constexpr AttentionKernels kI8mmAttention = i8mm::make_attention();

}  // namespace phial
#endif

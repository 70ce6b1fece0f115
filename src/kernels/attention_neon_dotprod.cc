#include "kernels/attention_unit.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace phial {
namespace {
namespace dotprod {
// clang-format off
#include "kernels/vec_neon.inl"
#include "kernels/vec_dots_neon.inl"
#include "kernels/attention_bodies.inl"
// clang-format on
}  // namespace dotprod
}  // namespace

constexpr AttentionKernels kDotprodAttention = dotprod::make_attention();

}  // namespace phial
#endif

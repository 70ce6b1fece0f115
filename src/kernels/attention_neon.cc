#include "kernels/attention_unit.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace phial {
namespace {
namespace neon {
// clang-format off
#include "kernels/vec_neon.inl"
#include "kernels/vec_dots_neon.inl"
#include "kernels/attention_bodies.inl"
// clang-format on
}  // namespace neon
}  // namespace

constexpr AttentionKernels kNeonAttention = neon::make_attention();

}  // namespace phial
#endif

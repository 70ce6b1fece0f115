#include "kernels/isa_unit.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace phial {
namespace {
namespace neon {
// clang-format off
#include "kernels/vec_neon.inl"
#include "kernels/bodies.inl"
// clang-format on
}  // namespace neon
}  // namespace

constexpr KernelTable kNeonKernels = neon::make_table("neon", &kNeonAttention);
constexpr KernelTable kDotprodKernels = neon::make_table("dotprod", &kDotprodAttention);
constexpr KernelTable kI8mmKernels = neon::make_table("i8mm", &kI8mmAttention);

}  // namespace phial
#endif

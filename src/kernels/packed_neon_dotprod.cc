#include "kernels/isa_unit.h"
#include "kernels/packed_layout.h"
#include "kernels/packed_tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace phial {
namespace {
namespace dotprod {
// clang-format off
#include "kernels/vec_neon.inl"
#include "kernels/vec_packed_neon.inl"
#include "kernels/bodies_packed.inl"
// clang-format on
}  // namespace dotprod
}  // namespace

constexpr PackedKernels kDotprodPacked = dotprod::make_packed("dotprod", direct_floats_neon);

}  // namespace phial
#endif

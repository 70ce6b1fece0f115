#include "kernels/isa_unit.h"
#include "kernels/packed_layout.h"
#include "kernels/packed_tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace phial {
namespace {
namespace i8mm {
// clang-format off
#include "kernels/vec_neon.inl"
#include "kernels/vec_packed_neon.inl"
#include "kernels/bodies_packed.inl"
#include "kernels/body_packed_pairs.inl"
// clang-format on
}  // namespace i8mm
}  // namespace

constexpr PackedKernels kI8mmPacked = i8mm::make_packed<i8mm::ByPairs>("i8mm", direct_floats_neon);

}  // namespace phial
#endif

#include "kernels/isa_unit.h"
#include "kernels/packed_layout.h"
#include "kernels/packed_tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace phial {
namespace {
namespace neon {
// clang-format off
#include "kernels/vec_neon.inl"
#include "kernels/vec_packed_neon.inl"
#include "kernels/bodies_packed.inl"
// clang-format on
}  // namespace neon
}  // namespace

constexpr PackedKernels kNeonPacked = neon::make_packed("neon", direct_floats_neon);

}  // namespace phial
#endif

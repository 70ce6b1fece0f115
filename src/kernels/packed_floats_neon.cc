#include "kernels/isa_unit.h"
#include "kernels/packed_tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace phial {
namespace {
namespace neon {
// clang-format off
#include "kernels/vec_neon.inl"
#include "kernels/vec_packed_neon.inl"
#include "kernels/body_prefetch.inl"
#include "kernels/body_packed_codes.inl"
#include "kernels/body_packed_scales.inl"
#include "kernels/body_packed_panels.inl"
#include "kernels/body_packed_floats.inl"
// clang-format on
}  // namespace neon
}  // namespace

void direct_floats_neon(const PackedFloatArgs& args) { neon::direct_floats(args); }

}  // namespace phial
#endif

#include "kernels/isa_unit.h"
#include "kernels/packed_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx2 {
// clang-format off
#include "kernels/vec_avx2.inl"
#include "kernels/vec_packed_avx2.inl"
#include "kernels/body_prefetch.inl"
#include "kernels/body_packed_codes.inl"
#include "kernels/body_packed_scales.inl"
#include "kernels/body_packed_panels.inl"
#include "kernels/body_packed_floats.inl"
// clang-format on
}  // namespace avx2
}  // namespace

void direct_floats_avx2(const PackedFloatArgs& args) { avx2::direct_floats(args); }

}  // namespace phial
#endif

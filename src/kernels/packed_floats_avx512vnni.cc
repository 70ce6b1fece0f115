#include "kernels/isa_unit.h"
#include "kernels/packed_tables.h"

#if defined(__GNUC__) && !defined(__clang__)
// gcc 12's own intrinsics make "undefined" registers from themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx512vnni {
// clang-format off
#include "kernels/vec_avx512.inl"
#include "kernels/vec_packed_avx512vnni.inl"
#include "kernels/body_prefetch.inl"
#include "kernels/body_packed_codes.inl"
#include "kernels/body_packed_scales.inl"
#include "kernels/body_packed_panels.inl"
#include "kernels/body_packed_floats.inl"
// clang-format on
}  // namespace avx512vnni
}  // namespace

void direct_floats_avx512(const PackedFloatArgs& args) { avx512vnni::direct_floats(args); }

}  // namespace phial
#endif

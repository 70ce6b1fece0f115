#include "kernels/isa_unit.h"
#include "kernels/packed_layout.h"
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
#include "kernels/bodies_packed.inl"
#include "kernels/body_packed_int_scales.inl"
// clang-format on
}  // namespace avx512vnni
}  // namespace

constexpr PackedKernels kAvx512VnniPacked =
    avx512vnni::make_packed("avx512vnni", direct_floats_avx512, avx512vnni::int_scales);

}  // namespace phial
#endif

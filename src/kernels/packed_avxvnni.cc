#include "kernels/isa_unit.h"
#include "kernels/packed_layout.h"
#include "kernels/packed_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avxvnni {
// clang-format off
#include "kernels/vec_avx2.inl"
#include "kernels/vec_packed_avx2.inl"
#include "kernels/bodies_packed.inl"
#include "kernels/body_packed_int_scales.inl"
// clang-format on
}  // namespace avxvnni
}  // namespace

constexpr PackedKernels kAvxVnniPacked =
    avxvnni::make_packed("avxvnni", direct_floats_avx2, avxvnni::int_scales);

}  // namespace phial
#endif

#include "kernels/isa_unit.h"
#include "kernels/packed_layout.h"
#include "kernels/packed_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx2 {
// clang-format off
#include "kernels/vec_avx2.inl"
#include "kernels/vec_packed_avx2.inl"
#include "kernels/bodies_packed.inl"
// clang-format on
}  // namespace avx2
}  // namespace

constexpr PackedKernels kAvx2Packed = avx2::make_packed("avx2", direct_floats_avx2);

}  // namespace phial
#endif

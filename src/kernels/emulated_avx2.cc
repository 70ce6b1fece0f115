#include "kernels/isa_unit.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace emulated512 {
// clang-format off
namespace half {
#include "kernels/vec_avx2.inl"
}  // namespace half
#include "kernels/vec_emulated.inl"
#include "kernels/bodies.inl"
// clang-format on
}  // namespace emulated512
}  // namespace

constexpr KernelTable kEmulated512Kernels =
    emulated512::make_table("emulated512", &kEmulated512Attention);

}  // namespace phial
#endif

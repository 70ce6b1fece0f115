#include "kernels/bf16_tables.h"
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
#include "kernels/vec_bf16_emulated.inl"
#include "kernels/body_gemm.inl"
#include "kernels/body_bf16.inl"
// clang-format on
}  // namespace emulated512
}  // namespace

constexpr Bf16Kernels kEmulatedBf16 = emulated512::make_bf16("emulated512");

}  // namespace phial
#endif

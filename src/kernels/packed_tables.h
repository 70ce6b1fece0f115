// The packed kernels of this build, for packed.cc and the tests.
#pragma once

#include "kernels/packed.h"

namespace phial {

extern const PackedKernels kReferencePacked;

#if defined(__x86_64__)
extern const PackedKernels kAvx2Packed;
extern const PackedKernels kAvxVnniPacked;
extern const PackedKernels kAvx512VnniPacked;

// Their direct_floats, in units of their own: AVX-VNNI has nothing to add to AVX2's.
void direct_floats_avx2(const PackedFloatArgs& args);
void direct_floats_avx512(const PackedFloatArgs& args);
#elif defined(__aarch64__)
extern const PackedKernels kNeonPacked;
extern const PackedKernels kDotprodPacked;
extern const PackedKernels kI8mmPacked;

void direct_floats_neon(const PackedFloatArgs& args);
#endif

}  // namespace phial

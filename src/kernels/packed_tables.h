// The packed kernels of this build, for packed.cc and the tests.
#pragma once

#include "kernels/packed.h"

namespace phial {

extern const PackedKernels kReferencePacked;

#if defined(__x86_64__)
extern const PackedKernels kAvx2Packed;
extern const PackedKernels kAvxVnniPacked;
extern const PackedKernels kAvx512VnniPacked;
#elif defined(__aarch64__)
extern const PackedKernels kNeonPacked;
extern const PackedKernels kDotprodPacked;
extern const PackedKernels kI8mmPacked;
#endif

}  // namespace phial

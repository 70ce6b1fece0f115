// The kernel tables of this build, for kernels.cc and the tests.
#pragma once

#include "kernels/kernels.h"

namespace phial {

extern const KernelTable kReferenceKernels;

#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
// The bodies as AVX-512 runs them, over AVX2: for tests where the processor lacks AVX-512.
extern const KernelTable kEmulated512Kernels;
#elif defined(__aarch64__)
extern const KernelTable kNeonKernels;
#endif

}  // namespace phial

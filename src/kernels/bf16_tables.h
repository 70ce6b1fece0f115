// The bfloat16 kernels of this build, for bf16.cc and the tests.
#pragma once

#include "kernels/bf16.h"

namespace phial {

extern const Bf16Kernels kReferenceBf16;

#if defined(__x86_64__)
extern const Bf16Kernels kAvx512Bf16;
// The same bodies over AVX2: for tests where the processor lacks the instructions.
extern const Bf16Kernels kEmulatedBf16;
#endif

}  // namespace phial

// The kernel tables of this build, for kernels.cc and the tests.
#pragma once

#include "kernels/attention.h"
#include "kernels/kernels.h"

namespace phial {

extern const KernelTable kReferenceKernels;
extern const AttentionKernels kReferenceAttention;

#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
// The same kernels: what differs are packed ones (kernels/packed.h).
extern const KernelTable kAvxVnniKernels;
extern const KernelTable kAvx512Kernels;
// The bodies as AVX-512 runs them, over AVX2: for tests where the processor lacks AVX-512.
extern const KernelTable kEmulated512Kernels;

extern const AttentionKernels kAvx2Attention;
extern const AttentionKernels kAvx512Attention;
extern const AttentionKernels kAvx512VnniAttention;
extern const AttentionKernels kEmulated512Attention;
#elif defined(__aarch64__)
extern const KernelTable kNeonKernels;
// The same kernels: what differs are packed ones (kernels/packed.h) and attention to codes.
extern const KernelTable kDotprodKernels;
extern const KernelTable kI8mmKernels;

extern const AttentionKernels kNeonAttention;
extern const AttentionKernels kDotprodAttention;
extern const AttentionKernels kI8mmAttention;
#endif

}  // namespace phial

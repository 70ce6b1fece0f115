// The probe tables of this build, for probes.cc; each with the instructions that its kernel table
// needs, and the loops that replace one of them where the processor has more.
#pragma once

#include "kernels/probes.h"

namespace phial {

extern const ProbeTable kReferenceProbes;

#if defined(__x86_64__)
extern const ProbeTable kAvx2Probes;
extern const ProbeTable kAvx512Probes;
extern const ArithmeticProbe kAvxVnniProbe;
extern const ArithmeticProbe kAvx512VnniProbe;
extern const ArithmeticProbe kAvx512Bf16Probe;
#elif defined(__aarch64__)
extern const ProbeTable kNeonProbes;
extern const ArithmeticProbe kDotprodProbe;
extern const ArithmeticProbe kI8mmProbe;
#endif

}  // namespace phial

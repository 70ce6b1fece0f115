// The packed kernels of this build, for packed.cc and the tests.
#pragma once

#include "kernels/packed.h"

namespace phial {

extern const PackedKernels kReferencePacked;

}  // namespace phial

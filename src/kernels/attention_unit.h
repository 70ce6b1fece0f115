// What every unit of attention kernels starts with (see isa_unit.h).
#pragma once

#include "kernels/attention.h"
#include "kernels/isa_unit.h"

// The bodies that attention is made of bring others with them.
#pragma GCC diagnostic ignored "-Wunused-function"
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12's own intrinsics make "undefined" registers from themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

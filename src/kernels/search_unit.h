// What every unit of the searches starts with: as isa_unit.h, but for vector types of the compiler
// instead of intrinsics.
#pragma once

#include "kernels/isa_unit.h"
#include "kernels/search.h"

#define PHIAL_INLINE_MEMBER inline __attribute__((always_inline))

// Vectors wider than the unit's registers cross no function that is not inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace phial {

extern const SearchTable kPlainSearch;
extern const SearchTable kAvx2Search;    // x86-64 only
extern const SearchTable kAvx512Search;  // x86-64 only

}  // namespace phial

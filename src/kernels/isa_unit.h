// What every unit built for one instruction set starts with.
//
// Such a unit defines one constant, its table, or one kernel, and nothing else that another unit
// could see: an inline function with external linkage, compiled here with AVX, could be the copy
// that the linker keeps for all. So everything sits in an unnamed namespace, and no standard
// library function is called; decode_row and decode_affine are, which are compiled elsewhere for
// any processor.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/tables.h"
#include "tensor/block_codebook.h"

#define PHIAL_INLINE static inline __attribute__((always_inline))
// A hot loop by itself: registers are given out for it alone, and compilers stay fast.
#define PHIAL_APART static __attribute__((noinline))

// Before a loop over registers: gcc otherwise keeps such arrays in memory. More than the iterations
// of any such loop. Sanitizer builds look for faults, not speed: there the loops stay loops, and a
// unit compiles in seconds instead of minutes.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PHIAL_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PHIAL_SANITIZED
#endif
#if defined(PHIAL_SANITIZED)
#define PHIAL_UNROLL
#elif defined(__clang__)
#define PHIAL_UNROLL _Pragma("unroll")
#else
#define PHIAL_UNROLL _Pragma("GCC unroll 16")
#endif

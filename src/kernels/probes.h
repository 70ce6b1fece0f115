// What a processor can do at most: loops that do one thing and nothing else, per instruction set as
// the kernel tables. Kernels and whole models are measured as shares of them (eval/probes.h).
//
// As kernels, these take plain pointers, allocate nothing and know no threads. A loop returns what
// it did, so that a test can hold it to that.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace phial {

struct ArithmeticProbe {
  const char* name;  // the instructions, "vpdpbusd zmm"
  int64_t products;  // of a step; a product that is added to a sum counts as two operations
  // Makes `steps` steps in registers, on chains of sums that hide the latency. Returns the products
  // made, read off the sums: steps * products. REQUIRES: 0 <= steps < 2^22, so that sums in float32
  // are exact
  uint64_t (*run)(int64_t steps);
};

inline constexpr int64_t kReadProbeGrain = 512;

struct ProbeTable {
  const char* isa;
  // Reads [bytes, bytes + size) once, from the front in four streams, and returns the sum of its
  // 64-bit words. REQUIRES: size is a multiple of kReadProbeGrain
  uint64_t (*read)(const uint8_t* bytes, int64_t size);
  ArithmeticProbe fma;  // float32
  // Bytes, for codes of at most 4 bits: eight products of 15 * 127 or less in 16 bits before they
  // are widened, where no instruction sums in 32.
  ArithmeticProbe int8;
  ArithmeticProbe int8_wide;  // for codes of any width; the same as int8 where 32 bits are summed
  ArithmeticProbe bf16;  // products of bfloat16, sums in float32; `run` null where there is none
};

// The probes with the registers and the instructions that the kernels of `table` may use on this
// processor. REQUIRES: is_supported(table)
ProbeTable probe_table(const KernelTable& table);

}  // namespace phial

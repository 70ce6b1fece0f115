// What the processor can do, read once from cpuid and the operating system.
#pragma once

#include <cstdint>
#include <string>

namespace phial {

struct CpuInfo {
  std::string brand;      // as the processor names itself; empty when it does not
  int logical_cores = 1;  // this process may run on
  int physical_cores = 1;
  bool avx2 = false;    // with FMA and F16C, and the system saves the registers
  bool avx512 = false;  // F, BW, DQ and VL
  bool avx_vnni = false;
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
};

CpuInfo probe_cpu();

}  // namespace phial

// What the processor can do, read once from cpuid and the operating system.
#pragma once

#include <cstdint>
#include <span>
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

// Cores among `cpus` (logical numbers): hyperthread siblings, as the folder `sysfs`
// (normally /sys/devices/system/cpu) lists them, count once. A processor that the folder does not
// describe counts as a core of its own.
int count_physical_cores(const std::string& sysfs, std::span<const int> cpus);

}  // namespace phial

// What the processor can do, read once from cpuid or the operating system.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace phial {

struct CpuInfo {
  std::string brand;      // as the processor names itself; empty when it does not
  int logical_cores = 1;  // this process may run on
  int physical_cores = 1;
  // The logical processors of each physical core; empty when the system does not tell.
  std::vector<std::vector<int>> cores;
  bool avx2 = false;    // with FMA and F16C, and the system saves the registers
  bool avx512 = false;  // F, BW, DQ and VL
  bool avx_vnni = false;
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool dotprod = false;  // FEAT_DotProd of AArch64
  bool i8mm = false;     // FEAT_I8MM
};

CpuInfo probe_cpu();

// `cpus` (logical numbers) by physical core, in order of each core's first: hyperthread siblings,
// as the folder `sysfs` (normally /sys/devices/system/cpu) lists them, are one core. A processor
// that the folder does not describe is a core of its own.
std::vector<std::vector<int>> physical_cores(const std::string& sysfs, std::span<const int> cpus);

// Binds a thread to one core, and gives it back what it was bound to before.
class CoreBinding {
 public:
  // The calling thread, to the logical processors `core`; no effect when the system refuses, and on
  // systems of more than 1024 processors.
  explicit CoreBinding(std::span<const int> core);
  // On the same thread. Does nothing when someone else has bound the thread meanwhile.
  ~CoreBinding();
  CoreBinding(const CoreBinding&) = delete;
  CoreBinding& operator=(const CoreBinding&) = delete;

 private:
  // A bit for each of the first 1024 processors, as the system wants them. Fixed, so that binding
  // takes no memory: it happens with every job of a pool.
  using Mask = std::array<unsigned long, 1024 / (8 * sizeof(unsigned long))>;
  static bool allowed(Mask& mask);

  Mask before_ = {}, ours_ = {};
  bool bound_ = false;
};

}  // namespace phial

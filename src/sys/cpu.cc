#include "sys/cpu.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace phial {
namespace {

constexpr bool bit(uint64_t word, int index) { return (word >> index & 1u) != 0; }

#if defined(__x86_64__)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);  // stays 0 above the last leaf
  return r;
}

// Which register states the operating system saves (XCR0). REQUIRES: cpuid says OSXSAVE.
uint64_t saved_states() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

std::string brand() {
  if (cpuid(0x80000000u, 0).eax < 0x80000004u) return {};
  char text[48];
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002u + i, 0);
    std::memcpy(text + 16 * i, &r, 16);
  }
  std::string name(text, strnlen(text, sizeof(text)));
  const size_t first = name.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return name.substr(first, name.find_last_not_of(' ') - first + 1);
}

// Bits as in Intel's Software Developer's Manual, volume 2, CPUID.
void read_features(CpuInfo& info) {
  info.brand = brand();
  const Registers leaf1 = cpuid(1, 0);
  if (!bit(leaf1.ecx, 27)) return;  // OSXSAVE
  const uint64_t states = saved_states();
  const bool ymm = (states & 0x06) == 0x06;  // xmm, ymm
  const bool zmm = (states & 0xe6) == 0xe6;  // and opmask, zmm0-15 high, zmm16-31
  const Registers leaf7 = cpuid(7, 0);
  const Registers leaf7_1 = cpuid(7, 1);
  const bool fma = bit(leaf1.ecx, 12);
  const bool f16c = bit(leaf1.ecx, 29);
  info.avx2 = ymm && fma && f16c && bit(leaf7.ebx, 5);
  info.avx512 = info.avx2 && zmm && bit(leaf7.ebx, 16) && bit(leaf7.ebx, 17) &&
                bit(leaf7.ebx, 30) && bit(leaf7.ebx, 31);
  info.avx_vnni = info.avx2 && bit(leaf7_1.eax, 4);
  info.avx512_vnni = info.avx512 && bit(leaf7.ecx, 11);
  info.avx512_bf16 = info.avx512 && bit(leaf7_1.eax, 5);
}

#elif defined(__aarch64__)

// Bits as in Linux' arch/arm64/include/uapi/asm/hwcap.h: HWCAP_ASIMDDP, HWCAP2_I8MM.
void read_features(CpuInfo& info) {
  info.dotprod = bit(getauxval(AT_HWCAP), 20);
  info.i8mm = bit(getauxval(AT_HWCAP2), 13);
}

#else

void read_features(CpuInfo&) {}

#endif

// The kernel refuses a mask smaller than its own.
constexpr int kMostCpus = 1 << 16;
constexpr int kMaskBits = 8 * sizeof(unsigned long);

cpu_set_t* as_set(std::vector<unsigned long>& mask) {
  return reinterpret_cast<cpu_set_t*>(mask.data());  // glibc's dynamic masks are such words
}

// What the calling thread may run on; empty when the system does not tell.
std::vector<unsigned long> allowed_mask() {
  for (int bits = 1024; bits <= kMostCpus; bits *= 2) {
    std::vector<unsigned long> mask(static_cast<size_t>(bits / kMaskBits));
    if (sched_getaffinity(0, mask.size() * sizeof(mask[0]), as_set(mask)) == 0) return mask;
    if (errno != EINVAL) break;
  }
  return {};
}

std::vector<int> cpus_of(std::vector<unsigned long> mask) {
  std::vector<int> cpus;
  const size_t bytes = mask.size() * sizeof(mask[0]);
  for (int cpu = 0; cpu < static_cast<int>(8 * bytes); ++cpu) {
    if (CPU_ISSET_S(cpu, bytes, as_set(mask))) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace

std::vector<std::vector<int>> physical_cores(const std::string& sysfs, std::span<const int> cpus) {
  std::vector<std::vector<int>> cores;
  std::map<std::pair<int, int>, size_t> place;  // (package, core) in cores
  for (const int cpu : cpus) {
    const std::string folder = sysfs + "/cpu" + std::to_string(cpu) + "/topology/";
    int package = 0;
    int core = 0;
    size_t at = cores.size();
    if ((std::ifstream(folder + "physical_package_id") >> package) &&
        (std::ifstream(folder + "core_id") >> core)) {
      at = place.emplace(std::pair(package, core), at).first->second;
    }
    if (at == cores.size()) cores.emplace_back();
    cores[at].push_back(cpu);
  }
  return cores;
}

bool CoreBinding::allowed(Mask& mask) {
  return sched_getaffinity(0, sizeof(mask), reinterpret_cast<cpu_set_t*>(mask.data())) == 0;
}

CoreBinding::CoreBinding(std::span<const int> core) {
  if (!allowed(before_)) return;
  auto* set = reinterpret_cast<cpu_set_t*>(ours_.data());
  for (const int cpu : core) {
    if (static_cast<size_t>(cpu) < 8 * sizeof(ours_)) CPU_SET_S(cpu, sizeof(ours_), set);
  }
  bound_ = ours_ != before_ && sched_setaffinity(0, sizeof(ours_), set) == 0;
}

CoreBinding::~CoreBinding() {
  Mask now = {};
  if (!bound_ || !allowed(now) || now != ours_) return;
  sched_setaffinity(0, sizeof(before_), reinterpret_cast<cpu_set_t*>(before_.data()));
}

CpuInfo probe_cpu() {
  CpuInfo info;
  read_features(info);
  const std::vector<int> cpus = cpus_of(allowed_mask());
  if (cpus.empty()) {
    info.logical_cores = info.physical_cores =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    return info;
  }
  info.logical_cores = static_cast<int>(cpus.size());
  info.cores = physical_cores("/sys/devices/system/cpu", cpus);
  info.physical_cores = static_cast<int>(info.cores.size());
  return info;
}

}  // namespace phial

#include "kernels/probes.h"

#include <string_view>

#include "kernels/probe_tables.h"
#include "sys/cpu.h"

namespace phial {

ProbeTable probe_table(const KernelTable& table) {
  const std::string_view isa = table.isa;
#if defined(__x86_64__)
  if (isa.starts_with("avx512")) {
    ProbeTable probes = kAvx512Probes;
    const CpuInfo cpu = probe_cpu();
    if (cpu.avx512_vnni) probes.int8 = probes.int8_wide = kAvx512VnniProbe;
    if (cpu.avx512_bf16) probes.bf16 = kAvx512Bf16Probe;
    return probes;
  }
  if (isa == "avxvnni") {
    ProbeTable probes = kAvx2Probes;
    probes.isa = table.isa;
    probes.int8 = probes.int8_wide = kAvxVnniProbe;
    return probes;
  }
  if (isa != kReferenceProbes.isa) return kAvx2Probes;
#elif defined(__aarch64__)
  if (isa != kReferenceProbes.isa) {
    ProbeTable probes = kNeonProbes;
    probes.isa = table.isa;
    if (isa == "dotprod") probes.int8 = probes.int8_wide = kDotprodProbe;
    if (isa == "i8mm") probes.int8 = probes.int8_wide = kI8mmProbe;
    return probes;
  }
#endif
  return kReferenceProbes;
}

}  // namespace phial

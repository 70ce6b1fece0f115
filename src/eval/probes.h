// What this machine can do right now. Shared machines change from minute to minute, so whatever is
// measured takes the probe it needs just before, and is read as a share of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/runtime.h"
#include "kernels/probes.h"
#include "sys/memory.h"

namespace phial {

// Seconds that the workers of `pool` take to read `bytes` together, each its share. The bytes must
// exceed every cache.
double read_seconds(ThreadPool& pool, const ProbeTable& probes, std::span<const uint8_t> bytes);

// Operations per second (a product that is added is two) of all workers together: the median of
// five runs of 1 ms or more.
double operations_per_second(ThreadPool& pool, const ArithmeticProbe& probe);

enum class Probe : uint8_t {
  dram,  // bytes read from memory per second
  int8,  // operations per second: ProbeTable says what each is
  int8_wide,
  fma,
  bf16,
};
inline constexpr int kProbeCount = 5;
// As the report of a benchmark calls it: "dram_gbps", "int8_gops", "int8_wide_gops", "fma_gflops",
// "bf16_gflops".
const char* probe_name(Probe probe);

// The probes of one runtime, with memory of their own to read, and what they have shown so far.
class MachineProbes {
 public:
  // out_of_memory
  static Result<std::unique_ptr<MachineProbes>> create(std::shared_ptr<const Runtime> runtime);

  // Whether the kernels in use have instructions for it; only bf16 may be missing.
  bool has(Probe probe) const;
  // Takes the probe now, in well below 0.2 s: bytes or operations per second. REQUIRES: has(probe)
  double take(Probe probe);
  // The median of all takes, in units of 10^9 per second, by name; then "int8_method" and its like
  // with the instructions. Probes that were never taken are taken once.
  Json report();

  // Resident memory that the probes hold, to be left out of the memory of what is measured.
  int64_t resident_bytes() const { return static_cast<int64_t>(memory().size()); }

 private:
  MachineProbes(std::shared_ptr<const Runtime> runtime, PageBuffer pages);
  std::span<uint8_t> memory() const;
  const ArithmeticProbe& loop(Probe probe) const;

  std::shared_ptr<const Runtime> runtime_;
  ProbeTable table_;
  PageBuffer pages_;
  std::array<std::vector<double>, kProbeCount> taken_;
};

// The middle of `values`; the mean of the two middle ones of an even number. REQUIRES: not empty
double median_of(std::vector<double> values);
// The value below which the share `q` in [0, 1] of `values` lies, interpolated. REQUIRES: not empty
double quantile_of(std::vector<double> values, double q);

}  // namespace phial

#include "eval/probes.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

namespace phial {
namespace {

// Twice the caches of the largest servers' sockets are never read by so few threads: what a thread
// reaches is its share of one cache, tens of MB.
constexpr int64_t kMemoryBytes = int64_t{768} << 20;
constexpr int kReads = 3;
constexpr int kRuns = 5;
constexpr double kRunSeconds = 1e-3;

struct Info {
  const char* name;
  const char* method;  // member of the report that names the instructions
};
constexpr Info kInfo[kProbeCount] = {{"dram_gbps", nullptr},
                                     {"int8_gops", "int8_method"},
                                     {"int8_wide_gops", "int8_wide_method"},
                                     {"fma_gflops", "fma_method"},
                                     {"bf16_gflops", "bf16_method"}};
constexpr Probe kProbes[kProbeCount] = {Probe::dram, Probe::int8, Probe::int8_wide, Probe::fma,
                                        Probe::bf16};

template <class Work>
double seconds_of(ThreadPool& pool, const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  pool.run(work);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

double read_seconds(ThreadPool& pool, const ProbeTable& probes, std::span<const uint8_t> bytes) {
  const auto size = static_cast<int64_t>(bytes.size()) / kReadProbeGrain * kReadProbeGrain;
  std::atomic<uint64_t> sum{0};  // what is not used need not be read
  return seconds_of(pool, [&](int worker) {
    const Share share = share_of(size, kReadProbeGrain, worker, pool.size());
    sum += probes.read(bytes.data() + share.begin, share.end - share.begin);
  });
}

double operations_per_second(ThreadPool& pool, const ArithmeticProbe& probe) {
  constexpr int64_t kMaxSteps = int64_t{1} << 21;
  std::atomic<uint64_t> products{0};
  const auto time = [&](int64_t steps) {
    return seconds_of(pool, [&](int) { products += probe.run(steps); });
  };
  int64_t steps = 1 << 10;
  // The shortest of three: a worker that was interrupted must not make the runs too short.
  while (steps < kMaxSteps && std::min({time(steps), time(steps), time(steps)}) < kRunSeconds) {
    steps *= 2;
  }
  std::vector<double> seconds;
  for (int run = 0; run < kRuns; ++run) seconds.push_back(time(steps));
  const double operations = 2.0 * static_cast<double>(probe.products * steps * pool.size());
  return operations / median_of(std::move(seconds));
}

const char* probe_name(Probe probe) { return kInfo[static_cast<size_t>(probe)].name; }

Result<std::unique_ptr<MachineProbes>> MachineProbes::create(
    std::shared_ptr<const Runtime> runtime) {
  PHIAL_ASSIGN(PageBuffer pages, PageBuffer::create(kMemoryBytes));
  std::unique_ptr<MachineProbes> probes(new MachineProbes(std::move(runtime), std::move(pages)));
  // Written by the workers that will read it, so that it lies near them.
  ThreadPool& pool = *probes->runtime_->threads;
  pool.run([&](int worker) {
    const Share share = share_of(kMemoryBytes, kReadProbeGrain, worker, pool.size());
    std::memset(probes->pages_.data() + share.begin, worker + 1,
                static_cast<size_t>(share.end - share.begin));
  });
  return probes;
}

MachineProbes::MachineProbes(std::shared_ptr<const Runtime> runtime, PageBuffer pages)
    : runtime_(std::move(runtime)),
      table_(probe_table(*runtime_->kernels)),
      pages_(std::move(pages)) {}

std::span<uint8_t> MachineProbes::memory() const {
  return {pages_.data(), static_cast<size_t>(kMemoryBytes)};
}

const ArithmeticProbe& MachineProbes::loop(Probe probe) const {
  switch (probe) {
    case Probe::int8:
      return table_.int8;
    case Probe::int8_wide:
      return table_.int8_wide;
    case Probe::bf16:
      return table_.bf16;
    case Probe::fma:
    case Probe::dram:
      break;
  }
  return table_.fma;
}

bool MachineProbes::has(Probe probe) const {
  return probe == Probe::dram || loop(probe).run != nullptr;
}

double MachineProbes::take(Probe probe) {
  ThreadPool& pool = *runtime_->threads;
  double rate = 0;
  if (probe == Probe::dram) {
    std::vector<double> seconds;
    for (int read = 0; read < kReads; ++read) {
      seconds.push_back(read_seconds(pool, table_, memory()));
    }
    rate = static_cast<double>(memory().size()) / median_of(std::move(seconds));
  } else {
    rate = operations_per_second(pool, loop(probe));
  }
  taken_[static_cast<size_t>(probe)].push_back(rate);
  return rate;
}

Json MachineProbes::report() {
  Json report;
  for (const Probe probe : kProbes) {
    if (!has(probe)) continue;
    std::vector<double>& taken = taken_[static_cast<size_t>(probe)];
    if (taken.empty()) take(probe);
    report.set(probe_name(probe), median_of(taken) * 1e-9);
  }
  for (const Probe probe : kProbes) {
    const char* method = kInfo[static_cast<size_t>(probe)].method;
    if (method != nullptr && has(probe)) report.set(method, loop(probe).name);
  }
  return report;
}

double median_of(std::vector<double> values) { return quantile_of(std::move(values), 0.5); }

double quantile_of(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double place = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

}  // namespace phial

// Benchmarks of the compute kernels, per instruction set, grid, activation rows and thread count.
//
//   gemv/ISA/GRID/columns/x_rows/threads   weights stream from memory: GB/s of codes, and the share
//                                           of what a plain read reaches (probe_%)
//   gemm/ISA/m/threads                      a panel of 64 columns, k = 1024: GFLOPS, and the share
//                                           of fused multiply-adds in registers (probe_%)
//   gemm_bf16/m/threads                     the same with k = 2048 in bfloat16, where the processor
//                                           has products of it
//   unpack/ISA/GRID                         64 rows x 1024 columns into a panel: GB/s of panel, and
//                                           its time as a share of gemm with 256 rows (gemm256_%)
//
// Figures wander on a shared machine: run with --benchmark_repetitions=9
// --benchmark_report_aggregates_only=true and read the medians.

#include "kernels/kernels.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "eval/probes.h"
#include "kernels/bf16.h"
#include "tensor/random_rows.h"

namespace phial {
namespace {

constexpr int64_t kPanelDepth = 1024;

std::vector<float> random_floats(int64_t count) {
  Rng rng(1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.uniform() - 0.5);
  return values;
}

// At least `bytes` bytes of rows: one encoded row, repeated.
std::vector<uint8_t> random_weights(Grid grid, int64_t columns, int64_t bytes) {
  Rng rng(1);
  const int64_t row = row_bytes(grid, columns);
  std::vector<uint8_t> codes(static_cast<size_t>((bytes + row - 1) / row * row));
  fill_row(grid, rng, columns, 0.5, codes.data());
  for (size_t at = static_cast<size_t>(row); at < codes.size(); at += static_cast<size_t>(row)) {
    std::copy_n(codes.data(), row, codes.data() + at);
  }
  return codes;
}

std::unique_ptr<ThreadPool> make_pool(int threads) {
  return std::move(ThreadPool::create(threads)).value();
}

struct GemvCase {
  const KernelTable* table;
  Grid grid;
  int64_t columns;
  int32_t x_rows;
  int threads;
};

void bench_gemv(benchmark::State& state, const GemvCase& c) {
  const auto pool = make_pool(c.threads);
  const int64_t stride = row_bytes(c.grid, c.columns);
  const std::vector<uint8_t> weights = random_weights(c.grid, c.columns, int64_t{256} << 20);
  const int64_t rows = static_cast<int64_t>(weights.size()) / stride;
  const std::vector<float> x = random_floats(c.x_rows * c.columns);
  std::vector<float> y(static_cast<size_t>(c.x_rows * rows));
  // A B A B: the machine's memory bandwidth moves with its neighbours, so the kernel is compared
  // with the read just before it.
  const ProbeTable probe_loops = probe_table(*c.table);
  std::vector<double> rates, probes, shares;
  const auto size = static_cast<double>(weights.size());
  for (auto _ : state) {
    const double probe = read_seconds(*pool, probe_loops, weights);
    const auto start = std::chrono::steady_clock::now();
    pool->run([&](int worker) {
      const Share share = share_of(rows, kPanelRows, worker, c.threads);
      c.table->gemv[static_cast<int>(c.grid)]({weights.data(), stride, c.columns, share.begin,
                                               share.end, x.data(), c.columns, c.x_rows, y.data(),
                                               rows});
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    probes.push_back(size / probe);
    rates.push_back(size / took.count());
    shares.push_back(100 * probe / took.count());
  }
  state.counters["GB/s"] = median_of(rates) / 1e9;
  state.counters["probe_GB/s"] = median_of(probes) / 1e9;
  state.counters["probe_%"] = median_of(shares);
}

// Seconds of the fastest of `passes` panels: `a` is [m, kPanelDepth], `b` [kPanelDepth,
// kPanelRows], and each thread has a copy of it.
template <class Gemm, class Element>
double time_panels(const Gemm& gemm, ThreadPool& pool, int64_t m, const std::vector<Element>& a,
                   const std::vector<Element>& b, int passes) {
  const std::vector<std::vector<Element>> panels(static_cast<size_t>(pool.size()), b);
  std::vector<std::vector<float>> c(panels.size(),
                                    std::vector<float>(static_cast<size_t>(m * kPanelRows)));
  double best = 1e9;
  for (int pass = 0; pass < passes; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.run([&](int worker) {
      const auto own = static_cast<size_t>(worker);
      gemm(m, kPanelRows, kPanelDepth, a.data(), kPanelDepth, panels[own].data(), kPanelRows,
           c[own].data(), kPanelRows, false);
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

double time_gemm(const KernelTable& table, ThreadPool& pool, int64_t m, int passes) {
  return time_panels(table.gemm, pool, m, random_floats(m * kPanelDepth),
                     random_floats(kPanelDepth * kPanelRows), passes);
}

void bench_gemm_bf16(benchmark::State& state, const Bf16Kernels* kernels, const KernelTable* table,
                     int64_t m, int threads) {
  const auto pool = make_pool(threads);
  const double probe = operations_per_second(*pool, probe_table(*table).bf16);
  const auto pairs = [kernels](int64_t count) {
    std::vector<uint32_t> rounded(static_cast<size_t>(count));
    kernels->round(2 * count, random_floats(2 * count).data(), rounded.data());
    return rounded;
  };
  const std::vector<uint32_t> a = pairs(m * kPanelDepth), b = pairs(kPanelDepth * kPanelRows);
  double best = 1e9;
  for (auto _ : state) best = std::min(best, time_panels(kernels->gemm, *pool, m, a, b, 5));
  const double flops = 4.0 * static_cast<double>(m * kPanelRows * kPanelDepth) * threads;
  state.counters["GFLOPS"] = flops / best / 1e9;
  state.counters["probe_GFLOPS"] = probe / 1e9;
  state.counters["probe_%"] = 100 * flops / best / probe;
}

void bench_gemm(benchmark::State& state, const KernelTable* table, int64_t m, int threads) {
  const auto pool = make_pool(threads);
  const double probe = operations_per_second(*pool, probe_table(*table).fma);
  double best = 1e9;
  for (auto _ : state) best = std::min(best, time_gemm(*table, *pool, m, 5));
  const double flops = 2.0 * static_cast<double>(m * kPanelRows * kPanelDepth) * threads;
  state.counters["GFLOPS"] = flops / best / 1e9;
  state.counters["probe_GFLOPS"] = probe / 1e9;
  state.counters["probe_%"] = 100 * flops / best / probe;
}

void bench_unpack(benchmark::State& state, const KernelTable* table, Grid grid) {
  const int64_t stride = row_bytes(grid, kPanelDepth);
  const std::vector<uint8_t> weights = random_weights(grid, kPanelDepth, kPanelRows * stride);
  std::vector<float> panel(static_cast<size_t>(kPanelDepth * kPanelRows));
  double best = 1e9;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    table->unpack[static_cast<int>(grid)](
        {weights.data(), stride, 0, kPanelRows, 0, kPanelDepth, panel.data()});
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  const auto pool = make_pool(1);
  state.counters["GB/s"] = static_cast<double>(panel.size() * sizeof(float)) / best / 1e9;
  state.counters["gemm256_%"] = 100 * best / time_gemm(*table, *pool, 256, 20);
}

void register_all() {
  const int most = default_thread_count();
  std::vector<int> threads = {1};
  if (most > 1) threads.push_back(most);
  for (const KernelTable* table : kernel_tables()) {
    // The reference is no yardstick of speed.
    if (!is_supported(*table) || table == kernel_tables().front()) continue;
    const std::string isa = table->isa;
    for (const GridInfo& grid : grid_table()) {
      if (grid.is_integer) continue;
      // 576 of SmolLM2 where blocks allow it.
      const int64_t narrow = grid.block_values > 32 ? 512 : 576;
      for (const int64_t columns : {narrow, int64_t{3072}}) {
        for (const int32_t x_rows : {1, 2, 4, 8}) {
          for (const int t : threads) {
            const std::string name = "gemv/" + isa + "/" + grid.name + "/" +
                                     std::to_string(columns) + "/" + std::to_string(x_rows) + "/" +
                                     std::to_string(t);
            const GemvCase c{table, grid.grid, columns, x_rows, t};
            benchmark::RegisterBenchmark(name.c_str(),
                                         [c](benchmark::State& state) { bench_gemv(state, c); })
                ->UseRealTime()
                ->Iterations(21);
          }
        }
      }
      benchmark::RegisterBenchmark(
          ("unpack/" + isa + "/" + grid.name).c_str(),
          [table, g = grid.grid](benchmark::State& state) { bench_unpack(state, table, g); })
          ->UseRealTime();
    }
    for (const int64_t m : {16, 96, 256}) {
      for (const int t : threads) {
        if (const Bf16Kernels* bf16 = bf16_kernels(*table)) {
          benchmark::RegisterBenchmark(
              ("gemm_bf16/" + std::to_string(m) + "/" + std::to_string(t)).c_str(),
              [bf16, table, m, t](benchmark::State& state) {
                bench_gemm_bf16(state, bf16, table, m, t);
              })
              ->UseRealTime()
              ->Iterations(20);
        }
        benchmark::RegisterBenchmark(
            ("gemm/" + isa + "/" + std::to_string(m) + "/" + std::to_string(t)).c_str(),
            [table, m, t](benchmark::State& state) { bench_gemm(state, table, m, t); })
            ->UseRealTime()
            ->Iterations(20);
      }
    }
  }
}

}  // namespace
}  // namespace phial

int main(int argc, char** argv) {
  phial::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}

// Benchmarks of the packed kernels (kernels/packed.h), per instruction set, grid, rows and threads.
//
//   direct/ISA/GRID/rows/threads   the layers of Phi-3-mini's shape until 256 MB of panels have
//                                  streamed from memory: GB/s, the share of a plain read of the
//                                  same bytes (read_%), Gop/s and the share of the integer peak
//                                  (peak_%)
//   floats/ISA/GRID/rows/threads   the same with inputs in float32
//   gemm/ISA/GRID/rows/threads     the same products: Gop/s and peak_%
//   pack/GRID/threads              source rows to panels: GB/s of source
//
// The peak is that of the instructions that the ISA has for 4-bit codes: vpdpbusd, or vpmaddubsw
// and vpaddw, and of float32 multiply-adds for floats; it is taken, like the read, in turn with the
// kernel. Read the medians.

#include "kernels/packed.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "eval/probes.h"
#include "kernels/packed_layout.h"
#include "tensor/test_blocks.h"

namespace phial {
namespace {

constexpr int64_t kBytes = int64_t{256} << 20;

struct Lines {
  explicit Lines(int64_t bytes)
      : memory(static_cast<size_t>(bytes + 63)),
        data(memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64) {}
  std::vector<uint8_t> memory;
  uint8_t* data;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Rows of one encoded row, so that making them takes no time.
MatrixView same_rows(Grid grid, int64_t rows, int64_t columns, std::vector<uint8_t>& codes) {
  Rng rng(1);
  codes.resize(static_cast<size_t>(row_bytes(grid, columns)));
  test::fill_row(grid, rng, columns, 0.5, codes.data());
  MatrixView view;
  view.grid = grid;
  view.rows = rows;
  view.columns = columns;
  view.row_stride = 0;
  view.data = codes.data();
  return view;
}

// kBytes of panels with 3072 columns.
struct Weights {
  explicit Weights(Grid grid) : layout(*packed_layout(grid, 3072)), panels(kBytes) {
    std::vector<uint8_t> codes;
    const MatrixView view = same_rows(grid, kPackedRows, 3072, codes);
    const int64_t count = kBytes / layout.panel_bytes;
    pack_panel(layout, view, 0, panels.data);
    for (int64_t p = 1; p < count; ++p) {
      std::memcpy(panels.data + p * layout.panel_bytes, panels.data,
                  static_cast<size_t>(layout.panel_bytes));
    }
    matrix = {layout, count * kPackedRows, panels.data};
  }
  PackedLayout layout;
  Lines panels;
  PackedMatrix matrix;
};

enum class Product { direct, floats, gemm, int_scales };
constexpr const char* kProductNames[] = {"direct", "floats", "gemm", "int_scales"};

struct Case {
  const KernelTable* table;
  const PackedKernels* kernels;
  Grid grid;
  int32_t rows;
  int threads;
  Product product;

  bool is_gemm() const { return product == Product::gemm || product == Product::int_scales; }
};

std::vector<float> random_rows(const Case& c, int64_t columns) {
  Rng rng(2);
  std::vector<float> x(static_cast<size_t>(c.rows * columns));
  for (float& value : x) value = static_cast<float>(rng.uniform() - 0.5);
  return x;
}

QuantizedRows quantized_rows(const Case& c, int64_t columns, Lines& memory) {
  QuantizedRows shape;
  shape.rows = c.rows;
  shape.tile = c.is_gemm() ? c.kernels->gemm_tile : c.kernels->direct_tile;
  shape.columns = columns;
  memory = Lines(quantized_bytes(shape));
  const QuantizedRows placed = place_quantized(shape, memory.data);
  const std::vector<float> x = random_rows(c, columns);
  c.kernels->quantize({x.data(), columns, 0, tile_count(placed), 0, slab_count(placed),
                       InputCodes::as_needed, placed});
  return placed;
}

void bench_product(benchmark::State& state, const Case& c) {
  const auto pool = std::move(ThreadPool::create(c.threads)).value();
  const Weights w(c.grid);
  Lines x_memory(64);
  PackedProductArgs args;
  args.weights = &w.matrix;
  if (c.product != Product::floats) args.x = quantized_rows(c, 3072, x_memory);
  // A prompt's products take seconds over all panels.
  const int64_t panels = c.is_gemm() ? 2 * 128 : w.matrix.panels();
  std::vector<float> y(static_cast<size_t>(c.rows * panels * kPackedRows));
  args.y = y.data();
  args.y_stride = panels * kPackedRows;
  const std::vector<float> x = random_rows(c, 3072);
  const auto multiply = [&](const PackedProductArgs& own) {
    if (c.product == Product::floats) {
      return c.kernels->direct_floats({own.weights, own.panel_begin, own.panel_end, x.data(), 3072,
                                       c.rows, own.y, own.y_stride, own.y_row});
    }
    if (c.product == Product::int_scales) return c.kernels->int_scales(own);
    (c.is_gemm() ? c.kernels->gemm : c.kernels->direct)(own);
  };
  std::vector<std::unique_ptr<Lines>> scratch;
  for (int t = 0; t < c.threads; ++t) {
    scratch.push_back(std::make_unique<Lines>(gemm_scratch_bytes(c.rows)));
  }
  const int64_t read = panels * w.layout.panel_bytes;
  const size_t read_bytes = static_cast<size_t>(read / kReadProbeGrain * kReadProbeGrain);
  const auto bytes = static_cast<double>(read);
  const double ops = 2.0 * c.rows * static_cast<double>(panels * kPackedRows) * 3072;
  const ProbeTable probes = probe_table(*c.table);
  std::vector<double> times, reads, peaks;
  for (auto _ : state) {
    if (!c.is_gemm()) {
      reads.push_back(read_seconds(*pool, probes, {w.panels.data, read_bytes}));
    }
    peaks.push_back(
        operations_per_second(*pool, c.product == Product::floats ? probes.fma : probes.int8));
    const auto start = std::chrono::steady_clock::now();
    pool->run([&](int worker) {
      PackedProductArgs own = args;
      const Share share = share_of(panels, 1, worker, c.threads);
      own.panel_begin = share.begin;
      own.panel_end = share.end;
      own.scratch = scratch[static_cast<size_t>(worker)]->data;
      multiply(own);
    });
    times.push_back(seconds_since(start));
  }
  const double time = median_of(times), peak = median_of(peaks);
  state.counters["Gop/s"] = ops / time / 1e9;
  state.counters["peak_%"] = 100 * ops / time / peak;
  state.counters["peak_Gop/s"] = peak / 1e9;
  state.counters["ms"] = time * 1e3;
  if (c.is_gemm()) return;
  state.counters["GB/s"] = bytes / time / 1e9;
  state.counters["read_GB/s"] = bytes / median_of(reads) / 1e9;
  state.counters["read_%"] = 100 * median_of(reads) / time;
}

void bench_pack(benchmark::State& state, Grid grid, int threads) {
  const auto pool = std::move(ThreadPool::create(threads)).value();
  const PackedLayout layout = *packed_layout(grid, 3072);
  const int64_t panels = kBytes / layout.panel_bytes;
  const int64_t stride = row_bytes(grid, 3072);
  std::vector<uint8_t> codes, source(static_cast<size_t>(panels * kPackedRows * stride));
  MatrixView view = same_rows(grid, panels * kPackedRows, 3072, codes);
  for (int64_t r = 0; r < view.rows; ++r) {
    std::copy(codes.begin(), codes.end(), source.begin() + r * stride);
  }
  view.data = source.data();
  view.row_stride = stride;
  Lines out(panels * layout.panel_bytes);
  std::vector<double> times;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    pool->run([&](int worker) {
      const Share share = share_of(panels, 1, worker, threads);
      for (int64_t p = share.begin; p < share.end; ++p) {
        pack_panel(layout, view, p, out.data + p * layout.panel_bytes);
      }
    });
    times.push_back(seconds_since(start));
  }
  state.counters["GB/s"] = static_cast<double>(source.size()) / median_of(times) / 1e9;
}

std::string name_of(const Case& c) {
  return std::string(kProductNames[static_cast<size_t>(c.product)]) + "/" + c.kernels->isa + "/" +
         grid_info(c.grid).name + "/" + std::to_string(c.rows) + "/" + std::to_string(c.threads);
}

void register_product(const Case& c) {
  benchmark::RegisterBenchmark(name_of(c).c_str(),
                               [c](benchmark::State& state) { bench_product(state, c); })
      ->UseRealTime()
      ->Iterations(c.rows > 128 ? 5 : 11);
}

void register_all() {
  const int most = default_thread_count();
  std::vector<int> threads = {1};
  if (most > 1) threads.push_back(most);
  for (const GridInfo& info : grid_table()) {
    const std::optional<PackedLayout> layout = packed_layout(info.grid, 3072);
    if (!layout) continue;
    for (const int t : threads) {
      const std::string name = std::string("pack/") + info.name + "/" + std::to_string(t);
      benchmark::RegisterBenchmark(
          name.c_str(), [g = info.grid, t](benchmark::State& state) { bench_pack(state, g, t); })
          ->UseRealTime()
          ->Iterations(5);
    }
    if (!layout->is_integer()) continue;
    for (const KernelTable* table : kernel_tables().subspan(1)) {
      if (!is_supported(*table)) continue;
      const PackedKernels* kernels = &packed_kernels(*table);
      for (const int t : threads) {
        for (const int32_t rows : {1, 2, 4, 6, 8, 12, 16, 24, 30, 36, 128, 512}) {
          const bool many = rows >= kMinPackedGemmRows;
          register_product(
              {table, kernels, info.grid, rows, t, many ? Product::gemm : Product::direct});
          if (rows >= kMinIntScalesRows && kernels->int_scales != nullptr &&
              has_int_scales(*layout)) {
            register_product({table, kernels, info.grid, rows, t, Product::int_scales});
          }
          if (rows > kMaxGemvRows) continue;
          register_product({table, kernels, info.grid, rows, t, Product::floats});
        }
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

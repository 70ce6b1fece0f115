// Benchmarks of attention over a key/value cache, with the heads of Phi-3-mini (32 of 96) unless
// said otherwise, per type of cache.
//
//   decode/TYPE/depth/threads      one row in each layer: GB/s of keys and values, and the share of
//                                  what a plain read of memory reaches in the same run (probe_%)
//   grouped/TYPE/depth/threads     the same with 4 queries for each of 8 heads of 128
//   prefill/TYPE/depth/threads     256 rows behind `depth` others: GFLOPS of both products that the
//                                  mask leaves, and the share of fused multiply-adds in float32
//   page/TYPE/rows                 the kernel alone on one thread, on four pages in the nearest
//                                  caches: nanoseconds of a page, GB/s and GFLOPS
//
// PHIAL_ISA=NAME takes the kernels of another instruction set.
//
// Figures wander on a shared machine: run with --benchmark_repetitions=9
// --benchmark_report_aggregates_only=true and read the medians.

#include "engine/cpu/attention.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "engine/cpu/executor.h"
#include "engine/numerics.h"
#include "eval/probes.h"

namespace phial {
namespace {

constexpr int64_t kLayers = 16;

struct Shape {
  int64_t heads, kv_heads, head_dim;
};
constexpr Shape kPhi = {32, 32, 96}, kGrouped = {32, 8, 128};

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().to_string().c_str());
    std::exit(1);
  }
  return std::move(result).value();
}

std::shared_ptr<const Runtime> runtime_of(int threads) {
  const char* isa = std::getenv("PHIAL_ISA");
  return must(Runtime::create(threads, isa == nullptr ? "" : isa, disk_files()));
}

ModelSpec spec_of(const Shape& shape, int64_t layers) {
  ModelSpec spec;
  spec.layers = layers;
  spec.attention.heads = shape.heads;
  spec.attention.kv_heads = shape.kv_heads;
  spec.attention.head_dim = shape.head_dim;
  spec.attention.scale = 0.1f;
  spec.layer_kinds.resize(static_cast<size_t>(layers));
  return spec;
}

// A cache of `depth` positions of random numbers, and one pass of `rows` rows behind them.
struct Bench {
  ModelSpec spec;
  std::shared_ptr<const Runtime> runtime;
  KvCache cache;
  std::vector<float> q, out;
  Attention attention;
  RowSegment segment;

  Bench(const Shape& shape, int64_t layers, KvType type, int64_t depth, int64_t rows, int threads)
      : spec(spec_of(shape, layers)),
        runtime(runtime_of(threads)),
        cache(KvLayout::of(spec, type), depth + rows),
        q(static_cast<size_t>(rows * shape.heads * shape.head_dim)),
        out(q.size()),
        attention(*runtime->kernels, spec, threads) {
    if (!cache.reserve(depth + rows).ok()) std::exit(1);
    Rng rng(1);
    for (float& x : q) x = static_cast<float>(rng.uniform() - 0.5);
    segment = {&cache, 0, depth + rows, 0};
    attention.prepare({&segment, 1});
    std::vector<float> k(static_cast<size_t>(shape.head_dim));
    for (float& x : k) x = static_cast<float>(rng.uniform() - 0.5);
    for (int64_t layer = 0; layer < layers; ++layer) {
      for (int64_t row = 0; row < depth + rows; ++row) {
        k[static_cast<size_t>(row % shape.head_dim)] += 0.01f;
        for (int64_t head = 0; head < shape.kv_heads; ++head) {
          attention.store(0, layer, segment, row, head, k.data(), k.data());
        }
      }
    }
    segment = {&cache, 0, rows, depth};
    attention.prepare({&segment, 1});
  }

  // Seconds of the pass through all layers.
  double run() {
    const auto start = std::chrono::steady_clock::now();
    const auto deals = std::make_unique<Deal[]>(static_cast<size_t>(spec.layers));
    runtime->threads->run([&](int worker) {
      for (int64_t layer = 0; layer < spec.layers; ++layer) {
        Deal& deal = deals[static_cast<size_t>(layer)];
        const auto attend = [&](int64_t begin, int64_t end) {
          attention.attend(worker, layer, begin, end, q.data(), out.data());
        };
        if (attention.pieces_are_alike()) {
          deal.take(attention.pieces(), worker, runtime->threads->size(), attend);
        } else {
          deal.take_each(attention.pieces(), [&](int64_t piece) { attend(piece, piece + 1); });
        }
        runtime->threads->barrier();
      }
    });
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
};

void bench_decode(benchmark::State& state, const Shape& shape, KvType type, int64_t depth,
                  int threads) {
  Bench bench(shape, kLayers, type, depth, 1, threads);
  const auto probes = must(MachineProbes::create(bench.runtime));
  const double bytes = static_cast<double>(bench.cache.layout().position_bytes() * depth);
  std::vector<double> rates, reads, shares;
  for (auto _ : state) {
    const double read = probes->take(Probe::dram);
    const double rate = bytes / bench.run();
    rates.push_back(rate);
    reads.push_back(read);
    shares.push_back(100 * rate / read);
  }
  state.counters["ms"] = bytes / median_of(rates) * 1e3;
  state.counters["GB/s"] = median_of(rates) / 1e9;
  state.counters["probe_GB/s"] = median_of(reads) / 1e9;
  state.counters["probe_%"] = median_of(shares);
}

void bench_prefill(benchmark::State& state, const Shape& shape, KvType type, int64_t depth,
                   int threads) {
  constexpr int64_t kRows = 256;
  Bench bench(shape, 2, type, depth, kRows, threads);
  const auto probes = must(MachineProbes::create(bench.runtime));
  const double keys = static_cast<double>(depth) + static_cast<double>(kRows + 1) / 2;
  const double flops = 4.0 * keys * static_cast<double>(bench.q.size() * 2);
  std::vector<double> rates, shares;
  for (auto _ : state) {
    const double peak = probes->take(Probe::fma);
    const double rate = flops / bench.run();
    rates.push_back(rate);
    shares.push_back(100 * rate / peak);
  }
  state.counters["GFLOPS"] = median_of(rates) / 1e9;
  state.counters["fma_%"] = median_of(shares);
}

void bench_page(benchmark::State& state, KvType type, int64_t rows) {
  constexpr int64_t kPages = 4;
  const auto runtime = runtime_of(1);
  const AttentionKernels& kernels = attention_kernels(*runtime->kernels);
  const KvHead head = KvHead::of(type, kPhi.head_dim);
  const auto width = static_cast<size_t>(head.width), n = static_cast<size_t>(rows);
  const auto block_bytes = static_cast<size_t>((head.bytes + 63) / 64 * 64);
  std::vector<uint8_t> blocks(kPages * block_bytes + 64);
  uint8_t* first = blocks.data() + (64 - reinterpret_cast<uintptr_t>(blocks.data()) % 64);
  Rng rng(1);
  std::vector<float> k(width), v(width), position(2 * width);
  for (size_t i = 0; i < kPages * kPagePositions; ++i) {
    for (float& x : k) x = static_cast<float>(rng.uniform() - 0.5);
    for (float& x : v) x = static_cast<float>(rng.uniform() - 0.5);
    kernels.store[static_cast<size_t>(type)](
        {&head, static_cast<int64_t>(i % kPagePositions), k.data(), v.data(),
         first + i / kPagePositions * block_bytes, position.data()});
  }
  std::vector<float> q(n * width), row_max(n, -1e30f), row_sum(n), out(n * width);
  std::vector<float> scores(n * kPagePositions), factors(n), scale(n), value_scale(n);
  std::vector<int8_t> codes(2 * n * width), value_codes(2 * n * kPagePositions);
  std::vector<int32_t> correction(n), value_correction(n);
  std::vector<uint8_t> unpacked(kPagePositions * width);
  for (float& x : q) x = static_cast<float>(rng.uniform() - 0.5);
  AttentionPageArgs args = {};
  args.head = &head;
  args.rows = rows;
  args.group = 1;
  args.first_position = kPagePositions;
  args.scale = 0.1f;
  args.q = q.data();
  args.planes = {codes.data(), scale.data(), correction.data()};
  kernels.make_planes(rows, head.width, q.data(), args.planes);
  args.row_max = row_max.data();
  args.row_sum = row_sum.data();
  args.out = out.data();
  args.scores = scores.data();
  args.factors = factors.data();
  args.value_planes = {value_codes.data(), value_scale.data(), value_correction.data()};
  args.codes = unpacked.data();
  for (auto _ : state) {
    for (size_t page = 0; page < kPages; ++page) {
      args.block = first + page * block_bytes;
      args.next = first + (page + 1) % kPages * block_bytes;
      kernels.page[static_cast<size_t>(type)](args);
    }
    benchmark::DoNotOptimize(out.data());
  }
  const double pages = static_cast<double>(kPages) * static_cast<double>(state.iterations());
  using benchmark::Counter;
  state.counters["ns"] = Counter(pages * 1e-9, Counter::kIsRate | Counter::kInvert);
  state.counters["GB/s"] =
      Counter(pages * static_cast<double>(head.bytes) * 1e-9, Counter::kIsRate);
  state.counters["GFLOPS"] = Counter(
      pages * 4e-9 * static_cast<double>(rows * head.width * kPagePositions), Counter::kIsRate);
}

void register_all() {
  const int most = default_thread_count();
  std::vector<int> threads = {1};
  if (most > 1) threads.push_back(most);
  const auto add = [](const std::string& name, auto run, int iterations) {
    benchmark::RegisterBenchmark(name.c_str(), run)->UseRealTime()->Iterations(iterations);
  };
  for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16, KvType::int8, KvType::int4}) {
    for (const int64_t rows : {1, 4, 64}) {
      benchmark::RegisterBenchmark(
          ("page/" + std::string(kv_type_name(type)) + "/" + std::to_string(rows)).c_str(),
          [=](benchmark::State& state) { bench_page(state, type, rows); });
    }
    for (const int t : threads) {
      for (const int64_t depth : {512, 4096}) {
        const std::string name =
            std::string(kv_type_name(type)) + "/" + std::to_string(depth) + "/" + std::to_string(t);
        add(
            "decode/" + name,
            [=](benchmark::State& state) { bench_decode(state, kPhi, type, depth, t); }, 9);
        add(
            "grouped/" + name,
            [=](benchmark::State& state) { bench_decode(state, kGrouped, type, depth, t); }, 9);
        add(
            "prefill/" + name,
            [=](benchmark::State& state) { bench_prefill(state, kPhi, type, depth, t); }, 5);
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

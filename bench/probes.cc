#include "bench/probes.h"

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace phial {
namespace {

double seconds_of(ThreadPool& pool, void (*work)(void*, int), void* context) {
  const auto start = std::chrono::steady_clock::now();
  pool.run([&](int worker) { work(context, worker); });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Keeps a result alive.
void keep(const void* value) { __asm__ volatile("" : : "r"(value) : "memory"); }

__attribute__((target("avx2"))) void read_all(const uint8_t* bytes, int64_t size) {
  __m256i sums[8] = {};
  for (int64_t i = 0; i + 512 <= size; i += 512) {
    for (int64_t line = 0; line < 8; ++line) {
      _mm_prefetch(bytes + i + 1024 + 64 * line, _MM_HINT_T0);
    }
    for (int64_t line = 0; line < 8; ++line) {
      const auto* p = reinterpret_cast<const __m256i*>(bytes + i + 64 * line);
      sums[line] = _mm256_add_epi64(sums[line], _mm256_loadu_si256(p));
      sums[line] = _mm256_add_epi64(sums[line], _mm256_loadu_si256(p + 1));
    }
  }
  keep(sums);
}

// Chains cover latency 4 at two per cycle, with reserve; with the factor they fit 16 registers.
constexpr int kChains = 12;
constexpr int64_t kSteps = 100'000;

__attribute__((target("avx2,fma"))) void fma_256() {
  __m256 acc[kChains] = {};
  // Opaque to the compiler, which would else keep one of the equal chains.
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) __asm__ volatile("" : "+x"(acc[c]));
  const __m256 factor = _mm256_set1_ps(0.999f);
  for (int64_t i = 0; i < kSteps; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) acc[c] = _mm256_fmadd_ps(factor, factor, acc[c]);
  }
  keep(acc);
}

__attribute__((target("avx512f"))) void fma_512() {
  __m512 acc[kChains] = {};
  // Opaque to the compiler, which would else keep one of the equal chains.
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) __asm__ volatile("" : "+v"(acc[c]));
  const __m512 factor = _mm512_set1_ps(0.999f);
  for (int64_t i = 0; i < kSteps; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) acc[c] = _mm512_fmadd_ps(factor, factor, acc[c]);
  }
  keep(acc);
}

}  // namespace

double dram_read_probe(ThreadPool& pool) {
  static std::vector<uint8_t> buffer(size_t{256} << 20, 1);
  struct Job {
    const uint8_t* bytes;
    int64_t size;
    int workers;
  } job{buffer.data(), static_cast<int64_t>(buffer.size()), pool.size()};
  double best = 1e9;
  for (int pass = 0; pass < 5; ++pass) {
    best = std::min(best, seconds_of(
                              pool,
                              [](void* context, int worker) {
                                const Job& j = *static_cast<Job*>(context);
                                const Share share = share_of(j.size, 4096, worker, j.workers);
                                read_all(j.bytes + share.begin, share.end - share.begin);
                              },
                              &job));
  }
  return static_cast<double>(buffer.size()) / best;
}

double fma_probe(ThreadPool& pool, std::string_view isa) {
  const bool wide = isa == "avx512";
  if (!wide && isa != "avx2") return 0;
  double best = 1e9;
  for (int pass = 0; pass < 30; ++pass) {
    best = std::min(best, seconds_of(
                              pool,
                              [](void* context, int) {
                                *static_cast<const bool*>(context) ? fma_512() : fma_256();
                              },
                              const_cast<bool*>(&wide)));
  }
  const double lanes = wide ? 16 : 8;
  return 2.0 * lanes * kChains * kSteps * pool.size() / best;
}

}  // namespace phial

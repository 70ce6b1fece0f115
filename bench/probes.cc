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

// Four streams of two lines each: one stream alone does not keep enough reads in flight.
__attribute__((target("avx2"))) void read_all(const uint8_t* bytes, int64_t size) {
  constexpr int kStreams = 4;
  const int64_t part = size / kStreams / 128 * 128;
  __m256i sums[kStreams] = {};
  for (int64_t i = 0; i < part; i += 128) {
#pragma GCC unroll 4
    for (int s = 0; s < kStreams; ++s) {
      const uint8_t* p = bytes + s * part + i;
      _mm_prefetch(p + 1024, _MM_HINT_T0);
      _mm_prefetch(p + 1088, _MM_HINT_T0);
      for (int64_t j = 0; j < 128; j += 32) {
        const auto* at = reinterpret_cast<const __m256i_u*>(p + j);
        sums[s] = _mm256_add_epi64(sums[s], _mm256_loadu_si256(at));
      }
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

__attribute__((target("avx512f,avx512vnni"))) void bytes_512() {
  __m512i acc[kChains] = {};
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) __asm__ volatile("" : "+v"(acc[c]));
  const __m512i factor = _mm512_set1_epi8(1);
  for (int64_t i = 0; i < kSteps; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) acc[c] = _mm512_dpbusd_epi32(acc[c], factor, factor);
  }
  keep(acc);
}

// Four chains of 16 bits, eight steps each, then their sums.
constexpr int kNarrowChains = 4;
constexpr int kNarrowSteps = 8;
__attribute__((target("avx2"))) void bytes_256() {
  __m256i total[kNarrowChains] = {};
  __m256i codes = _mm256_set1_epi8(1);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < kSteps / kNarrowSteps; ++i) {
    __m256i acc[kNarrowChains] = {};
#pragma GCC unroll 16
    for (int s = 0; s < kNarrowSteps; ++s) {
#pragma GCC unroll 16
      for (int c = 0; c < kNarrowChains; ++c) {
        __asm__ volatile("" : "+x"(codes));  // or one product would do for all
        acc[c] = _mm256_add_epi16(acc[c], _mm256_maddubs_epi16(codes, ones));
      }
    }
#pragma GCC unroll 16
    for (int c = 0; c < kNarrowChains; ++c) {
      total[c] = _mm256_add_epi32(total[c], _mm256_madd_epi16(acc[c], ones));
    }
  }
  keep(total);
}

// The best of 30 runs.
double best_seconds(ThreadPool& pool, void (*work)()) {
  struct Job {
    void (*work)();
  } job{work};
  double best = 1e9;
  for (int pass = 0; pass < 30; ++pass) {
    const double took = seconds_of(
        pool, [](void* context, int) { static_cast<const Job*>(context)->work(); }, &job);
    best = std::min(best, took);
  }
  return best;
}

}  // namespace

double dram_read_seconds(ThreadPool& pool, std::span<const uint8_t> bytes) {
  struct Job {
    std::span<const uint8_t> bytes;
    int workers;
  } job{bytes, pool.size()};
  return seconds_of(
      pool,
      [](void* context, int worker) {
        const Job& j = *static_cast<Job*>(context);
        const Share share = share_of(static_cast<int64_t>(j.bytes.size()), 4096, worker, j.workers);
        read_all(j.bytes.data() + share.begin, share.end - share.begin);
      },
      &job);
}

double fma_probe(ThreadPool& pool, std::string_view isa) {
  const bool wide = isa == "avx512";
  if (!wide && isa != "avx2") return 0;
  const double lanes = wide ? 16 : 8;
  const double operations = 2.0 * lanes * kChains * kSteps * pool.size();
  return operations / best_seconds(pool, wide ? fma_512 : fma_256);
}

double byte_probe(ThreadPool& pool, std::string_view isa) {
  if (isa == "avx512vnni") {
    return 2.0 * 64 * kChains * kSteps * pool.size() / best_seconds(pool, bytes_512);
  }
  if (isa == "avx2") {
    return 2.0 * 32 * kNarrowChains * kSteps * pool.size() / best_seconds(pool, bytes_256);
  }
  return 0;
}

}  // namespace phial

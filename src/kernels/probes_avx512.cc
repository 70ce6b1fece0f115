#include "kernels/isa_unit.h"
#include "kernels/probe_tables.h"

#if defined(__GNUC__) && !defined(__clang__)
// gcc 12's own intrinsics make "undefined" registers from themselves (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx512 {

using Words = __m512i;
constexpr int kWordBytes = 64;
PHIAL_INLINE Words zero_words() { return _mm512_setzero_si512(); }
PHIAL_INLINE Words load_words(const uint8_t* p) { return _mm512_loadu_si512(p); }
PHIAL_INLINE Words add_words(Words a, Words b) { return _mm512_add_epi64(a, b); }
PHIAL_INLINE uint64_t sum_words(Words words) {
  uint64_t lanes[8];
  _mm512_storeu_si512(lanes, words);
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}
PHIAL_INLINE void prefetch_line(const uint8_t* p) { _mm_prefetch(p, _MM_HINT_T0); }

template <class Register>
PHIAL_INLINE void opaque(Register& value) {
  __asm__ volatile("" : "+v"(value));
}

using Floats = __m512;
constexpr int kFloats = 16;
PHIAL_INLINE Floats zero_floats() { return _mm512_setzero_ps(); }
PHIAL_INLINE Floats one_floats() { return _mm512_set1_ps(1); }
PHIAL_INLINE Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
PHIAL_INLINE uint64_t sum_floats(Floats floats) {
  float lanes[kFloats];
  _mm512_storeu_ps(lanes, floats);
  uint64_t sum = 0;
  for (const float lane : lanes) sum += static_cast<uint64_t>(lane);
  return sum;
}

using Bytes = __m512i;
using Halves = __m512i;
using Sums = __m512i;
constexpr int kBytes = 64;
PHIAL_INLINE Bytes ones_bytes() { return _mm512_set1_epi8(1); }
PHIAL_INLINE Sums zero_sums() { return _mm512_setzero_si512(); }
PHIAL_INLINE Halves multiply_bytes(Bytes a, Bytes b) {
  Halves out;
  __asm__ volatile("vpmaddubsw %2, %1, %0" : "=v"(out) : "v"(a), "v"(b));
  return out;
}
PHIAL_INLINE Halves add_halves(Halves a, Halves b) { return _mm512_add_epi16(a, b); }
PHIAL_INLINE Sums widen(Halves halves) { return _mm512_madd_epi16(halves, _mm512_set1_epi16(1)); }
PHIAL_INLINE Sums add_sums(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
PHIAL_INLINE uint64_t total(Sums sums) {
  uint32_t lanes[16];
  _mm512_storeu_si512(lanes, sums);
  uint64_t sum = 0;
  for (const uint32_t lane : lanes) sum += lane;
  return sum;
}

#include "kernels/body_probes.inl"

// Latency 4 or 5 at two per cycle.
constexpr int kChains = 16;

// A function of its own target: the unit is compiled without these.
__attribute__((target("avx512vnni"))) uint64_t vnni_probe(int64_t steps) {
  Sums sums[kChains];
  PHIAL_UNROLL
  for (int c = 0; c < kChains; ++c) opaque(sums[c] = zero_sums());
  Bytes one = ones_bytes();
  opaque(one);
  for (int64_t i = 0; i < steps; ++i) {
    PHIAL_UNROLL
    for (int c = 0; c < kChains; ++c) sums[c] = _mm512_dpbusd_epi32(sums[c], one, one);
  }
  uint64_t products = 0;
  PHIAL_UNROLL
  for (int c = 0; c < kChains; ++c) products += total(sums[c]);
  return products;
}

__attribute__((target("avx512bf16"))) uint64_t bf16_probe(int64_t steps) {
  Floats sums[kChains];
  PHIAL_UNROLL
  for (int c = 0; c < kChains; ++c) opaque(sums[c] = zero_floats());
  __m512i ones = _mm512_set1_epi16(0x3F80);
  opaque(ones);
  const auto one = reinterpret_cast<__m512bh>(ones);
  for (int64_t i = 0; i < steps; ++i) {
    PHIAL_UNROLL
    for (int c = 0; c < kChains; ++c) sums[c] = _mm512_dpbf16_ps(sums[c], one, one);
  }
  uint64_t products = 0;
  PHIAL_UNROLL
  for (int c = 0; c < kChains; ++c) products += sum_floats(sums[c]);
  return products;
}

}  // namespace avx512
}  // namespace

constexpr ProbeTable kAvx512Probes = {
    .isa = "avx512",
    .read = avx512::read_probe,
    .fma = {"vfmadd231ps zmm", avx512::kFmaChains* avx512::kFloats, avx512::fma_probe},
    .int8 = {"vpmaddubsw zmm, vpaddw; vpmaddwd, vpaddd after 8",
             8 * avx512::kByteChains* avx512::kBytes, avx512::bytes_probe<8>},
    .int8_wide = {"vpmaddubsw zmm, vpmaddwd, vpaddd", avx512::kByteChains* avx512::kBytes,
                  avx512::bytes_probe<1>},
    .bf16 = {nullptr, 0, nullptr},
};
constexpr ArithmeticProbe kAvx512VnniProbe = {"vpdpbusd zmm", avx512::kChains* avx512::kBytes,
                                              avx512::vnni_probe};
constexpr ArithmeticProbe kAvx512Bf16Probe = {"vdpbf16ps zmm", 2 * avx512::kChains* avx512::kFloats,
                                              avx512::bf16_probe};

}  // namespace phial
#endif

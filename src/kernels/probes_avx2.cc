#include "kernels/isa_unit.h"
#include "kernels/probe_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace phial {
namespace {
namespace avx2 {

using Words = __m256i;
constexpr int kWordBytes = 32;
PHIAL_INLINE Words zero_words() { return _mm256_setzero_si256(); }
PHIAL_INLINE Words load_words(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p));
}
PHIAL_INLINE Words add_words(Words a, Words b) { return _mm256_add_epi64(a, b); }
PHIAL_INLINE uint64_t sum_words(Words words) {
  uint64_t lanes[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(lanes), words);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}
PHIAL_INLINE void prefetch_line(const uint8_t* p) { _mm_prefetch(p, _MM_HINT_T0); }

template <class Register>
PHIAL_INLINE void opaque(Register& value) {
  __asm__ volatile("" : "+x"(value));
}

using Floats = __m256;
constexpr int kFloats = 8;
PHIAL_INLINE Floats zero_floats() { return _mm256_setzero_ps(); }
PHIAL_INLINE Floats one_floats() { return _mm256_set1_ps(1); }
PHIAL_INLINE Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
PHIAL_INLINE uint64_t sum_floats(Floats floats) {
  float lanes[kFloats];
  _mm256_storeu_ps(lanes, floats);
  uint64_t sum = 0;
  for (const float lane : lanes) sum += static_cast<uint64_t>(lane);
  return sum;
}

using Bytes = __m256i;
using Halves = __m256i;
using Sums = __m256i;
constexpr int kBytes = 32;
PHIAL_INLINE Bytes ones_bytes() { return _mm256_set1_epi8(1); }
PHIAL_INLINE Sums zero_sums() { return _mm256_setzero_si256(); }
PHIAL_INLINE Halves multiply_bytes(Bytes a, Bytes b) {
  Halves out;
  __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(out) : "x"(a), "x"(b));
  return out;
}
PHIAL_INLINE Halves add_halves(Halves a, Halves b) { return _mm256_add_epi16(a, b); }
PHIAL_INLINE Sums widen(Halves halves) { return _mm256_madd_epi16(halves, _mm256_set1_epi16(1)); }
PHIAL_INLINE Sums add_sums(Sums a, Sums b) { return _mm256_add_epi32(a, b); }
PHIAL_INLINE uint64_t total(Sums sums) {
  uint32_t lanes[8];
  _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(lanes), sums);
  uint64_t sum = 0;
  for (const uint32_t lane : lanes) sum += lane;
  return sum;
}

#include "kernels/body_probes.inl"

// Latency 4 or 5 at two per cycle; with the factor they fit 16 registers.
constexpr int kChains = 12;

// A function of its own target: the unit is compiled without it.
__attribute__((target("avxvnni"))) uint64_t vnni_probe(int64_t steps) {
  Sums sums[kChains];
  PHIAL_UNROLL
  for (int c = 0; c < kChains; ++c) opaque(sums[c] = zero_sums());
  Bytes one = ones_bytes();
  opaque(one);
  for (int64_t i = 0; i < steps; ++i) {
    PHIAL_UNROLL
    for (int c = 0; c < kChains; ++c) sums[c] = _mm256_dpbusd_avx_epi32(sums[c], one, one);
  }
  uint64_t products = 0;
  PHIAL_UNROLL
  for (int c = 0; c < kChains; ++c) products += total(sums[c]);
  return products;
}

}  // namespace avx2
}  // namespace

constexpr ProbeTable kAvx2Probes = {
    .isa = "avx2",
    .read = avx2::read_probe,
    .fma = {"vfmadd231ps ymm", avx2::kFmaChains* avx2::kFloats, avx2::fma_probe},
    .int8 = {"vpmaddubsw ymm, vpaddw; vpmaddwd, vpaddd after 8",
             8 * avx2::kByteChains* avx2::kBytes, avx2::bytes_probe<8>},
    .int8_wide = {"vpmaddubsw ymm, vpmaddwd, vpaddd", avx2::kByteChains* avx2::kBytes,
                  avx2::bytes_probe<1>},
    .bf16 = {nullptr, 0, nullptr},
};
constexpr ArithmeticProbe kAvxVnniProbe = {"vpdpbusd ymm", avx2::kChains* avx2::kBytes,
                                           avx2::vnni_probe};

}  // namespace phial
#endif

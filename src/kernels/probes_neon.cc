#include "kernels/isa_unit.h"
#include "kernels/probe_tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace phial {
namespace {
namespace neon {

using Words = uint64x2_t;
constexpr int kWordBytes = 16;
PHIAL_INLINE Words zero_words() { return vdupq_n_u64(0); }
PHIAL_INLINE Words load_words(const uint8_t* p) { return vreinterpretq_u64_u8(vld1q_u8(p)); }
PHIAL_INLINE Words add_words(Words a, Words b) { return vaddq_u64(a, b); }
PHIAL_INLINE uint64_t sum_words(Words words) { return vaddvq_u64(words); }
PHIAL_INLINE void prefetch_line(const uint8_t* p) { __builtin_prefetch(p); }

template <class Register>
PHIAL_INLINE void opaque(Register& value) {
  __asm__ volatile("" : "+w"(value));
}

using Floats = float32x4_t;
constexpr int kFloats = 4;
PHIAL_INLINE Floats zero_floats() { return vdupq_n_f32(0); }
PHIAL_INLINE Floats one_floats() { return vdupq_n_f32(1); }
PHIAL_INLINE Floats multiply_add(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
PHIAL_INLINE uint64_t sum_floats(Floats floats) {
  float lanes[kFloats];
  vst1q_f32(lanes, floats);
  uint64_t sum = 0;
  for (const float lane : lanes) sum += static_cast<uint64_t>(lane);
  return sum;
}

// Every AArch64 processor has these; the lower halves of two registers at a time.
using Bytes = int8x8_t;
using Halves = int16x8_t;
using Sums = int32x4_t;
constexpr int kBytes = 8;
PHIAL_INLINE Bytes ones_bytes() { return vdup_n_s8(1); }
PHIAL_INLINE Sums zero_sums() { return vdupq_n_s32(0); }
PHIAL_INLINE Halves multiply_bytes(Bytes a, Bytes b) {
  Halves out;
  __asm__ volatile("smull %0.8h, %1.8b, %2.8b" : "=w"(out) : "w"(a), "w"(b));
  return out;
}
PHIAL_INLINE Halves add_halves(Halves a, Halves b) { return vaddq_s16(a, b); }
PHIAL_INLINE Sums widen(Halves halves) { return vpaddlq_s16(halves); }
PHIAL_INLINE Sums add_sums(Sums a, Sums b) { return vaddq_s32(a, b); }
PHIAL_INLINE uint64_t total(Sums sums) { return static_cast<uint64_t>(vaddvq_s32(sums)); }

#include "kernels/body_probes.inl"

// Latency 3 or 4 at up to four per cycle.
constexpr int kChains = 16;

template <class MultiplyAdd>
PHIAL_INLINE uint64_t sums_probe(int64_t steps, const MultiplyAdd& multiply_add) {
  Sums sums[kChains];
  PHIAL_UNROLL
  for (int c = 0; c < kChains; ++c) opaque(sums[c] = zero_sums());
  int8x16_t one = vdupq_n_s8(1);
  opaque(one);
  for (int64_t i = 0; i < steps; ++i) {
    PHIAL_UNROLL
    for (int c = 0; c < kChains; ++c) multiply_add(sums[c], one);
  }
  uint64_t products = 0;
  PHIAL_UNROLL
  for (int c = 0; c < kChains; ++c) products += total(sums[c]);
  return products;
}

// As text: the unit is compiled for processors without these instructions.
uint64_t dotprod_probe(int64_t steps) {
  return sums_probe(
      steps, [](Sums & sums, int8x16_t one) __attribute__((always_inline)) {
        __asm__(".arch armv8.2-a+dotprod\nsdot %0.4s, %1.16b, %1.16b" : "+w"(sums) : "w"(one));
      });
}
uint64_t i8mm_probe(int64_t steps) {
  return sums_probe(
      steps, [](Sums & sums, int8x16_t one) __attribute__((always_inline)) {
        __asm__(".arch armv8.2-a+i8mm\nusmmla %0.4s, %1.16b, %1.16b" : "+w"(sums) : "w"(one));
      });
}

}  // namespace neon
}  // namespace

constexpr ProbeTable kNeonProbes = {
    .isa = "neon",
    .read = neon::read_probe,
    .fma = {"fmla 4s", neon::kFmaChains* neon::kFloats, neon::fma_probe},
    .int8 = {"smull 8h, add; saddlp, add after 8", 8 * neon::kByteChains* neon::kBytes,
             neon::bytes_probe<8>},
    .int8_wide = {"smull 8h, saddlp, add", neon::kByteChains* neon::kBytes, neon::bytes_probe<1>},
    .bf16 = {nullptr, 0, nullptr},
};
constexpr ArithmeticProbe kDotprodProbe = {"sdot 4s", neon::kChains * 16, neon::dotprod_probe};
constexpr ArithmeticProbe kI8mmProbe = {"usmmla 4s", neon::kChains * 32, neon::i8mm_probe};

}  // namespace phial
#endif

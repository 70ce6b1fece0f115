// What products of bfloat16 need beside vec_avx512.inl, over AVX512_BF16:
//
//   Pairs              kLanes pairs of bfloat16 (kernels/bf16.h)
//   load_pairs_of, load_first_pairs, store_pairs, broadcast_pair
//   add_products(sum, a, b)   + both products of each lane
//   pairs_of(low, high)       rounded to nearest, ties to even
//   neighbours(first, second) the same of lanes 0, 1 of `first`, 2, 3 ... and then of `second`

using Pairs = __m512i;

PHIAL_INLINE Pairs load_pairs_of(const uint32_t* p) { return _mm512_loadu_si512(p); }
PHIAL_INLINE Pairs load_first_pairs(const uint32_t* p, int64_t n) {
  return _mm512_maskz_loadu_epi32(first_lanes(n), p);
}
PHIAL_INLINE void store_pairs(uint32_t* p, Pairs pairs) { _mm512_storeu_si512(p, pairs); }
PHIAL_INLINE Pairs broadcast_pair(uint32_t pair) {
  return _mm512_set1_epi32(static_cast<int>(pair));
}
PHIAL_INLINE Vec add_products(Vec sum, Pairs a, Pairs b) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
PHIAL_INLINE Pairs pairs_of(Vec low, Vec high) {
  const Pairs l = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(low)));
  const Pairs h = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(high)));
  return _mm512_or_si512(l, _mm512_slli_epi32(h, 16));
}
PHIAL_INLINE Pairs neighbours(Vec first, Vec second) {
  return reinterpret_cast<Pairs>(_mm512_cvtne2ps_pbh(second, first));
}

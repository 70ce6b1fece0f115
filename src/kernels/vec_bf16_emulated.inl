// vec_bf16_avx512.inl over two halves of 8 lanes. The instruction's way with numbers below 2^-126
// is not emulated, nor the order of its two sums.

struct Pairs {
  __m256i lo, hi;
};

PHIAL_INLINE Pairs load_pairs_of(const uint32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p + 8))};
}
PHIAL_INLINE Pairs load_first_pairs(const uint32_t* p, int64_t n) {
  const int* at = reinterpret_cast<const int*>(p);
  return {_mm256_maskload_epi32(at, half::first_lanes(below(n))),
          _mm256_maskload_epi32(at + 8, half::first_lanes(above(n)))};
}
PHIAL_INLINE void store_pairs(uint32_t* p, Pairs pairs) {
  _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(p), pairs.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(p + 8), pairs.hi);
}
PHIAL_INLINE Pairs broadcast_pair(uint32_t pair) {
  const __m256i word = _mm256_set1_epi32(static_cast<int>(pair));
  return {word, word};
}

PHIAL_INLINE half::Vec low_floats(__m256i pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}
PHIAL_INLINE half::Vec high_floats(__m256i pairs) {
  return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(-65536)));
}
PHIAL_INLINE half::Vec add_half(half::Vec sum, __m256i a, __m256i b) {
  return half::fma(high_floats(a), high_floats(b), half::fma(low_floats(a), low_floats(b), sum));
}
PHIAL_INLINE Vec add_products(Vec sum, Pairs a, Pairs b) {
  return {add_half(sum.lo, a.lo, b.lo), add_half(sum.hi, a.hi, b.hi)};
}

// The nearest bfloat16 in the low half of each lane; NaN quiet.
PHIAL_INLINE __m256i nearest_bf16(half::Vec v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, up), 16);
  const __m256i unordered = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), unordered);
}
PHIAL_INLINE __m256i half_pairs(half::Vec low, half::Vec high) {
  return _mm256_or_si256(nearest_bf16(low), _mm256_slli_epi32(nearest_bf16(high), 16));
}
PHIAL_INLINE Pairs pairs_of(Vec low, Vec high) {
  return {half_pairs(low.lo, high.lo), half_pairs(low.hi, high.hi)};
}
// Narrowing works inside each 128-bit half.
PHIAL_INLINE __m256i half_neighbours(half::Vec first, half::Vec second) {
  const __m256i halves = _mm256_packus_epi32(nearest_bf16(first), nearest_bf16(second));
  return _mm256_permute4x64_epi64(halves, 0xd8);
}
PHIAL_INLINE Pairs neighbours(Vec first, Vec second) {
  return {half_neighbours(first.lo, first.hi), half_neighbours(second.lo, second.hi)};
}

// What attention needs beyond the vector vocabulary (vec_avx2.inl), over AVX2. All have:
//
//   kDotsRows           rows of planes that a register tile takes
//   Codes               4 * kLanes bytes;  load_code_lanes, broadcast_four (4 bytes for all lanes)
//   Dots                kLanes sums in int32;  dots_of(value)
//   dot4(sum, codes, planes)   + the 4 products of unsigned codes and signed planes in each lane;
//                       exact for |planes| <= 64
//   add_times_128(a, b) a + 128 b
//   to_float            rounded to nearest
//   add, sum            of Dots; sum over the lanes
//   put_planes(v, hi, lo)   v, rounded to the nearest integers w, |w| <= 8191, as 128 hi + lo,
//                       -64 <= lo < 64, kLanes bytes each; returns w. NaN gives anything
//   load_bf16_pairs     kLanes pairs of bfloat16: the first ones, the second ones
//   put_bytes           integral lanes of -128 .. 255, kLanes bytes; NaN gives any byte
//   put_f16, put_bf16   rounded to nearest, ties to even; NaN stays NaN
//   unpack_nibble_codes the low halves c, and the high ones, of 64 bytes as 2 c + 113

constexpr int kDotsRows = 1;

using Codes = __m256i;
using Dots = __m256i;

PHIAL_INLINE Codes load_code_lanes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p));
}
PHIAL_INLINE Codes broadcast_four(const int8_t* p) {
  int four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm256_set1_epi32(four);
}
PHIAL_INLINE Dots dots_of(int32_t value) { return _mm256_set1_epi32(value); }
PHIAL_INLINE Dots dot4(Dots sum, Codes codes, Codes planes) {
  const __m256i pairs = _mm256_maddubs_epi16(codes, planes);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
PHIAL_INLINE Dots add_times_128(Dots a, Dots b) {
  return _mm256_add_epi32(a, _mm256_slli_epi32(b, 7));
}

PHIAL_INLINE Dots add(Dots a, Dots b) { return _mm256_add_epi32(a, b); }
PHIAL_INLINE int32_t sum(Dots d) {
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(d), _mm256_extracti128_si256(d, 1));
  const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}
PHIAL_INLINE Dots put_planes(Vec v, int8_t* hi, int8_t* lo) {
  const __m256i whole = _mm256_cvtps_epi32(v);
  const __m256i high = _mm256_srai_epi32(_mm256_add_epi32(whole, _mm256_set1_epi32(64)), 7);
  const __m256i low = _mm256_sub_epi32(whole, _mm256_slli_epi32(high, 7));
  // Of each half: four bytes of hi, four of lo.
  const __m256i halves = _mm256_packs_epi32(high, low);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(halves, halves),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 0, 0, 0, 0));
  const __m128i both = _mm256_castsi256_si128(bytes);
  _mm_storel_epi64(reinterpret_cast<__m128i_u*>(hi), both);
  _mm_storel_epi64(reinterpret_cast<__m128i_u*>(lo), _mm_unpackhi_epi64(both, both));
  return whole;
}

PHIAL_INLINE void load_bf16_pairs(const uint8_t* p, Vec (&out)[2]) {
  const __m256i pairs = load_code_lanes(p);
  out[0] = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
  out[1] = _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(-65536)));
}
PHIAL_INLINE void put_bytes(uint8_t* p, Vec v) {
  const __m256i first =
      _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1,
                       -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i bytes = _mm256_shuffle_epi8(_mm256_cvtps_epi32(v), first);
  const __m128i all =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i_u*>(p), all);
}
PHIAL_INLINE void put_f16(uint8_t* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i_u*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
PHIAL_INLINE void put_bf16(uint8_t* p, Vec v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
  const __m256i unordered = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i halves = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), unordered);
  const __m128i packed =
      _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i_u*>(p), packed);
}
PHIAL_INLINE void unpack_nibble_codes(const uint8_t* p, uint8_t* low, uint8_t* high) {
  const __m256i mask = _mm256_set1_epi8(0x1e), base = _mm256_set1_epi8(113);
  PHIAL_UNROLL
  for (int i = 0; i < 64; i += 32) {
    const __m256i bytes = load_code_lanes(p + i);
    const __m256i twice = _mm256_and_si256(_mm256_slli_epi16(bytes, 1), mask);
    const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 3), mask);
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(low + i), _mm256_add_epi8(twice, base));
    _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(high + i), _mm256_add_epi8(upper, base));
  }
}

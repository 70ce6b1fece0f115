// What attention needs beyond the vector vocabulary (see vec_dots_avx2.inl), over AVX-512. dot4 is
// one instruction where the unit is built for AVX512_VNNI.

// Two planes of two rows and four columns are 16 accumulators. With three rows, which would fit,
// gcc 12 keeps some of them on the stack.
constexpr int kDotsRows = 2;

using Codes = __m512i;
using Dots = __m512i;

PHIAL_INLINE Codes load_code_lanes(const uint8_t* p) { return _mm512_loadu_si512(p); }
PHIAL_INLINE Codes broadcast_four(const int8_t* p) {
  int four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}
PHIAL_INLINE Dots dots_of(int32_t value) { return _mm512_set1_epi32(value); }
PHIAL_INLINE Dots dot4(Dots sum, Codes codes, Codes planes) {
#if defined(__AVX512VNNI__)
  return _mm512_dpbusd_epi32(sum, codes, planes);
#else
  const __m512i pairs = _mm512_maddubs_epi16(codes, planes);
  return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
#endif
}
PHIAL_INLINE Dots add_times_128(Dots a, Dots b) {
  return _mm512_add_epi32(a, _mm512_slli_epi32(b, 7));
}

PHIAL_INLINE Dots add(Dots a, Dots b) { return _mm512_add_epi32(a, b); }
PHIAL_INLINE int32_t sum(Dots d) { return _mm512_reduce_add_epi32(d); }
PHIAL_INLINE Dots put_planes(Vec v, int8_t* hi, int8_t* lo) {
  const __m512i whole = _mm512_cvtps_epi32(v);
  const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(64)), 7);
  const __m512i low = _mm512_sub_epi32(whole, _mm512_slli_epi32(high, 7));
  _mm_storeu_si128(reinterpret_cast<__m128i_u*>(hi), _mm512_cvtepi32_epi8(high));
  _mm_storeu_si128(reinterpret_cast<__m128i_u*>(lo), _mm512_cvtepi32_epi8(low));
  return whole;
}

PHIAL_INLINE void load_bf16_pairs(const uint8_t* p, Vec (&out)[2]) {
  const __m512i pairs = load_code_lanes(p);
  out[0] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  out[1] = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536)));
}
PHIAL_INLINE void put_bytes(uint8_t* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i_u*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
PHIAL_INLINE void put_f16(uint8_t* p, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(p),
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
PHIAL_INLINE void put_bf16(uint8_t* p, Vec v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
  const __m512i halves = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), rounded,
                                                 _mm512_set1_epi32(0x7fc0));
  _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(p), _mm512_cvtepi32_epi16(halves));
}
PHIAL_INLINE void unpack_nibble_codes(const uint8_t* p, uint8_t* low, uint8_t* high) {
  const __m512i mask = _mm512_set1_epi8(0x1e), base = _mm512_set1_epi8(113);
  const __m512i bytes = load_code_lanes(p);
  const __m512i twice = _mm512_and_si512(_mm512_slli_epi16(bytes, 1), mask);
  const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(bytes, 3), mask);
  _mm512_storeu_si512(low, _mm512_add_epi8(twice, base));
  _mm512_storeu_si512(high, _mm512_add_epi8(upper, base));
}

// The part of the vector vocabulary that AVX2 and AVX-512 share: the 32 codes of a chunk as bytes.

using ByteCodes = __m256i;

PHIAL_INLINE ByteCodes load_codes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p));
}
PHIAL_INLINE ByteCodes load_nibble_codes(const uint8_t* p) {
  const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p));
  const __m256i both = _mm256_set_m128i(_mm_srli_epi16(low, 4), low);
  return _mm256_and_si256(both, _mm256_set1_epi8(15));
}
PHIAL_INLINE ByteCodes codes_and(ByteCodes c, int mask) {
  return _mm256_and_si256(c, _mm256_set1_epi8(static_cast<char>(mask)));
}
PHIAL_INLINE ByteCodes codes_or(ByteCodes a, ByteCodes b) { return _mm256_or_si256(a, b); }
PHIAL_INLINE ByteCodes codes_minus(ByteCodes c, int number) {
  return _mm256_sub_epi8(c, _mm256_set1_epi8(static_cast<char>(number)));
}
// There are no shifts of bytes: bits of a neighbour come in.
PHIAL_INLINE ByteCodes field(ByteCodes c, int shift, int mask) {
  return codes_and(_mm256_srl_epi16(c, _mm_cvtsi32_si128(shift)), mask);
}
template <int kShift>
PHIAL_INLINE ByteCodes raise(ByteCodes c) {
  return _mm256_slli_epi16(c, kShift);
}
PHIAL_INLINE ByteCodes fifth_bits(uint32_t word) {
  const __m256i byte_of_lane = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2,
                                                2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit_of_lane = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  const __m256i bytes =
      _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(word)), byte_of_lane);
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of_lane), bit_of_lane);
  return codes_and(set, 16);
}

// The vocabulary of the packed kernels over AVX-512 VNNI, beside vec_avx512.inl: 16 weight rows to
// a register. vec_packed_avx2.inl says what the names mean.

using Words = __m512i;

constexpr int kDirectTileRows = 8;
constexpr int kHighTileRows = 4;
constexpr int kGemmTileRows = 7;
constexpr int kGemmTileVecs = 2;
constexpr bool kGemmPairedChunks = true;
constexpr bool kPartsInRegisters = true;

// Registers of weights in flight for `rows` rows of inputs, beside `others` registers.
constexpr int direct_vecs(int, int rows, int others) { return 4 * rows + 4 + others <= 31 ? 4 : 2; }
constexpr bool has_direct_registers(int rows) { return rows <= 3; }

// Bytes of 0 ... 255 times int8, four products to a sum: in one instruction, whatever the codes.
constexpr bool kPartsAreTotals = true;
constexpr int part_steps(int) { return kSlabColumns / 4; }
constexpr int code_bias(int) { return 0; }

PHIAL_INLINE void own_register(Words& w) { __asm__ volatile("" : "+v"(w)); }
PHIAL_INLINE void own_register(Vec& v) { __asm__ volatile("" : "+v"(v)); }
PHIAL_INLINE Words load_words(const uint8_t* p) { return _mm512_loadu_si512(p); }
PHIAL_INLINE void store_words(uint8_t* p, Words w) { _mm512_storeu_si512(p, w); }
PHIAL_INLINE Words words_of(int32_t word) { return _mm512_set1_epi32(word); }
template <int M, int m>
PHIAL_INLINE Words input_word(const int32_t* words) {
  return words_of(words[m]);
}
PHIAL_INLINE Vec float_of(Words w) { return _mm512_cvtepi32_ps(w); }

PHIAL_INLINE Words nearest_words(Vec v) { return _mm512_cvtps_epi32(v); }
PHIAL_INLINE Words low_halves(Words first, Words second) {
  return _mm512_mask_blend_epi16(0xaaaaaaaau, first, _mm512_slli_epi32(second, 16));
}
PHIAL_INLINE Words two_words(const int32_t* words) {
  // gcc 12 may go through a general register, which takes the place of a product.
  using Two = int32_t[2];
  Words w;
  __asm__("vpbroadcastq %1, %0" : "=v"(w) : "m"(*reinterpret_cast<const Two*>(words)));
  return w;
}
PHIAL_INLINE Words zip_low(Words a, Words b) { return _mm512_unpacklo_epi32(a, b); }
PHIAL_INLINE Words zip_high(Words a, Words b) { return _mm512_unpackhi_epi32(a, b); }
PHIAL_INLINE Words narrow_zipped(Words low, Words high) { return _mm512_packs_epi32(low, high); }
PHIAL_INLINE Words multiply_add_halves(Words sum, Words a, Words b) {
  return _mm512_dpwssd_epi32(sum, a, b);
}

template <int kShift, int kMask>
PHIAL_INLINE Words byte_field(Words w) {
  const Words mask = _mm512_set1_epi8(static_cast<char>(kMask));
  return _mm512_and_si512(kShift == 0 ? w : _mm512_srli_epi16(w, kShift), mask);
}
PHIAL_INLINE Words bytes_from(Words w, int bit) {
  return _mm512_srl_epi16(w, _mm_cvtsi32_si128(bit));
}
template <int kShift, int kMask, int kRaise>
PHIAL_INLINE Words or_field(Words base, Words w) {
  const Words mask = _mm512_set1_epi8(static_cast<char>(kMask << kRaise));
  const Words moved = kRaise >= kShift ? _mm512_slli_epi16(w, kRaise - kShift)
                                       : _mm512_srli_epi16(w, kShift - kRaise);
  return _mm512_ternarylogic_epi32(base, moved, mask, 0xf8);
}
using ByteTable = __m512i;
PHIAL_INLINE ByteTable load_table(const uint8_t (&table)[16]) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(table)));
}
PHIAL_INLINE Words look_up(ByteTable table, Words places) {
  return _mm512_shuffle_epi8(table, places);
}

using Part = __m512i;
template <int kTop>
PHIAL_INLINE Words as_factor(Words codes) {
  return codes;
}
template <int kTop>
PHIAL_INLINE Part multiply_add(Part part, Words codes, Words, Words inputs) {
  return _mm512_dpbusd_epi32(part, codes, inputs);
}
PHIAL_INLINE Part begin_part(Words total) { return total; }
PHIAL_INLINE Words end_part(Part part, Words) { return part; }

PHIAL_INLINE Vec larger_magnitude(Vec a, Vec b) {
  const Words sign = _mm512_set1_epi32(0x7fffffff);
  return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(a), sign),
                                              _mm512_and_si512(_mm512_castps_si512(b), sign)));
}
PHIAL_INLINE float largest_magnitude(Vec v) {
  return __builtin_bit_cast(float, _mm512_reduce_max_epi32(_mm512_castps_si512(v)));
}
// Lanes of `a` where the magnitude has an inverse, else 0.
PHIAL_INLINE Vec where_inverse(Vec magnitude, Vec a) {
  const __mmask16 lanes =
      _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(0x1p-100f), _CMP_GE_OQ) &
      _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
  return _mm512_maskz_mov_ps(lanes, a);
}
PHIAL_INLINE void store_codes(int8_t* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i_u*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

// Values of four columns from words of four codes.
template <int kColumn>
PHIAL_INLINE Vec code_column(Words w) {
  const Words shifted = _mm512_srli_epi32(w, 8 * kColumn);
  return _mm512_cvtepi32_ps(_mm512_and_si512(shifted, _mm512_set1_epi32(0xff)));
}
PHIAL_INLINE Vec bf16_low(Words w) { return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)); }
PHIAL_INLINE Vec bf16_high(Words w) {
  return _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}
PHIAL_INLINE Bytes bits_or(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }

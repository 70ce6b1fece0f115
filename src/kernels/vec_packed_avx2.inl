// The vocabulary of the packed kernels over AVX2, and AVX-VNNI where the unit is built for it,
// beside vec_avx2.inl: 8 weight rows to a register.
//
//   Words            kLanes words: of a weight row's 4 codes, of 4 input codes, or an int32
//   kDirectTileRows, kGemmTileRows   rows of inputs in a tile
//   kHighTileRows    rows whose high codes are multiplied together, a power of two
//   direct_vecs(top, rows, others)   registers of weights in flight for that many rows, where
//                    `others` are taken
//   has_direct_registers(rows)   whether there are registers for the sums of that many rows of
//                    inputs with all rows of a panel, and for their float32 parts
//   kPartsInRegisters  gemm has registers for float32 parts beside those of the sums
//   part_steps(top)  steps whose products of codes 0 ... top may be added before they are widened
//   kPartsAreTotals  Part is Words, and begin_part and end_part do nothing
//   code_bias(top)   what products lack: they are of code - code_bias
//   byte_field<shift, mask>(w)          the bits of each byte
//   bytes_from(w, bit)   each byte's bits from that one on, 0 ... 7, and whatever else above them
//   or_field<shift, mask, raise>(b, w)  b | the same, times 2^raise
//   look_up          bytes of a table of 16
//   input_word<M, m>(words)  word m of a step's M, as multiply_add takes it
//   as_factor<top>   what multiply_add takes beside the codes, of the codes alone
//   begin_part(total), multiply_add, end_part(part, total)   total + the products of a part
//   larger_magnitude, largest_magnitude   by their bits: NaN is larger than infinity
//   where_inverse(magnitude, a)         a, or 0 where magnitude < 2^-100 or not finite
//   store_codes      lanes rounded to the nearest integer, as int8
//   kGemmPairedChunks   gemm reads paired tiles. Only where it does:
//   nearest_words    lanes rounded to the nearest integer
//   low_halves(a, b) the lower 16 bits of each word of a, and above them those of b
//   two_words(p)     two words, one after the other in all lanes
//   zip_low(a, b), zip_high   words of a and b in turn, of the first or the second half of every
//                    four lanes
//   narrow_zipped(low, high)  each two such words as int16 in one lane, in the order of a and b
//   multiply_add_halves(sum, a, b)   sum + the products of the lower and of the upper int16
//   code_column<i>   code i of each word, as float32; bf16_low, bf16_high: two bfloat16 of each

using Words = __m256i;

constexpr int kDirectTileRows = 4;
constexpr int kGemmTileVecs = 2;
constexpr bool kPartsInRegisters = false;
constexpr bool has_direct_registers(int) { return false; }
#if defined(__AVXVNNI__)
constexpr int kGemmTileRows = 6;
constexpr bool kGemmPairedChunks = true;
constexpr int kHighTileRows = 2;

// As in vec_packed_avx512vnni.inl, with 16 registers.
constexpr int direct_vecs(int, int rows, int others) { return 4 * rows + 5 + others <= 12 ? 4 : 2; }
constexpr bool kPartsAreTotals = true;
constexpr int part_steps(int) { return kSlabColumns / 4; }
constexpr int code_bias(int) { return 0; }
#else
constexpr int kGemmTileRows = 4;
constexpr bool kGemmPairedChunks = false;
constexpr int kHighTileRows = 1;

// Two products of a byte of at most `top` and one of at most 127 are added in 16 bits.
constexpr bool kPartsAreTotals = false;
constexpr int part_steps(int top) { return top <= 15 ? 8 : top <= 31 ? 4 : top <= 63 ? 2 : 1; }
// Larger codes are multiplied as two's complement: by their magnitude, with the input's sign
// turned.
constexpr int code_bias(int top) { return top > 63 ? 128 : 0; }
constexpr int direct_vecs(int top, int rows, int others) {
  return (rows <= 2 && rows * others <= 4 ? 4 : 2) / (part_steps(top) < 8 ? 2 : 1);
}
#endif

PHIAL_INLINE void own_register(Words& w) { __asm__ volatile("" : "+x"(w)); }
PHIAL_INLINE void own_register(Vec& v) { __asm__ volatile("" : "+x"(v)); }
PHIAL_INLINE Words load_words(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p));
}
PHIAL_INLINE void store_words(uint8_t* p, Words w) {
  _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(p), w);
}
PHIAL_INLINE Words words_of(int32_t word) { return _mm256_set1_epi32(word); }
template <int M, int m>
PHIAL_INLINE Words input_word(const int32_t* words) {
  return words_of(words[m]);
}
PHIAL_INLINE Vec float_of(Words w) { return _mm256_cvtepi32_ps(w); }

#if defined(__AVXVNNI__)
PHIAL_INLINE Words nearest_words(Vec v) { return _mm256_cvtps_epi32(v); }
PHIAL_INLINE Words low_halves(Words first, Words second) {
  return _mm256_blend_epi16(first, _mm256_slli_epi32(second, 16), 0xaa);
}
PHIAL_INLINE Words two_words(const int32_t* words) {
  using Two = int32_t[2];
  Words w;
  __asm__("vpbroadcastq %1, %0" : "=x"(w) : "m"(*reinterpret_cast<const Two*>(words)));
  return w;
}
PHIAL_INLINE Words zip_low(Words a, Words b) { return _mm256_unpacklo_epi32(a, b); }
PHIAL_INLINE Words zip_high(Words a, Words b) { return _mm256_unpackhi_epi32(a, b); }
PHIAL_INLINE Words narrow_zipped(Words low, Words high) { return _mm256_packs_epi32(low, high); }
PHIAL_INLINE Words multiply_add_halves(Words sum, Words a, Words b) {
  return _mm256_dpwssd_avx_epi32(sum, a, b);
}
#endif

template <int kShift, int kMask>
PHIAL_INLINE Words byte_field(Words w) {
  const Words mask = _mm256_set1_epi8(static_cast<char>(kMask));
  return _mm256_and_si256(kShift == 0 ? w : _mm256_srli_epi16(w, kShift), mask);
}
PHIAL_INLINE Words bytes_from(Words w, int bit) {
  return _mm256_srl_epi16(w, _mm_cvtsi32_si128(bit));
}
template <int kShift, int kMask, int kRaise>
PHIAL_INLINE Words or_field(Words base, Words w) {
  const Words mask = _mm256_set1_epi8(static_cast<char>(kMask << kRaise));
  const Words moved = kRaise >= kShift ? _mm256_slli_epi16(w, kRaise - kShift)
                                       : _mm256_srli_epi16(w, kShift - kRaise);
  return _mm256_or_si256(base, _mm256_and_si256(moved, mask));
}
using ByteTable = __m256i;
PHIAL_INLINE ByteTable load_table(const uint8_t (&table)[16]) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(table)));
}
PHIAL_INLINE Words look_up(ByteTable table, Words places) {
  return _mm256_shuffle_epi8(table, places);
}

using Part = __m256i;
#if defined(__AVXVNNI__)
template <int kTop>
PHIAL_INLINE Words as_factor(Words codes) {
  return codes;
}
template <int kTop>
PHIAL_INLINE Part multiply_add(Part part, Words codes, Words, Words inputs) {
  return _mm256_dpbusd_avx_epi32(part, codes, inputs);
}
PHIAL_INLINE Part begin_part(Words total) { return total; }
PHIAL_INLINE Words end_part(Part part, Words) { return part; }
#else
template <int kTop>
PHIAL_INLINE Words as_factor(Words codes) {
  if constexpr (code_bias(kTop) == 0) return codes;
  return _mm256_xor_si256(codes, _mm256_set1_epi8(static_cast<char>(0x80)));
}
template <int kTop>
PHIAL_INLINE Part multiply_add(Part part, Words, Words factor, Words inputs) {
  Words products;
  if constexpr (code_bias(kTop) == 0) {
    products = _mm256_maddubs_epi16(factor, inputs);
  } else {
    products = _mm256_maddubs_epi16(_mm256_abs_epi8(factor), _mm256_sign_epi8(inputs, factor));
  }
  part = _mm256_add_epi16(part, products);
  // Compilers know that such sums may be taken in any order, and keep all products for it.
  own_register(part);
  return part;
}
PHIAL_INLINE Part begin_part(Words) { return _mm256_setzero_si256(); }
PHIAL_INLINE Words end_part(Part part, Words total) {
  total = _mm256_add_epi32(total, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
  own_register(total);
  return total;
}
#endif

PHIAL_INLINE Vec larger_magnitude(Vec a, Vec b) {
  const Words sign = _mm256_set1_epi32(0x7fffffff);
  return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_and_si256(_mm256_castps_si256(a), sign),
                                              _mm256_and_si256(_mm256_castps_si256(b), sign)));
}
PHIAL_INLINE float largest_magnitude(Vec v) {
  const __m256i bits = _mm256_castps_si256(v);
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return __builtin_bit_cast(float, _mm_cvtsi128_si32(four));
}
PHIAL_INLINE Vec where_inverse(Vec magnitude, Vec a) {
  const Vec large = _mm256_cmp_ps(magnitude, _mm256_set1_ps(0x1p-100f), _CMP_GE_OQ);
  const Vec finite = _mm256_cmp_ps(magnitude, _mm256_set1_ps(__builtin_inff()), _CMP_LT_OQ);
  return _mm256_and_ps(_mm256_and_ps(large, finite), a);
}
PHIAL_INLINE void store_codes(int8_t* p, Vec v) {
  const __m256i words = _mm256_cvtps_epi32(v);
  const __m128i halves =
      _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i_u*>(p), _mm_packs_epi16(halves, halves));
}

template <int kColumn>
PHIAL_INLINE Vec code_column(Words w) {
  const Words shifted = _mm256_srli_epi32(w, 8 * kColumn);
  return _mm256_cvtepi32_ps(_mm256_and_si256(shifted, _mm256_set1_epi32(0xff)));
}
PHIAL_INLINE Vec bf16_low(Words w) { return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)); }
PHIAL_INLINE Vec bf16_high(Words w) {
  return _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
}
PHIAL_INLINE Bytes bits_or(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }

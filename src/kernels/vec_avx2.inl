// The vector vocabulary over AVX2, FMA and F16C: 8 float32 lanes.
//
// Included inside the namespace of a unit built for this instruction set; see body_*.inl for its
// users. All vocabularies offer the same names:
//
//   kLanes              lanes of a Vec
//   kTileRows, kTileVecs   the register tile of gemm; kGemvTile accumulators of gemv, and
//                       kPlainTile of that of plain numbers
//   load_first, store_first   the first n lanes, 0 <= n <= kLanes; the others load as 0
//   keep_first(v, n, other)   the first n lanes of v, the others of other
//   min, max            the second operand when either is NaN
//   fma(a, b, c)        a * b + c, one rounding;  nfma: c - a * b
//   round               to the nearest integer, ties to even
//   ldexp(v, n)         v * 2^n for integral n with 2^-126 <= |v| * 2^n, inf above the range
//   select_greater(a, b, x, y)   a > b ? x : y by lane, y for NaN
//   sum, largest        over the lanes, in the fixed order of halving
//   Bytes               kLanes unsigned bytes, widened to lanes of 32 bits
//   shift_right         by n bits, 0 <= n < 32, in each lane
//   Levels              what the 16 codes of a 4-bit block stand for, d * code + m
//   low_nibbles, high_nibbles   what bits 0 to 3, or 4 to 7, of each lane stand for; those above
//                       are 0 for the high ones
//   Book                the same for 16 small integers times d: load_nibbles (body_codes.inl) reads
//                       its chunk
//   ByteCodes           the 32 codes of a chunk, a byte each
//   load_nibble_codes   16 bytes: the low nibbles, then the high ones
//   field(c, shift, mask)   bits `shift` and on of each byte, as many as `mask` has
//   raise<n>(c)         c * 2^n, which still fits a byte
//   codes_minus         two's complement
//   fifth_bits(word)    16 where the bit of `word` with the code's number is set, else 0
//   to_floats           of two's complement codes
//   load_pairs, load_pair   d and m of kPairs blocks of 20 bytes, or of one
//   transpose           a kLanes x kLanes tile
//   prefetch, prefetch_second   a line, into the first-level or the second-level cache

constexpr int kLanes = 8;
constexpr int kTileRows = 6;
constexpr int kTileVecs = 2;
constexpr int kGemvTile = 12;
constexpr int kPlainTile = 12;
constexpr bool kGemvSharesX = false;

using Vec = __m256;
using Bytes = __m256i;

#include "kernels/vec_codes_x86.inl"

PHIAL_INLINE Vec zero() { return _mm256_setzero_ps(); }
PHIAL_INLINE Vec broadcast(float value) { return _mm256_set1_ps(value); }
PHIAL_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
PHIAL_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }

PHIAL_INLINE __m256i first_lanes(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}
PHIAL_INLINE Vec load_first(const float* p, int64_t n) {
  return _mm256_maskload_ps(p, first_lanes(n));
}
PHIAL_INLINE void store_first(float* p, Vec v, int64_t n) {
  _mm256_maskstore_ps(p, first_lanes(n), v);
}

PHIAL_INLINE Vec keep_first(Vec v, int64_t n, Vec other) {
  return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(first_lanes(n)));
}

PHIAL_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
PHIAL_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
PHIAL_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
PHIAL_INLINE Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
PHIAL_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
PHIAL_INLINE Vec nfma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a, b, c); }
PHIAL_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
PHIAL_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
PHIAL_INLINE Vec round(Vec v) {
  return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
PHIAL_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}

// Two factors, because 2^128 is no float32 but v * 2^128 may be.
PHIAL_INLINE Vec ldexp(Vec v, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i second =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
  return mul(mul(v, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}

PHIAL_INLINE float first(Vec v) { return _mm256_cvtss_f32(v); }
PHIAL_INLINE float sum(Vec v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
PHIAL_INLINE float largest(Vec v) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

PHIAL_INLINE float square_root(float v) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(v))); }

// Codes; all pointers unaligned.

PHIAL_INLINE void prefetch(uintptr_t p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}
PHIAL_INLINE void prefetch_second(uintptr_t p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1);
}
PHIAL_INLINE Vec load_f32(const uint8_t* p) {
  return _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p)));
}
PHIAL_INLINE Vec load_f16(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p)));
}
PHIAL_INLINE Vec load_bf16(const uint8_t* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
PHIAL_INLINE Vec load_i8(const uint8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i_u*>(p));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}
PHIAL_INLINE Bytes load_u8(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i_u*>(p)));
}
PHIAL_INLINE Vec broadcast_f16(const uint8_t* p) {
  uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(bits)));
}

PHIAL_INLINE Vec to_float(Bytes b) { return _mm256_cvtepi32_ps(b); }
PHIAL_INLINE Bytes shift_right(Bytes b, int n) { return _mm256_srl_epi32(b, _mm_cvtsi32_si128(n)); }
PHIAL_INLINE Bytes bits_and(Bytes b, int mask) {
  return _mm256_and_si256(b, _mm256_set1_epi32(mask));
}

struct Levels {
  Vec d, m;
};
// pairs[2 b], pairs[2 b + 1]: the two f16 that begin block b of kPairs blocks of 20 bytes. A
// conversion costs as much as four multiply-adds, so several share one.
constexpr int kPairs = 2;
PHIAL_INLINE void load_pairs(const uint8_t* p, float (&pairs)[2 * kPairs]) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p));
  const __m256i first = _mm256_setr_epi32(0, 5, 0, 0, 0, 0, 0, 0);
  const __m128i halves = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(bytes, first));
  _mm_storeu_ps(pairs, _mm_cvtph_ps(halves));
}
PHIAL_INLINE void load_pair(const uint8_t* p, float (&pair)[2]) {
  int bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  _mm_storel_pi(reinterpret_cast<__m64*>(pair), _mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}
PHIAL_INLINE Levels levels_of(float d, float m) { return {broadcast(d), broadcast(m)}; }
PHIAL_INLINE Vec low_nibbles(const Levels& levels, Bytes bytes) {
  const __m256i codes = _mm256_and_si256(bytes, _mm256_set1_epi32(15));
  return fma(_mm256_cvtepi32_ps(codes), levels.d, levels.m);
}
PHIAL_INLINE Vec high_nibbles(const Levels& levels, Bytes bytes) {
  return fma(_mm256_cvtepi32_ps(_mm256_srli_epi32(bytes, 4)), levels.d, levels.m);
}

PHIAL_INLINE void to_floats(ByteCodes c, Vec (&out)[4]) {
  const __m128i low = _mm256_castsi256_si128(c), high = _mm256_extracti128_si256(c, 1);
  out[0] = to_float(_mm256_cvtepi8_epi32(low));
  out[1] = to_float(_mm256_cvtepi8_epi32(_mm_srli_si128(low, 8)));
  out[2] = to_float(_mm256_cvtepi8_epi32(high));
  out[3] = to_float(_mm256_cvtepi8_epi32(_mm_srli_si128(high, 8)));
}

struct Book {
  ByteCodes levels;  // the table, in both halves
  Vec d;
};
PHIAL_INLINE Book book_of(const int8_t (&levels)[16], Vec d) {
  const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(levels));
  return {_mm256_broadcastsi128_si256(table), d};
}
PHIAL_INLINE void load_nibbles(const uint8_t* qs, const Book& book, Vec (&out)[4]) {
  to_floats(_mm256_shuffle_epi8(book.levels, load_nibble_codes(qs)), out);
  PHIAL_UNROLL
  for (int i = 0; i < 4; ++i) out[i] = mul(out[i], book.d);
}

PHIAL_INLINE void transpose(Vec (&t)[kLanes]) {
  // Pairs of rows, then fours, then the halves: after each step a Vec holds one column of a block
  // of 2, 4, 8 rows.
  const Vec a0 = _mm256_unpacklo_ps(t[0], t[1]), a1 = _mm256_unpackhi_ps(t[0], t[1]);
  const Vec a2 = _mm256_unpacklo_ps(t[2], t[3]), a3 = _mm256_unpackhi_ps(t[2], t[3]);
  const Vec a4 = _mm256_unpacklo_ps(t[4], t[5]), a5 = _mm256_unpackhi_ps(t[4], t[5]);
  const Vec a6 = _mm256_unpacklo_ps(t[6], t[7]), a7 = _mm256_unpackhi_ps(t[6], t[7]);
  const Vec b0 = _mm256_shuffle_ps(a0, a2, 0x44), b1 = _mm256_shuffle_ps(a0, a2, 0xee);
  const Vec b2 = _mm256_shuffle_ps(a1, a3, 0x44), b3 = _mm256_shuffle_ps(a1, a3, 0xee);
  const Vec b4 = _mm256_shuffle_ps(a4, a6, 0x44), b5 = _mm256_shuffle_ps(a4, a6, 0xee);
  const Vec b6 = _mm256_shuffle_ps(a5, a7, 0x44), b7 = _mm256_shuffle_ps(a5, a7, 0xee);
  t[0] = _mm256_permute2f128_ps(b0, b4, 0x20);
  t[1] = _mm256_permute2f128_ps(b1, b5, 0x20);
  t[2] = _mm256_permute2f128_ps(b2, b6, 0x20);
  t[3] = _mm256_permute2f128_ps(b3, b7, 0x20);
  t[4] = _mm256_permute2f128_ps(b0, b4, 0x31);
  t[5] = _mm256_permute2f128_ps(b1, b5, 0x31);
  t[6] = _mm256_permute2f128_ps(b2, b6, 0x31);
  t[7] = _mm256_permute2f128_ps(b3, b7, 0x31);
}

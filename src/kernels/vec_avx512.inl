// The vector vocabulary (see vec_avx2.inl) over AVX-512 F, BW, DQ and VL: 16 float32 lanes.

constexpr int kLanes = 16;
constexpr int kTileRows = 6;
constexpr int kTileVecs = 4;
constexpr int kGemvTile = 16;
constexpr int kPlainTile = 24;
constexpr bool kGemvSharesX = true;

using Vec = __m512;
using Bytes = __m512i;

#include "kernels/vec_codes_x86.inl"

PHIAL_INLINE Vec zero() { return _mm512_setzero_ps(); }
PHIAL_INLINE Vec broadcast(float value) { return _mm512_set1_ps(value); }
PHIAL_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
PHIAL_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }

PHIAL_INLINE __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>((1u << static_cast<unsigned>(n)) - 1u);
}
PHIAL_INLINE Vec load_first(const float* p, int64_t n) {
  return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
PHIAL_INLINE void store_first(float* p, Vec v, int64_t n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), v);
}

PHIAL_INLINE Vec keep_first(Vec v, int64_t n, Vec other) {
  return _mm512_mask_blend_ps(first_lanes(n), other, v);
}

PHIAL_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
PHIAL_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
PHIAL_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
PHIAL_INLINE Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
PHIAL_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
PHIAL_INLINE Vec nfma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a, b, c); }
PHIAL_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
PHIAL_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
PHIAL_INLINE Vec round(Vec v) {
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
PHIAL_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
}
PHIAL_INLINE Vec ldexp(Vec v, Vec n) { return _mm512_scalef_ps(v, n); }

PHIAL_INLINE float first(Vec v) { return _mm512_cvtss_f32(v); }
PHIAL_INLINE float sum(Vec v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
PHIAL_INLINE float largest(Vec v) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

PHIAL_INLINE float square_root(float v) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(v))); }

PHIAL_INLINE void prefetch(uintptr_t p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}
PHIAL_INLINE void prefetch_second(uintptr_t p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1);
}
PHIAL_INLINE Vec load_f32(const uint8_t* p) { return _mm512_castsi512_ps(_mm512_loadu_si512(p)); }
PHIAL_INLINE Vec load_f16(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p)));
}
PHIAL_INLINE Vec load_bf16(const uint8_t* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
PHIAL_INLINE Vec load_i8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}
PHIAL_INLINE Bytes load_u8(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(p)));
}
PHIAL_INLINE Vec broadcast_f16(const uint8_t* p) {
  uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(bits)));
}

PHIAL_INLINE Vec to_float(Bytes b) { return _mm512_cvtepi32_ps(b); }
PHIAL_INLINE Bytes shift_right(Bytes b, int n) { return _mm512_srl_epi32(b, _mm_cvtsi32_si128(n)); }
PHIAL_INLINE Bytes bits_and(Bytes b, int mask) {
  return _mm512_and_si512(b, _mm512_set1_epi32(mask));
}

PHIAL_INLINE void to_floats(ByteCodes c, Vec (&out)[2]) {
  out[0] = to_float(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(c)));
  out[1] = to_float(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(c, 1)));
}

// All 16 values of a block fit one register: decoding is a permutation, which looks at the low four
// bits of an index only.
struct Levels {
  Vec table;
};
constexpr int kPairs = 4;
PHIAL_INLINE void load_pairs(const uint8_t* p, float (&pairs)[2 * kPairs]) {
  const __m512i first = _mm512_setr_epi32(0, 5, 10, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m512i halves = _mm512_permutexvar_epi32(first, _mm512_loadu_si512(p));
  _mm256_storeu_ps(pairs, _mm256_cvtph_ps(_mm512_castsi512_si128(halves)));
}
PHIAL_INLINE void load_pair(const uint8_t* p, float (&pair)[2]) {
  int bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  _mm_storel_pi(reinterpret_cast<__m64*>(pair), _mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}
PHIAL_INLINE Levels levels_of(float d, float m) {
  const Vec codes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return {fma(codes, broadcast(d), broadcast(m))};
}
using Book = Levels;
PHIAL_INLINE Book book_of(const int8_t (&levels)[16], Vec d) {
  return {mul(load_i8(reinterpret_cast<const uint8_t*>(levels)), d)};
}
PHIAL_INLINE Vec low_nibbles(const Levels& levels, Bytes bytes) {
  return _mm512_permutexvar_ps(bytes, levels.table);
}
PHIAL_INLINE Vec high_nibbles(const Levels& levels, Bytes bytes) {
  return _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), levels.table);
}

PHIAL_INLINE void transpose(Vec (&t)[kLanes]) {
  Vec a[16];
  // Inside each 128-bit quarter: 4 x 4 tiles of four rows.
  PHIAL_UNROLL
  for (int i = 0; i < 16; i += 4) {
    const Vec r0 = _mm512_unpacklo_ps(t[i], t[i + 1]);
    const Vec r1 = _mm512_unpackhi_ps(t[i], t[i + 1]);
    const Vec r2 = _mm512_unpacklo_ps(t[i + 2], t[i + 3]);
    const Vec r3 = _mm512_unpackhi_ps(t[i + 2], t[i + 3]);
    a[i] = _mm512_shuffle_ps(r0, r2, 0x44);
    a[i + 1] = _mm512_shuffle_ps(r0, r2, 0xee);
    a[i + 2] = _mm512_shuffle_ps(r1, r3, 0x44);
    a[i + 3] = _mm512_shuffle_ps(r1, r3, 0xee);
  }
  // Then the 4 x 4 tiles among the quarters: a[i + 4 g] holds columns i, i + 4, i + 8, i + 12 of
  // rows 4 g ... 4 g + 3.
  PHIAL_UNROLL
  for (int i = 0; i < 4; ++i) {
    const Vec q0 = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88);
    const Vec q1 = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd);
    const Vec q2 = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0x88);
    const Vec q3 = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0xdd);
    t[i] = _mm512_shuffle_f32x4(q0, q2, 0x88);
    t[i + 8] = _mm512_shuffle_f32x4(q0, q2, 0xdd);
    t[i + 4] = _mm512_shuffle_f32x4(q1, q3, 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(q1, q3, 0xdd);
  }
}

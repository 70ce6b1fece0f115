// The vector vocabulary (see vec_avx2.inl) with the 16 lanes and tiles of AVX-512, over two halves
// of `half`, the 8-lane vocabulary: bodies as AVX-512 runs them, on processors without it. Gives
// the same bits as vec_avx512.inl.

constexpr int kLanes = 16;
constexpr int kTileRows = 6;
constexpr int kTileVecs = 4;
constexpr int kGemvTile = 16;
constexpr int kPlainTile = 24;
constexpr bool kGemvSharesX = true;

struct Vec {
  half::Vec lo, hi;
};
struct Bytes {
  half::Bytes lo, hi;
};

PHIAL_INLINE int64_t below(int64_t n) { return n < 8 ? n : 8; }
PHIAL_INLINE int64_t above(int64_t n) { return n < 8 ? 0 : n - 8; }

PHIAL_INLINE Vec zero() { return {half::zero(), half::zero()}; }
PHIAL_INLINE Vec broadcast(float value) { return {half::broadcast(value), half::broadcast(value)}; }
PHIAL_INLINE Vec load(const float* p) { return {half::load(p), half::load(p + 8)}; }
PHIAL_INLINE void store(float* p, Vec v) {
  half::store(p, v.lo);
  half::store(p + 8, v.hi);
}
PHIAL_INLINE Vec load_first(const float* p, int64_t n) {
  return {half::load_first(p, below(n)), half::load_first(p + 8, above(n))};
}
PHIAL_INLINE void store_first(float* p, Vec v, int64_t n) {
  half::store_first(p, v.lo, below(n));
  half::store_first(p + 8, v.hi, above(n));
}

PHIAL_INLINE Vec keep_first(Vec v, int64_t n, Vec other) {
  return {half::keep_first(v.lo, below(n), other.lo), half::keep_first(v.hi, above(n), other.hi)};
}

PHIAL_INLINE Vec add(Vec a, Vec b) { return {half::add(a.lo, b.lo), half::add(a.hi, b.hi)}; }
PHIAL_INLINE Vec sub(Vec a, Vec b) { return {half::sub(a.lo, b.lo), half::sub(a.hi, b.hi)}; }
PHIAL_INLINE Vec mul(Vec a, Vec b) { return {half::mul(a.lo, b.lo), half::mul(a.hi, b.hi)}; }
PHIAL_INLINE Vec div(Vec a, Vec b) { return {half::div(a.lo, b.lo), half::div(a.hi, b.hi)}; }
PHIAL_INLINE Vec min(Vec a, Vec b) { return {half::min(a.lo, b.lo), half::min(a.hi, b.hi)}; }
PHIAL_INLINE Vec max(Vec a, Vec b) { return {half::max(a.lo, b.lo), half::max(a.hi, b.hi)}; }
PHIAL_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return {half::fma(a.lo, b.lo, c.lo), half::fma(a.hi, b.hi, c.hi)};
}
PHIAL_INLINE Vec nfma(Vec a, Vec b, Vec c) {
  return {half::nfma(a.lo, b.lo, c.lo), half::nfma(a.hi, b.hi, c.hi)};
}
PHIAL_INLINE Vec round(Vec v) { return {half::round(v.lo), half::round(v.hi)}; }
PHIAL_INLINE Vec ldexp(Vec v, Vec n) { return {half::ldexp(v.lo, n.lo), half::ldexp(v.hi, n.hi)}; }
PHIAL_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
  return {half::select_greater(a.lo, b.lo, x.lo, y.lo),
          half::select_greater(a.hi, b.hi, x.hi, y.hi)};
}
PHIAL_INLINE float first(Vec v) { return half::first(v.lo); }
PHIAL_INLINE float sum(Vec v) { return half::sum(half::add(v.lo, v.hi)); }
PHIAL_INLINE float largest(Vec v) { return half::largest(half::max(v.lo, v.hi)); }

PHIAL_INLINE float square_root(float v) { return half::square_root(v); }

PHIAL_INLINE void prefetch(uintptr_t p) { half::prefetch(p); }
PHIAL_INLINE void prefetch_second(uintptr_t p) { half::prefetch_second(p); }
PHIAL_INLINE Vec load_f32(const uint8_t* p) { return {half::load_f32(p), half::load_f32(p + 32)}; }
PHIAL_INLINE Vec load_f16(const uint8_t* p) { return {half::load_f16(p), half::load_f16(p + 16)}; }
PHIAL_INLINE Vec load_bf16(const uint8_t* p) {
  return {half::load_bf16(p), half::load_bf16(p + 16)};
}
PHIAL_INLINE Vec load_i8(const uint8_t* p) { return {half::load_i8(p), half::load_i8(p + 8)}; }
PHIAL_INLINE Bytes load_u8(const uint8_t* p) { return {half::load_u8(p), half::load_u8(p + 8)}; }
PHIAL_INLINE Vec broadcast_f16(const uint8_t* p) {
  return {half::broadcast_f16(p), half::broadcast_f16(p)};
}

PHIAL_INLINE Vec to_float(Bytes b) { return {half::to_float(b.lo), half::to_float(b.hi)}; }
PHIAL_INLINE Bytes shift_right(Bytes b, int n) {
  return {half::shift_right(b.lo, n), half::shift_right(b.hi, n)};
}
PHIAL_INLINE Bytes bits_and(Bytes b, int mask) {
  return {half::bits_and(b.lo, mask), half::bits_and(b.hi, mask)};
}

using half::ByteCodes;
using half::codes_and;
using half::codes_minus;
using half::codes_or;
using half::field;
using half::fifth_bits;
using half::load_codes;
using half::load_nibble_codes;
using half::raise;
PHIAL_INLINE void join(const half::Vec (&parts)[4], Vec (&out)[2]) {
  out[0] = {parts[0], parts[1]};
  out[1] = {parts[2], parts[3]};
}
PHIAL_INLINE void to_floats(ByteCodes c, Vec (&out)[2]) {
  half::Vec parts[4];
  half::to_floats(c, parts);
  join(parts, out);
}

using Levels = half::Levels;
constexpr int kPairs = 4;
PHIAL_INLINE void load_pairs(const uint8_t* p, float (&pairs)[2 * kPairs]) {
  float part[4];
  for (int i = 0; i < 2; ++i) {
    half::load_pairs(p + 40 * i, part);
    for (int j = 0; j < 4; ++j) pairs[4 * i + j] = part[j];
  }
}
PHIAL_INLINE void load_pair(const uint8_t* p, float (&pair)[2]) { half::load_pair(p, pair); }
PHIAL_INLINE Levels levels_of(float d, float m) { return half::levels_of(d, m); }
using Book = half::Book;
PHIAL_INLINE Book book_of(const int8_t (&levels)[16], Vec d) { return half::book_of(levels, d.lo); }
PHIAL_INLINE void load_nibbles(const uint8_t* qs, const Book& book, Vec (&out)[2]) {
  half::Vec parts[4];
  half::load_nibbles(qs, book, parts);
  join(parts, out);
}
PHIAL_INLINE Vec low_nibbles(const Levels& levels, Bytes b) {
  return {half::low_nibbles(levels, b.lo), half::low_nibbles(levels, b.hi)};
}
PHIAL_INLINE Vec high_nibbles(const Levels& levels, Bytes b) {
  return {half::high_nibbles(levels, b.lo), half::high_nibbles(levels, b.hi)};
}

PHIAL_INLINE void transpose(Vec (&t)[kLanes]) {
  // Four 8 x 8 tiles; the two off the diagonal change places.
  half::Vec tiles[4][8];
  for (int i = 0; i < 8; ++i) {
    tiles[0][i] = t[i].lo;
    tiles[1][i] = t[i].hi;
    tiles[2][i] = t[i + 8].lo;
    tiles[3][i] = t[i + 8].hi;
  }
  for (half::Vec(&tile)[8] : tiles) half::transpose(tile);
  for (int i = 0; i < 8; ++i) {
    t[i] = {tiles[0][i], tiles[2][i]};
    t[i + 8] = {tiles[1][i], tiles[3][i]};
  }
}

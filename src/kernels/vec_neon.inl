// The vector vocabulary (see vec_avx2.inl) over Advanced SIMD of AArch64: 4 float32 lanes.

constexpr int kLanes = 4;
constexpr int kTileRows = 6;
constexpr int kTileVecs = 4;
constexpr int kGemvTile = 16;
constexpr int kPlainTile = 24;
constexpr bool kGemvSharesX = false;

using Vec = float32x4_t;
using Bytes = uint32x4_t;

PHIAL_INLINE Vec zero() { return vdupq_n_f32(0.0f); }
PHIAL_INLINE Vec broadcast(float value) { return vdupq_n_f32(value); }
PHIAL_INLINE Vec load(const float* p) { return vld1q_f32(p); }
PHIAL_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }

PHIAL_INLINE uint32x4_t lane_numbers() {
  constexpr uint32_t kNumbers[4] = {0, 1, 2, 3};
  return vld1q_u32(kNumbers);
}
PHIAL_INLINE uint32x4_t first_lanes(int64_t n) {
  return vcltq_u32(lane_numbers(), vdupq_n_u32(static_cast<uint32_t>(n)));
}
PHIAL_INLINE Vec load_first(const float* p, int64_t n) {
  float lanes[4] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return vld1q_f32(lanes);
}
PHIAL_INLINE void store_first(float* p, Vec v, int64_t n) {
  float lanes[4];
  vst1q_f32(lanes, v);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}
PHIAL_INLINE Vec keep_first(Vec v, int64_t n, Vec other) {
  return vbslq_f32(first_lanes(n), v, other);
}

PHIAL_INLINE Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
PHIAL_INLINE Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
PHIAL_INLINE Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
PHIAL_INLINE Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
PHIAL_INLINE Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
PHIAL_INLINE Vec nfma(Vec a, Vec b, Vec c) { return vfmsq_f32(c, a, b); }
// Comparisons and choices, because the instructions give NaN when either operand is one.
PHIAL_INLINE Vec min(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
PHIAL_INLINE Vec max(Vec a, Vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
PHIAL_INLINE Vec round(Vec v) { return vrndnq_f32(v); }
PHIAL_INLINE Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
  return vbslq_f32(vcgtq_f32(a, b), x, y);
}

// Two factors, because 2^128 is no float32 but v * 2^128 may be.
PHIAL_INLINE Vec ldexp(Vec v, Vec n) {
  const int32x4_t whole = vcvtnq_s32_f32(n);
  const int32x4_t half = vshrq_n_s32(whole, 1);
  const int32x4_t bias = vdupq_n_s32(127);
  const int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23);
  const int32x4_t second = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
  return mul(mul(v, vreinterpretq_f32_s32(first)), vreinterpretq_f32_s32(second));
}

PHIAL_INLINE float first(Vec v) { return vgetq_lane_f32(v, 0); }
PHIAL_INLINE float sum(Vec v) {
  const float32x2_t two = vadd_f32(vget_low_f32(v), vget_high_f32(v));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
PHIAL_INLINE float largest(Vec v) {
  const Vec two = max(v, vextq_f32(v, v, 2));
  return first(max(two, vextq_f32(two, two, 1)));
}
PHIAL_INLINE float square_root(float v) { return vget_lane_f32(vsqrt_f32(vdup_n_f32(v)), 0); }

PHIAL_INLINE void prefetch(uintptr_t p) { __builtin_prefetch(reinterpret_cast<const void*>(p)); }
PHIAL_INLINE void prefetch_second(uintptr_t p) {
  __builtin_prefetch(reinterpret_cast<const void*>(p), 0, 2);
}

// The bytes that 4 values take, at any address.
template <class Lanes>
PHIAL_INLINE Lanes load_bytes(const uint8_t* p) {
  Lanes lanes;
  __builtin_memcpy(&lanes, p, sizeof(lanes));
  return lanes;
}
PHIAL_INLINE Vec load_f32(const uint8_t* p) { return load_bytes<float32x4_t>(p); }
PHIAL_INLINE Vec load_f16(const uint8_t* p) { return vcvt_f32_f16(load_bytes<float16x4_t>(p)); }
PHIAL_INLINE Vec load_bf16(const uint8_t* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(load_bytes<uint16x4_t>(p), 16));
}
PHIAL_INLINE uint8x8_t load_four(const uint8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, sizeof(word));
  return vreinterpret_u8_u32(vdup_n_u32(word));
}
PHIAL_INLINE Vec load_i8(const uint8_t* p) {
  const int16x8_t halves = vmovl_s8(vreinterpret_s8_u8(load_four(p)));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(halves)));
}
PHIAL_INLINE Bytes load_u8(const uint8_t* p) {
  return vmovl_u16(vget_low_u16(vmovl_u8(load_four(p))));
}
// The low bytes of four numbers.
PHIAL_INLINE void put_four_bytes(int8_t* p, int32x4_t v) {
  const int16x4_t halves = vmovn_s32(v);
  const int8x8_t bytes = vmovn_s16(vcombine_s16(halves, halves));
  const uint32_t four = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);
  __builtin_memcpy(p, &four, sizeof(four));
}
PHIAL_INLINE Vec broadcast_f16(const uint8_t* p) {
  uint16_t bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits)));
}

PHIAL_INLINE Vec to_float(Bytes b) { return vcvtq_f32_u32(b); }
PHIAL_INLINE Bytes shift_right(Bytes b, int n) { return vshlq_u32(b, vdupq_n_s32(-n)); }
PHIAL_INLINE Bytes bits_and(Bytes b, int mask) {
  return vandq_u32(b, vdupq_n_u32(static_cast<uint32_t>(mask)));
}

struct ByteCodes {
  uint8x16_t lo, hi;
};
PHIAL_INLINE ByteCodes load_codes(const uint8_t* p) { return {vld1q_u8(p), vld1q_u8(p + 16)}; }
PHIAL_INLINE ByteCodes load_nibble_codes(const uint8_t* p) {
  const uint8x16_t bytes = vld1q_u8(p);
  return {vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8(bytes, 4)};
}
PHIAL_INLINE ByteCodes codes_and(ByteCodes c, int mask) {
  const uint8x16_t bits = vdupq_n_u8(static_cast<uint8_t>(mask));
  return {vandq_u8(c.lo, bits), vandq_u8(c.hi, bits)};
}
PHIAL_INLINE ByteCodes codes_or(ByteCodes a, ByteCodes b) {
  return {vorrq_u8(a.lo, b.lo), vorrq_u8(a.hi, b.hi)};
}
PHIAL_INLINE ByteCodes codes_minus(ByteCodes c, int number) {
  const uint8x16_t other = vdupq_n_u8(static_cast<uint8_t>(number));
  return {vsubq_u8(c.lo, other), vsubq_u8(c.hi, other)};
}
PHIAL_INLINE ByteCodes field(ByteCodes c, int shift, int mask) {
  const int8x16_t left = vdupq_n_s8(static_cast<int8_t>(-shift));
  return codes_and(ByteCodes{vshlq_u8(c.lo, left), vshlq_u8(c.hi, left)}, mask);
}
template <int kShift>
PHIAL_INLINE ByteCodes raise(ByteCodes c) {
  return {vshlq_n_u8(c.lo, kShift), vshlq_n_u8(c.hi, kShift)};
}
PHIAL_INLINE ByteCodes fifth_bits(uint32_t word) {
  constexpr uint8_t kByteOfLane[32] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                       2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
  constexpr uint8_t kBitOfLane[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const ByteCodes byte_of_lane = load_codes(kByteOfLane);
  const uint8x16_t bit_of_lane = vld1q_u8(kBitOfLane);
  const uint8x16_t bytes = vreinterpretq_u8_u32(vdupq_n_u32(word));
  return codes_and(ByteCodes{vtstq_u8(vqtbl1q_u8(bytes, byte_of_lane.lo), bit_of_lane),
                             vtstq_u8(vqtbl1q_u8(bytes, byte_of_lane.hi), bit_of_lane)},
                   16);
}
PHIAL_INLINE void to_floats(int16x8_t halves, Vec* out) {
  out[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(halves)));
  out[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(halves)));
}
PHIAL_INLINE void to_floats(ByteCodes c, Vec (&out)[8]) {
  const int8x16_t lo = vreinterpretq_s8_u8(c.lo), hi = vreinterpretq_s8_u8(c.hi);
  to_floats(vmovl_s8(vget_low_s8(lo)), out);
  to_floats(vmovl_s8(vget_high_s8(lo)), out + 2);
  to_floats(vmovl_s8(vget_low_s8(hi)), out + 4);
  to_floats(vmovl_s8(vget_high_s8(hi)), out + 6);
}

struct Levels {
  Vec d, m;
};
constexpr int kPairs = 2;
PHIAL_INLINE void load_pair(const uint8_t* p, float (&pair)[2]) {
  vst1_f32(pair, vget_low_f32(vcvt_f32_f16(vreinterpret_f16_u8(load_four(p)))));
}
PHIAL_INLINE void load_pairs(const uint8_t* p, float (&pairs)[2 * kPairs]) {
  uint32_t words[2];
  __builtin_memcpy(&words[0], p, sizeof(uint32_t));
  __builtin_memcpy(&words[1], p + 20, sizeof(uint32_t));
  vst1q_f32(pairs, vcvt_f32_f16(vreinterpret_f16_u32(vld1_u32(words))));
}
PHIAL_INLINE Levels levels_of(float d, float m) { return {broadcast(d), broadcast(m)}; }
PHIAL_INLINE Vec low_nibbles(const Levels& levels, Bytes bytes) {
  return fma(to_float(bits_and(bytes, 15)), levels.d, levels.m);
}
PHIAL_INLINE Vec high_nibbles(const Levels& levels, Bytes bytes) {
  return fma(to_float(vshrq_n_u32(bytes, 4)), levels.d, levels.m);
}

struct Book {
  uint8x16_t levels;
  Vec d;
};
PHIAL_INLINE Book book_of(const int8_t (&levels)[16], Vec d) {
  return {vreinterpretq_u8_s8(vld1q_s8(levels)), d};
}
PHIAL_INLINE void load_nibbles(const uint8_t* qs, const Book& book, Vec (&out)[8]) {
  const ByteCodes codes = load_nibble_codes(qs);
  to_floats(ByteCodes{vqtbl1q_u8(book.levels, codes.lo), vqtbl1q_u8(book.levels, codes.hi)}, out);
  PHIAL_UNROLL
  for (int i = 0; i < 8; ++i) out[i] = mul(out[i], book.d);
}

PHIAL_INLINE void transpose(Vec (&t)[kLanes]) {
  const float32x4x2_t a = vtrnq_f32(t[0], t[1]);
  const float32x4x2_t b = vtrnq_f32(t[2], t[3]);
  t[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  t[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  t[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  t[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

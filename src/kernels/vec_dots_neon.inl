// What attention needs beyond the vector vocabulary (see vec_dots_avx2.inl), over Advanced SIMD.

constexpr int kDotsRows = 1;

using Codes = uint8x16_t;
using Dots = int32x4_t;

PHIAL_INLINE Codes load_code_lanes(const uint8_t* p) { return vld1q_u8(p); }
PHIAL_INLINE Codes broadcast_four(const int8_t* p) {
  // Not earlier: gcc 12 unrolls loops of known length, and loads everything at their beginning.
  __asm__ volatile("" : : : "memory");
  uint32_t four;
  __builtin_memcpy(&four, p, sizeof(four));
  return vreinterpretq_u8_u32(vdupq_n_u32(four));
}
PHIAL_INLINE Dots dots_of(int32_t value) { return vdupq_n_s32(value); }
#if defined(__ARM_FEATURE_MATMUL_INT8)
PHIAL_INLINE Dots dot4(Dots sum, Codes codes, Codes planes) {
  return vusdotq_s32(sum, codes, vreinterpretq_s8_u8(planes));
}
#elif defined(__ARM_FEATURE_DOTPROD)
// Of codes less 128, which are signed, and what they lack for it: the same for all codes that meet
// these planes.
PHIAL_INLINE Dots dot4(Dots sum, Codes codes, Codes planes) {
  const int8x16_t signs = vreinterpretq_s8_u8(planes);
  const Dots lacking = vdotq_s32(vdupq_n_s32(0), vdupq_n_s8(-128), signs);
  const int8x16_t less = vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(0x80)));
  return vdotq_s32(vsubq_s32(sum, lacking), less, signs);
}
#else
// Products of 255 * 64 fit 16 bits.
PHIAL_INLINE Dots dot4(Dots sum, Codes codes, Codes planes) {
  const int8x16_t signs = vreinterpretq_s8_u8(planes);
  const int16x8_t low =
      vmulq_s16(vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(codes))), vmovl_s8(vget_low_s8(signs)));
  const int16x8_t high = vmulq_s16(vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(codes))),
                                   vmovl_s8(vget_high_s8(signs)));
  return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}
#endif
PHIAL_INLINE Dots add_times_128(Dots a, Dots b) { return vaddq_s32(a, vshlq_n_s32(b, 7)); }
PHIAL_INLINE Vec to_float(Dots d) { return vcvtq_f32_s32(d); }

PHIAL_INLINE Dots add(Dots a, Dots b) { return vaddq_s32(a, b); }
PHIAL_INLINE int32_t sum(Dots d) { return vaddvq_s32(d); }
PHIAL_INLINE Dots put_planes(Vec v, int8_t* hi, int8_t* lo) {
  const int32x4_t whole = vcvtnq_s32_f32(v);
  const int32x4_t high = vrshrq_n_s32(whole, 7);
  put_four_bytes(hi, high);
  put_four_bytes(lo, vsubq_s32(whole, vshlq_n_s32(high, 7)));
  return whole;
}

PHIAL_INLINE void load_bf16_pairs(const uint8_t* p, Vec (&out)[2]) {
  const uint32x4_t pairs = vreinterpretq_u32_u8(vld1q_u8(p));
  out[0] = vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
  out[1] = vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xffff0000u)));
}
PHIAL_INLINE void put_bytes(uint8_t* p, Vec v) {
  put_four_bytes(reinterpret_cast<int8_t*>(p), vcvtnq_s32_f32(v));
}
PHIAL_INLINE void put_f16(uint8_t* p, Vec v) { vst1_u8(p, vreinterpret_u8_f16(vcvt_f16_f32(v))); }
PHIAL_INLINE void put_bf16(uint8_t* p, Vec v) {
  const uint32x4_t bits = vreinterpretq_u32_f32(v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  const uint16x4_t halves =
      vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), rounded, vdupq_n_u32(0x7fc00000u)), 16);
  vst1_u8(p, vreinterpret_u8_u16(halves));
}
PHIAL_INLINE void unpack_nibble_codes(const uint8_t* p, uint8_t* low, uint8_t* high) {
  const uint8x16_t base = vdupq_n_u8(113);
  PHIAL_UNROLL
  for (int i = 0; i < 64; i += 16) {
    const uint8x16_t bytes = vld1q_u8(p + i);
    const uint8x16_t below = vandq_u8(bytes, vdupq_n_u8(15)), above = vshrq_n_u8(bytes, 4);
    vst1q_u8(low + i, vaddq_u8(vshlq_n_u8(below, 1), base));
    vst1q_u8(high + i, vaddq_u8(vshlq_n_u8(above, 1), base));
  }
}

// The vocabulary of the packed kernels over Advanced SIMD of AArch64, beside vec_neon.inl: 4 weight
// rows to a register. vec_packed_avx2.inl says what the names mean. Products are summed in 32 bits
// where the unit is built for FEAT_DotProd (of signed bytes) or FEAT_I8MM (of bytes of either
// kind), else in 16 bits.

using Words = int32x4_t;

constexpr int kGemmTileRows = 6;
constexpr bool kGemmPairedChunks = false;
constexpr int kGemmTileVecs = 2;
constexpr bool has_direct_registers(int) { return false; }
#if defined(__ARM_FEATURE_DOTPROD)
constexpr int kDirectTileRows = 8;
constexpr int kHighTileRows = 4;
constexpr bool kPartsInRegisters = true;
constexpr bool kPartsAreTotals = true;
constexpr int part_steps(int) { return kSlabColumns / 4; }
// Beside the sums: the codes, two registers of inputs, and what turns codes to signed ones.
constexpr int direct_vecs(int, int rows, int others) {
  return rows == 1 ? 8 : 5 * rows + 7 + others <= 32 ? 4 : 2;
}
#else
constexpr int kDirectTileRows = 4;
constexpr int kHighTileRows = 1;
constexpr bool kPartsInRegisters = false;
constexpr bool kPartsAreTotals = false;
// Products of a code of at most `top` and an input of at most 127 that are added in 16 bits.
constexpr int part_steps(int top) { return top <= 31 ? 8 : top <= 63 ? 4 : 2; }
// Two registers to a part; where a sum has several parts, one more for what it is so far.
constexpr int direct_vecs(int top, int rows, int others) {
  return (part_steps(top) == 8 ? 8 : 12) * rows + 6 + others <= 31 ? 4 : 2;
}
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
constexpr int code_bias(int) { return 0; }
#else
// Both factors are signed.
constexpr int code_bias(int top) { return top > 127 ? 128 : 0; }
#endif

PHIAL_INLINE void own_register(Words& w) { __asm__ volatile("" : "+w"(w)); }
PHIAL_INLINE void own_register(Vec& v) { __asm__ volatile("" : "+w"(v)); }
PHIAL_INLINE Words load_words(const uint8_t* p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
PHIAL_INLINE void store_words(uint8_t* p, Words w) { vst1q_u8(p, vreinterpretq_u8_s32(w)); }
PHIAL_INLINE Words words_of(int32_t word) { return vdupq_n_s32(word); }
PHIAL_INLINE Vec float_of(Words w) { return vcvtq_f32_s32(w); }

template <int shift>
PHIAL_INLINE uint8x16_t bytes_right(uint8x16_t bytes) {
  if constexpr (shift > 0) {
    return vshrq_n_u8(bytes, shift);
  } else if constexpr (shift < 0) {
    return vshlq_n_u8(bytes, -shift);
  } else {
    return bytes;
  }
}
template <int kShift, int kMask>
PHIAL_INLINE Words byte_field(Words w) {
  const uint8x16_t moved = bytes_right<kShift>(vreinterpretq_u8_s32(w));
  constexpr bool kAlone = kMask == 0xff >> kShift;  // nothing else is left of the byte
  return vreinterpretq_s32_u8(kAlone ? moved : vandq_u8(moved, vdupq_n_u8(kMask)));
}
PHIAL_INLINE Words bytes_from(Words w, int bit) {
  const int8x16_t left = vdupq_n_s8(static_cast<int8_t>(-bit));
  return vreinterpretq_s32_u8(vshlq_u8(vreinterpretq_u8_s32(w), left));
}
template <int kShift, int kMask, int kRaise>
PHIAL_INLINE Words or_field(Words base, Words w) {
  const uint8x16_t moved = bytes_right<kShift - kRaise>(vreinterpretq_u8_s32(w));
  return vreinterpretq_s32_u8(
      vbslq_u8(vdupq_n_u8(kMask << kRaise), moved, vreinterpretq_u8_s32(base)));
}
using ByteTable = uint8x16_t;
PHIAL_INLINE ByteTable load_table(const uint8_t (&table)[16]) { return vld1q_u8(table); }
PHIAL_INLINE Words look_up(ByteTable table, Words places) {
  return vreinterpretq_s32_u8(vqtbl1q_u8(table, vreinterpretq_u8_s32(places)));
}

template <int kTop>
PHIAL_INLINE Words as_factor(Words codes) {
  if constexpr (code_bias(kTop) == 0) return codes;
  return veorq_s32(codes, vdupq_n_s32(static_cast<int32_t>(0x80808080)));
}

#if defined(__ARM_FEATURE_DOTPROD)
// A word of inputs in a register with others of its step.
template <int lane>
struct InputLane {
  int8x16_t words;
};
// Nothing is read but the words of the step.
template <int M, int m>
PHIAL_INLINE auto input_word(const int32_t* words) {
  if constexpr (M >= 4) {
    constexpr int kFirst = m / 4 * 4 <= M - 4 ? m / 4 * 4 : M - 4;
    return InputLane<m - kFirst>{vreinterpretq_s8_s32(vld1q_s32(words + kFirst))};
  } else if constexpr (m / 2 * 2 + 2 <= M) {
    const int32x2_t two = vld1_s32(words + m / 2 * 2);
    return InputLane<m % 2>{vreinterpretq_s8_s32(vcombine_s32(two, vdup_n_s32(0)))};
  } else {
    return InputLane<0>{vreinterpretq_s8_s32(vld1q_dup_s32(words + m))};
  }
}

using Part = int32x4_t;
PHIAL_INLINE Part begin_part(Words total) { return total; }
PHIAL_INLINE Words end_part(Part part, Words) { return part; }
#if defined(__ARM_FEATURE_MATMUL_INT8)
template <int kTop>
PHIAL_INLINE Part multiply_add(Part part, Words codes, Words, Words inputs) {
  return vusdotq_s32(part, vreinterpretq_u8_s32(codes), vreinterpretq_s8_s32(inputs));
}
template <int kTop, int lane>
PHIAL_INLINE Part multiply_add(Part part, Words codes, Words, InputLane<lane> inputs) {
  return vusdotq_laneq_s32(part, vreinterpretq_u8_s32(codes), inputs.words, lane);
}

// For body_packed_pairs.inl.
PHIAL_INLINE Words zip_low(Words a, Words b) { return vzip1q_s32(a, b); }
PHIAL_INLINE Words zip_high(Words a, Words b) { return vzip2q_s32(a, b); }
PHIAL_INLINE Vec even_lanes(Vec a, Vec b) { return vuzp1q_f32(a, b); }
PHIAL_INLINE Vec odd_lanes(Vec a, Vec b) { return vuzp2q_f32(a, b); }
PHIAL_INLINE Words multiply_pairs(Words sums, Words codes, Words inputs) {
  return vusmmlaq_s32(sums, vreinterpretq_u8_s32(codes), vreinterpretq_s8_s32(inputs));
}
PHIAL_INLINE Words two_words(const void* p) {
  int64_t both;
  __builtin_memcpy(&both, p, sizeof(both));
  return vreinterpretq_s32_s64(vdupq_n_s64(both));
}
PHIAL_INLINE Vec as_floats(Words w) { return vreinterpretq_f32_s32(w); }
#else
template <int kTop>
PHIAL_INLINE Part multiply_add(Part part, Words, Words factor, Words inputs) {
  return vdotq_s32(part, vreinterpretq_s8_s32(factor), vreinterpretq_s8_s32(inputs));
}
template <int kTop, int lane>
PHIAL_INLINE Part multiply_add(Part part, Words, Words factor, InputLane<lane> inputs) {
  return vdotq_laneq_s32(part, vreinterpretq_s8_s32(factor), inputs.words, lane);
}
#endif
#else
template <int M, int m>
PHIAL_INLINE Words input_word(const int32_t* words) {
  return vld1q_dup_s32(words + m);
}

// Of the first two rows and the last two.
struct Part {
  int16x8_t low, high;
};
PHIAL_INLINE Part begin_part(Words) { return {vdupq_n_s16(0), vdupq_n_s16(0)}; }
template <int kTop>
PHIAL_INLINE Part multiply_add(Part part, Words, Words factor, Words inputs) {
  const int8x16_t a = vreinterpretq_s8_s32(factor), b = vreinterpretq_s8_s32(inputs);
  part.low = vmlal_s8(part.low, vget_low_s8(a), vget_low_s8(b));
  part.high = vmlal_high_s8(part.high, a, b);
  // As in vec_packed_avx2.inl.
  __asm__ volatile("" : "+w"(part.low), "+w"(part.high));
  return part;
}
PHIAL_INLINE Words end_part(Part part, Words total) {
  total = vaddq_s32(total, vpaddq_s32(vpaddlq_s16(part.low), vpaddlq_s16(part.high)));
  own_register(total);
  return total;
}
#endif

PHIAL_INLINE uint32x4_t magnitude_bits(Vec v) {
  return vandq_u32(vreinterpretq_u32_f32(v), vdupq_n_u32(0x7fffffff));
}
PHIAL_INLINE Vec larger_magnitude(Vec a, Vec b) {
  return vreinterpretq_f32_u32(vmaxq_u32(magnitude_bits(a), magnitude_bits(b)));
}
PHIAL_INLINE float largest_magnitude(Vec v) {
  return __builtin_bit_cast(float, vmaxvq_u32(vreinterpretq_u32_f32(v)));
}
PHIAL_INLINE Vec where_inverse(Vec magnitude, Vec a) {
  const uint32x4_t large = vcgeq_f32(magnitude, vdupq_n_f32(0x1p-100f));
  const uint32x4_t finite = vcltq_f32(magnitude, vdupq_n_f32(__builtin_inff()));
  return vreinterpretq_f32_u32(vandq_u32(vandq_u32(large, finite), vreinterpretq_u32_f32(a)));
}
PHIAL_INLINE void store_codes(int8_t* p, Vec v) { put_four_bytes(p, vcvtnq_s32_f32(v)); }

template <int kColumn>
PHIAL_INLINE Vec code_column(Words w) {
  const uint32x4_t mask = vdupq_n_u32(0xffu << (8 * kColumn));
  const uint32x4_t code = vandq_u32(vreinterpretq_u32_s32(w), mask);
  // As a number with that many bits behind the point: without a shift.
  if constexpr (kColumn > 0) return vcvtq_n_f32_u32(code, 8 * kColumn);
  return vcvtq_f32_u32(code);
}
PHIAL_INLINE Vec bf16_low(Words w) { return vreinterpretq_f32_s32(vshlq_n_s32(w, 16)); }
PHIAL_INLINE Vec bf16_high(Words w) {
  return vreinterpretq_f32_s32(vandq_s32(w, vdupq_n_s32(static_cast<int32_t>(0xffff0000))));
}

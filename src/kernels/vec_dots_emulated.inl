// What attention needs beyond the vector vocabulary (see vec_dots_avx2.inl), over two halves.

constexpr int kDotsRows = 2;

struct Codes {
  half::Codes lo, hi;
};
struct Dots {
  half::Dots lo, hi;
};

PHIAL_INLINE Codes load_code_lanes(const uint8_t* p) {
  return {half::load_code_lanes(p), half::load_code_lanes(p + 32)};
}
PHIAL_INLINE Codes broadcast_four(const int8_t* p) {
  return {half::broadcast_four(p), half::broadcast_four(p)};
}
PHIAL_INLINE Dots dots_of(int32_t value) { return {half::dots_of(value), half::dots_of(value)}; }
PHIAL_INLINE Dots dot4(Dots sum, Codes codes, Codes planes) {
  return {half::dot4(sum.lo, codes.lo, planes.lo), half::dot4(sum.hi, codes.hi, planes.hi)};
}
PHIAL_INLINE Dots add_times_128(Dots a, Dots b) {
  return {half::add_times_128(a.lo, b.lo), half::add_times_128(a.hi, b.hi)};
}
PHIAL_INLINE Vec to_float(Dots d) { return {half::to_float(d.lo), half::to_float(d.hi)}; }

PHIAL_INLINE Dots add(Dots a, Dots b) { return {half::add(a.lo, b.lo), half::add(a.hi, b.hi)}; }
PHIAL_INLINE int32_t sum(Dots d) { return half::sum(half::add(d.lo, d.hi)); }
PHIAL_INLINE Dots put_planes(Vec v, int8_t* hi, int8_t* lo) {
  const half::Dots first = half::put_planes(v.lo, hi, lo);
  return {first, half::put_planes(v.hi, hi + 8, lo + 8)};
}

PHIAL_INLINE void load_bf16_pairs(const uint8_t* p, Vec (&out)[2]) {
  half::Vec lo[2], hi[2];
  half::load_bf16_pairs(p, lo);
  half::load_bf16_pairs(p + 32, hi);
  out[0] = {lo[0], hi[0]};
  out[1] = {lo[1], hi[1]};
}
PHIAL_INLINE void put_bytes(uint8_t* p, Vec v) {
  half::put_bytes(p, v.lo);
  half::put_bytes(p + 8, v.hi);
}
PHIAL_INLINE void put_f16(uint8_t* p, Vec v) {
  half::put_f16(p, v.lo);
  half::put_f16(p + 16, v.hi);
}
PHIAL_INLINE void put_bf16(uint8_t* p, Vec v) {
  half::put_bf16(p, v.lo);
  half::put_bf16(p + 16, v.hi);
}
using half::unpack_nibble_codes;

// The scales of a slab as float32, [groups][kPackedRows]: done once for all rows of inputs, so the
// matrix kernels know one kind of scale.

constexpr int kMostGroups = kSlabColumns / 16;

struct SlabScales {
  alignas(64) float scale[kMostGroups][kPackedRows];
  alignas(64) float offset[kMostGroups][kPackedRows];
};

// Powers of two by their 8 bits (tensor/numbers.h, tensor/block_codebook.h).
struct Exponents {
  float whole[256] = {};  // 2^(b - 127)
  float half[256] = {};   // 2^(b - 128)
};
constexpr Exponents exponents() {
  Exponents out;
  for (uint32_t b = 0; b < 255; ++b) {
    out.whole[b] = __builtin_bit_cast(float, b == 0 ? 0x400000u : b << 23);
    out.half[b] = __builtin_bit_cast(float, b < 2 ? 0x200000u << b : (b - 1) << 23);
  }
  out.whole[255] = out.half[255] = __builtin_nanf("");
  return out;
}
constexpr Exponents kExponents = exponents();

PHIAL_INLINE void load_exponents(const float (&powers)[256], const uint8_t* p,
                                 float (&out)[kPackedRows]) {
  for (int r = 0; r < kPackedRows; ++r) out[r] = powers[p[r]];
}

template <class Load>
PHIAL_INLINE void load_rows(const Load& load_at, float (&out)[kPackedRows]) {
  PHIAL_UNROLL
  for (int r = 0; r < kPackedRows; r += kLanes) store(out + r, load_at(r));
}

PHIAL_INLINE void load_numbers(PackedScales kind, const uint8_t* p, float (&out)[kPackedRows]) {
  switch (kind) {
    case PackedScales::f32:
      return load_rows([p](int r) { return load_f32(p + 4 * r); }, out);
    case PackedScales::f16:
      return load_rows([p](int r) { return load_f16(p + 2 * r); }, out);
    case PackedScales::bf16:
      return load_rows([p](int r) { return load_bf16(p + 2 * r); }, out);
    case PackedScales::e8m0:
      return load_exponents(kExponents.whole, p, out);
    case PackedScales::e8m0_half:
      return load_exponents(kExponents.half, p, out);
    default:
      return;
  }
}

// Also of zeros.
PHIAL_INLINE Vec negate(Vec v) { return sub(broadcast(-0.0f), v); }

// Integer g of a superblock's scales or minimums, of kLanes rows; `p` at the first byte's rows.
PHIAL_INLINE Bytes scale_byte(const uint8_t* p, int i) { return load_u8(p + i * kPackedRows); }
PHIAL_INLINE Bytes bits_at(const uint8_t* p, int i, int shift, int mask) {
  return bits_and(shift_right(scale_byte(p, i), shift), mask);
}

PHIAL_INLINE Vec super_scale(PackedScales kind, const uint8_t* p, int g) {
  switch (kind) {
    case PackedScales::q2_k:
      return to_float(bits_at(p, g, 0, 15));
    case PackedScales::q4_k:
      if (g < 4) return to_float(bits_at(p, g, 0, 63));
      return fma(to_float(bits_at(p, g - 4, 6, 3)), broadcast(16.0f),
                 to_float(bits_at(p, g + 4, 0, 15)));
    case PackedScales::q6_k:
      return load_i8(p + g * kPackedRows);
    case PackedScales::q3_k:
      return fma(to_float(bits_at(p, 8 + g % 4, g / 4 * 2, 3)), broadcast(16.0f),
                 sub(to_float(bits_at(p, g % 8, g / 8 * 4, 15)), broadcast(32.0f)));
    default:  // iq4_xs
      return fma(to_float(bits_at(p, g / 4, g % 4 * 2, 3)), broadcast(16.0f),
                 sub(to_float(bits_at(p, 2 + g / 2, g % 2 * 4, 15)), broadcast(32.0f)));
  }
}
PHIAL_INLINE Vec super_minimum(PackedScales kind, const uint8_t* p, int g) {
  if (kind == PackedScales::q2_k) return to_float(bits_at(p, g, 4, 15));
  if (g < 4) return to_float(bits_at(p, g + 4, 0, 63));
  return fma(to_float(bits_at(p, g, 6, 3)), broadcast(16.0f), to_float(bits_at(p, g + 4, 4, 15)));
}

// Inlined: gcc 12 at -O3 loses the calls of some instances (those without minimums).
template <PackedScales kind, int kGroups>
PHIAL_INLINE void load_super(const uint8_t* super, SlabScales& out) {
  constexpr bool kMinimums = kind == PackedScales::q2_k || kind == PackedScales::q4_k;
  for (int r = 0; r < kPackedRows; r += kLanes) {
    const uint8_t* bytes = super + (kMinimums ? 4 : 2) * kPackedRows + r;
    const Vec d = load_f16(super + 2 * r);
    PHIAL_UNROLL
    for (int g = 0; g < kGroups; ++g) store(out.scale[g] + r, mul(d, super_scale(kind, bytes, g)));
    if constexpr (kMinimums) {
      const Vec dmin = negate(load_f16(super + 2 * kPackedRows + 2 * r));
      PHIAL_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        store(out.offset[g] + r, mul(dmin, super_minimum(kind, bytes, g)));
      }
    }
  }
}

// What zero points and minimums are wanted as.
enum class Offsets { added, as_stored };

PHIAL_INLINE void load_zeros(const PackedLayout& layout, const uint8_t* p,
                             float (&out)[kPackedRows]) {
  if (layout.offsets == PackedOffsets::codes8) {
    load_rows([p](int r) { return to_float(load_u8(p + r)); }, out);
  } else if (layout.offsets == PackedOffsets::codes4) {
    load_rows(
        [p](int r) { return to_float(bits_and(shift_right(load_u8(p + r % 32), r / 32 * 4), 15)); },
        out);
  } else {
    load_numbers(layout.scales, p, out);
  }
}

// The scales of a slab's groups; offsets as what is added to scale * level, or as they are stored.
static void load_slab_scales(const PackedLayout& layout, const uint8_t* panel, int64_t slab,
                             Offsets wanted, SlabScales& out) {
  const SlabParts parts = slab_parts(layout, slab);
  const uint8_t* scales = panel + parts.scales;
  switch (layout.scales) {
    case PackedScales::q2_k:
      return load_super<PackedScales::q2_k, 16>(scales, out);
    case PackedScales::q3_k:
      return load_super<PackedScales::q3_k, 16>(scales, out);
    case PackedScales::q4_k:
      return load_super<PackedScales::q4_k, 8>(scales, out);
    case PackedScales::q6_k:
      return load_super<PackedScales::q6_k, 16>(scales, out);
    case PackedScales::iq4_xs:
      return load_super<PackedScales::iq4_xs, 8>(scales, out);
    default:
      break;
  }
  const int64_t columns = slab_columns(layout, slab);
  for (int64_t c = 0, g = 0; c < columns; c += layout.group, ++g) {
    if (slab * kSlabColumns + c >= layout.columns) {
      // The second half of the last chunk may be of no group: its codes are 0, so shall be these.
      load_rows([](int) { return zero(); }, out.scale[g]);
      load_rows([](int) { return zero(); }, out.offset[g]);
      continue;
    }
    load_numbers(layout.scales, scales + g * layout.scale_bytes, out.scale[g]);
    if (layout.offsets == PackedOffsets::none) continue;
    load_zeros(layout, panel + parts.offsets + g * layout.offset_bytes, out.offset[g]);
    if (wanted == Offsets::as_stored || layout.offsets == PackedOffsets::minimum) continue;
    for (int r = 0; r < kPackedRows; r += kLanes) {
      store(out.offset[g] + r, mul(negate(load(out.offset[g] + r)), load(out.scale[g] + r)));
    }
  }
}

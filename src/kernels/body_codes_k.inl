// Readers of the 256-value blocks (tensor/block_k.h): a superblock is a batch of 8 chunks. Its
// scales become floats once: an integer times a float16 is exact, so the order does not matter.

template <int kBytes>
struct Superblock {
  static constexpr int kBatch = 8;
  static constexpr int kBatchBytes = kBytes;
  static constexpr bool kWholeBatches = true;
};

PHIAL_INLINE float f16_at(const uint8_t* p) { return first(broadcast_f16(p)); }

// out[i] = codes[i] * a for i < 8, codes[i] * b from there on.
PHIAL_INLINE void scale_bytes(const uint8_t* codes, float a, float b, float (&out)[16]) {
  PHIAL_UNROLL
  for (int i = 0; i < 16; i += kLanes) {
    Vec factor = broadcast(i < 8 ? a : b);
    if constexpr (kLanes == 16) factor = keep_first(broadcast(a), 8, broadcast(b));
    store(out + i, mul(to_float(load_u8(codes + i)), factor));
  }
}

// Of chunk b: d sc at [b], -dmin m at [8 + b].
struct GroupScales {
  float values[16];
};

// The 6-bit scales and minimums of q4_k and q5_k, whose d is at p; four bytes at a time.
PHIAL_INLINE void load_6_bits(const uint8_t* p, GroupScales& scales) {
  const uint32_t a = load_u32(p + 4), b = load_u32(p + 8), c = load_u32(p + 12);
  const uint32_t words[4] = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030),
                             b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)};
  uint8_t bytes[16];
  __builtin_memcpy(bytes, words, sizeof(bytes));
  float pair[2];
  load_pair(p, pair);
  scale_bytes(bytes, pair[0], -pair[1], scales.values);
}

// d sc * code has 11 + 6 + 4 (5) bits and is exact: a fused sum rounds as decode_row does.
struct Q4KCodes : Superblock<144> {
  using Scales = GroupScales;
  PHIAL_INLINE void load_scales(const uint8_t* p, Scales& scales) { load_6_bits(p, scales); }
  PHIAL_INLINE void load(const uint8_t* p, const Scales& scales, int b, Vec (&out)[kChunkVecs]) {
    const Levels levels = levels_of(scales.values[b], scales.values[8 + b]);
    const uint8_t* qs = p + 16 + b / 2 * 32;
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) {
      out[i] = low_nibbles(levels, shift_right(load_u8(qs + kLanes * i), b % 2 * 4));
    }
  }
};

struct Q5KCodes : Superblock<176> {
  using Scales = GroupScales;
  PHIAL_INLINE void load_scales(const uint8_t* p, Scales& scales) { load_6_bits(p, scales); }
  PHIAL_INLINE void load(const uint8_t* p, const Scales& scales, int b, Vec (&out)[kChunkVecs]) {
    const Vec d = broadcast(scales.values[b]), m = broadcast(scales.values[8 + b]);
    const ByteCodes low = field(load_codes(p + 48 + b / 2 * 32), b % 2 * 4, 15);
    const ByteCodes fifth = field(load_codes(p + 16), b, 1);
    to_floats(codes_or(low, raise<4>(fifth)), out);
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = fma(out[i], d, m);
  }
};

// The scale of the group of 16 columns that vector i of chunk b lies in.
PHIAL_INLINE Vec group_of_16(const float* scales, int b, int i) {
  return broadcast(scales[2 * b + i * kLanes / 16]);
}
PHIAL_INLINE void scale_groups_of_16(const float* scales, int b, Vec (&out)[kChunkVecs]) {
  PHIAL_UNROLL
  for (int i = 0; i < kChunkVecs; ++i) out[i] = mul(out[i], group_of_16(scales, b, i));
}

// Two bits of chunk b, of 32 bytes per 128 columns.
PHIAL_INLINE ByteCodes two_bits(const uint8_t* qs, int b) {
  return field(load_codes(qs + b / 4 * 32), b % 4 * 2, 3);
}

struct Q2KCodes : Superblock<84> {
  struct Scales {
    float d[16], m[16];
  };
  PHIAL_INLINE void load_scales(const uint8_t* p, Scales& scales) {
    float pair[2];
    load_pair(p + 80, pair);
    PHIAL_UNROLL
    for (int i = 0; i < 16; i += kLanes) {
      const Bytes bytes = load_u8(p + i);
      store(scales.d + i, mul(to_float(bits_and(bytes, 15)), broadcast(pair[0])));
      store(scales.m + i, mul(to_float(shift_right(bytes, 4)), broadcast(-pair[1])));
    }
  }
  PHIAL_INLINE void load(const uint8_t* p, const Scales& scales, int b, Vec (&out)[kChunkVecs]) {
    to_floats(two_bits(p + 16, b), out);
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) {
      out[i] = fma(out[i], group_of_16(scales.d, b, i), group_of_16(scales.m, b, i));
    }
  }
};

struct Q3KCodes : Superblock<110> {
  struct Scales {
    float d[16];
  };
  PHIAL_INLINE void load_scales(const uint8_t* p, Scales& scales) {
    const uint32_t a = load_u32(p + 96), b = load_u32(p + 100), high = load_u32(p + 104);
    const uint32_t lows[4] = {a, b, a >> 4, b >> 4};
    uint32_t words[4];
    for (int i = 0; i < 4; ++i) {
      words[i] = (lows[i] & 0x0f0f0f0f) | (high >> 2 * i & 0x03030303) << 4;
    }
    uint8_t bytes[16];
    __builtin_memcpy(bytes, words, sizeof(bytes));
    const Vec d = broadcast_f16(p + 108);
    PHIAL_UNROLL
    for (int i = 0; i < 16; i += kLanes) {
      store(scales.d + i, mul(sub(to_float(load_u8(bytes + i)), broadcast(32.0f)), d));
    }
  }
  PHIAL_INLINE void load(const uint8_t* p, const Scales& scales, int b, Vec (&out)[kChunkVecs]) {
    const ByteCodes third = field(load_codes(p), b, 1);
    to_floats(codes_minus(codes_or(two_bits(p + 32, b), raise<2>(third)), 4), out);
    scale_groups_of_16(scales.d, b, out);
  }
};

// Here the last product rounds, in both.
struct Q6KCodes : Superblock<210> {
  struct Scales {
    float d[16];
  };
  PHIAL_INLINE void load_scales(const uint8_t* p, Scales& scales) {
    const Vec d = broadcast_f16(p + 208);
    PHIAL_UNROLL
    for (int i = 0; i < 16; i += kLanes) store(scales.d + i, mul(load_i8(p + 192 + i), d));
  }
  PHIAL_INLINE void load(const uint8_t* p, const Scales& scales, int b, Vec (&out)[kChunkVecs]) {
    const ByteCodes low = field(load_codes(p + b / 4 * 64 + b % 2 * 32), b % 4 / 2 * 4, 15);
    to_floats(codes_minus(codes_or(low, raise<4>(two_bits(p + 128, b))), 32), out);
    scale_groups_of_16(scales.d, b, out);
  }
};

// tq2_0 (tensor/block_ternary.h): the same, with one scale.
struct Tq2Codes : Superblock<66> {
  struct Scales {
    float d;
  };
  PHIAL_INLINE void load_scales(const uint8_t* p, Scales& scales) { scales.d = f16_at(p + 64); }
  PHIAL_INLINE void load(const uint8_t* p, const Scales& scales, int b, Vec (&out)[kChunkVecs]) {
    to_floats(codes_minus(two_bits(p, b), 1), out);
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = mul(out[i], broadcast(scales.d));
  }
};

// Readers of the 32-value blocks (tensor/block_legacy.h).

constexpr int8_t kQ4_0Levels[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

struct Q4_0Codes : Unbatched<Q4_0Codes, 18> {
  using Unbatched<Q4_0Codes, 18>::load;
  static constexpr int kValueBytes = 0;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    load_nibbles(p + 2, book_of(kQ4_0Levels, broadcast_f16(p)), out);
  }
};

// d * code is exact (11 + 4 bits), so a fused d * code + m rounds as decode_row does.
struct Q4_1Codes {
  static constexpr int kChunkBytes = 20;
  static constexpr int kValueBytes = 0;
  static constexpr bool kWholeBatches = false;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    float pair[2];
    load_pair(p, pair);
    load_nibbles(p + 4, levels_of(pair[0], pair[1]), out);
  }

  static constexpr int kBatch = kPairs;
  static constexpr int kBatchBytes = kBatch * kChunkBytes;
  struct Scales {
    float pairs[2 * kPairs];
  };
  PHIAL_INLINE void load_scales(const uint8_t* p, Scales& scales) { load_pairs(p, scales.pairs); }
  PHIAL_INLINE void load(const uint8_t* p, const Scales& scales, int b, Vec (&out)[kChunkVecs]) {
    load_nibbles(p + b * kChunkBytes + 4, levels_of(scales.pairs[2 * b], scales.pairs[2 * b + 1]),
                 out);
  }
};

// Codes of 5 bits: nibbles at `qs`, fifth bits at `qh`.
PHIAL_INLINE ByteCodes load_five_bits(const uint8_t* qs, const uint8_t* qh) {
  return codes_or(load_nibble_codes(qs), fifth_bits(load_u32(qh)));
}

struct Q5_0Codes : Unbatched<Q5_0Codes, 22> {
  using Unbatched<Q5_0Codes, 22>::load;
  static constexpr int kValueBytes = 0;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    const Vec d = broadcast_f16(p);
    to_floats(codes_minus(load_five_bits(p + 6, p + 2), 16), out);
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = mul(out[i], d);
  }
};

struct Q5_1Codes : Unbatched<Q5_1Codes, 24> {
  using Unbatched<Q5_1Codes, 24>::load;
  static constexpr int kValueBytes = 0;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    const Vec d = broadcast_f16(p), m = broadcast_f16(p + 2);
    to_floats(load_five_bits(p + 8, p + 4), out);
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = fma(out[i], d, m);
  }
};

struct Q8_0Codes : Unbatched<Q8_0Codes, 34> {
  using Unbatched<Q8_0Codes, 34>::load;
  static constexpr int kValueBytes = 0;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    const Vec d = broadcast_f16(p);
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = mul(load_i8(p + 2 + kLanes * i), d);
  }
};

// Readers of the 32-value blocks (tensor/block_legacy.h).

constexpr float kQ4_0Levels[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

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

// Codes of 5 bits, as numbers 0 to 31: nibbles at `qs`, fifth bits in `qh`.
PHIAL_INLINE void load_five_bits(const uint8_t* qs, uint32_t qh, Vec (&out)[kChunkVecs]) {
  constexpr int kHalf = kChunkVecs / 2;
  PHIAL_UNROLL
  for (int i = 0; i < kHalf; ++i) {
    const Bytes bytes = load_u8(qs + kLanes * i);
    out[i] = to_float(bits_or(bits_and(bytes, 15), fifth_bits(qh, kLanes * i)));
    out[i + kHalf] = to_float(bits_or(shift_right(bytes, 4), fifth_bits(qh, 16 + kLanes * i)));
  }
}

struct Q5_0Codes : Unbatched<Q5_0Codes, 22> {
  using Unbatched<Q5_0Codes, 22>::load;
  static constexpr int kValueBytes = 0;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    const Vec d = broadcast_f16(p);
    load_five_bits(p + 6, load_u32(p + 2), out);
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = mul(sub(out[i], broadcast(16.0f)), d);
  }
};

struct Q5_1Codes : Unbatched<Q5_1Codes, 24> {
  using Unbatched<Q5_1Codes, 24>::load;
  static constexpr int kValueBytes = 0;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    const Vec d = broadcast_f16(p), m = broadcast_f16(p + 2);
    load_five_bits(p + 8, load_u32(p + 4), out);
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

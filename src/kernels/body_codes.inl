// How the codes of each grid become vectors: chunks of 32 columns, in order.

constexpr int kChunk = 32;
constexpr int kChunkVecs = kChunk / kLanes;

// A reader has
//   kChunkBytes   bytes of 32 columns
//   kValueBytes   bytes of one value where columns may end inside a chunk; 0 for whole blocks only
//   load          the values of one chunk, bit for bit those of decode_row
//   kBatch        chunks that share the work of load_scales
//   load_scales   what chunk b of the batch needs besides its codes, for load(codes, scales, b,
//   out)

template <class Codes>
struct Unbatched {
  static constexpr int kBatch = 1;
  struct Scales {};
  PHIAL_INLINE void load_scales(const uint8_t*, Scales&) {}
  PHIAL_INLINE void load(const uint8_t* p, const Scales&, int, Vec (&out)[kChunkVecs]) {
    Codes::load(p, out);
  }
};

struct F32Codes : Unbatched<F32Codes> {
  using Unbatched<F32Codes>::load;
  static constexpr int kChunkBytes = 128;
  static constexpr int kValueBytes = 4;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = load_f32(p + 4 * kLanes * i);
  }
};

struct F16Codes : Unbatched<F16Codes> {
  using Unbatched<F16Codes>::load;
  static constexpr int kChunkBytes = 64;
  static constexpr int kValueBytes = 2;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = load_f16(p + 2 * kLanes * i);
  }
};

struct Bf16Codes : Unbatched<Bf16Codes> {
  using Unbatched<Bf16Codes>::load;
  static constexpr int kChunkBytes = 64;
  static constexpr int kValueBytes = 2;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = load_bf16(p + 2 * kLanes * i);
  }
};

struct Q4_1Codes {
  static constexpr int kChunkBytes = 20;
  static constexpr int kValueBytes = 0;
  // d * code is exact (11 + 4 bits), so a fused d * code + m rounds as decode_row does.
  PHIAL_INLINE void load(const uint8_t* p, const Levels& levels, Vec (&out)[kChunkVecs]) {
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs / 2; ++i) {
      const Bytes bytes = load_u8(p + 4 + kLanes * i);
      out[i] = low_nibbles(levels, bytes);
      out[i + kChunkVecs / 2] = high_nibbles(levels, bytes);
    }
  }
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    float pair[2];
    load_pair(p, pair);
    load(p, levels_of(pair), out);
  }

  static constexpr int kBatch = kPairs;
  struct Scales {
    float pairs[2 * kPairs];
  };
  PHIAL_INLINE void load_scales(const uint8_t* p, Scales& scales) { load_pairs(p, scales.pairs); }
  PHIAL_INLINE void load(const uint8_t* p, const Scales& scales, int b, Vec (&out)[kChunkVecs]) {
    load(p, levels_of(scales.pairs + 2 * b), out);
  }
};

struct Q8_0Codes : Unbatched<Q8_0Codes> {
  using Unbatched<Q8_0Codes>::load;
  static constexpr int kChunkBytes = 34;
  static constexpr int kValueBytes = 0;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    const Vec d = broadcast_f16(p);
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = mul(load_i8(p + 2 + kLanes * i), d);
  }
};

// The first `count` columns of a chunk, the others 0.
template <class Codes>
PHIAL_INLINE void load_part(const uint8_t* p, int64_t count, Vec (&out)[kChunkVecs]) {
  uint8_t bytes[Codes::kChunkBytes] = {};
  __builtin_memcpy(bytes, p, static_cast<size_t>(count * Codes::kValueBytes));
  Codes::load(bytes, out);
}

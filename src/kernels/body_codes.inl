// How the codes of each grid become vectors: chunks of 32 columns, in order. The readers of plain
// numbers, and what all have in common.

constexpr int kChunk = 32;
constexpr int kChunkVecs = kChunk / kLanes;

// A reader has
//   kBatch        chunks that share the work of load_scales
//   kBatchBytes   bytes of a batch
//   Scales, load_scales   what the chunks of the batch at p need besides their codes
//   load(p, scales, b, out)   the values of chunk b of the batch at p, bit for bit those of
//                 decode_row
//   kWholeBatches whether rows are whole batches, because a batch is a block of the grid
// and, unless rows are whole batches,
//   kChunkBytes   bytes of 32 columns
//   load(p, out)  the values of the chunk at p
//   kValueBytes   bytes of one value where columns may end inside a chunk; 0 for whole blocks only

// For readers whose chunks have nothing to share.
template <class Codes, int kBytes>
struct Unbatched {
  static constexpr int kChunkBytes = kBytes;
  static constexpr int kBatch = 1;
  static constexpr int kBatchBytes = kBytes;
  static constexpr bool kWholeBatches = false;
  struct Scales {};
  PHIAL_INLINE void load_scales(const uint8_t*, Scales&) {}
  PHIAL_INLINE void load(const uint8_t* p, const Scales&, int, Vec (&out)[kChunkVecs]) {
    Codes::load(p, out);
  }
};

struct F32Codes : Unbatched<F32Codes, 128> {
  using Unbatched<F32Codes, 128>::load;
  static constexpr int kValueBytes = 4;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = load_f32(p + 4 * kLanes * i);
  }
};

struct F16Codes : Unbatched<F16Codes, 64> {
  using Unbatched<F16Codes, 64>::load;
  static constexpr int kValueBytes = 2;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = load_f16(p + 2 * kLanes * i);
  }
};

struct Bf16Codes : Unbatched<Bf16Codes, 64> {
  using Unbatched<Bf16Codes, 64>::load;
  static constexpr int kValueBytes = 2;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    PHIAL_UNROLL
    for (int i = 0; i < kChunkVecs; ++i) out[i] = load_bf16(p + 2 * kLanes * i);
  }
};

// The first `count` columns of a chunk, the others 0.
template <class Codes>
PHIAL_INLINE void load_part(const uint8_t* p, int64_t count, Vec (&out)[kChunkVecs]) {
  uint8_t bytes[Codes::kChunkBytes] = {};
  __builtin_memcpy(bytes, p, static_cast<size_t>(count * Codes::kValueBytes));
  Codes::load(bytes, out);
}

// 16 bytes whose low nibbles are columns 0 to 15 and whose high ones are columns 16 to 31, through
// Levels, or a Book where that has no function of its own.
template <class Meaning>
PHIAL_INLINE void load_nibbles(const uint8_t* qs, const Meaning& meaning, Vec (&out)[kChunkVecs]) {
  PHIAL_UNROLL
  for (int i = 0; i < kChunkVecs / 2; ++i) {
    const Bytes bytes = load_u8(qs + kLanes * i);
    out[i] = low_nibbles(meaning, bytes);
    out[i + kChunkVecs / 2] = high_nibbles(meaning, bytes);
  }
}

PHIAL_INLINE uint32_t load_u32(const uint8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, sizeof(word));
  return word;
}

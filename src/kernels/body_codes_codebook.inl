// Readers of the blocks whose codes are places in a table (tensor/block_codebook.h). A level times
// the scale is exact, so scaling the table first gives the bits of decode_row, too.

struct Iq4NlCodes : Unbatched<Iq4NlCodes, 18> {
  using Unbatched<Iq4NlCodes, 18>::load;
  static constexpr int kValueBytes = 0;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    load_nibbles(p + 2, book_of(kIq4Levels, broadcast_f16(p)), out);
  }
};

struct Mxfp4Codes : Unbatched<Mxfp4Codes, 17> {
  using Unbatched<Mxfp4Codes, 17>::load;
  static constexpr int kValueBytes = 0;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&out)[kChunkVecs]) {
    // As mxfp4_scale.
    const uint32_t e = *p;
    const uint32_t bits = e == 255 ? 0x7fc00000u : e < 2 ? 0x200000u << e : (e - 1) << 23;
    float scale;
    __builtin_memcpy(&scale, &bits, sizeof(scale));
    load_nibbles(p + 1, book_of(kMxfp4Levels, broadcast(scale)), out);
  }
};

struct Iq4XsCodes : Superblock<136> {
  struct Scales {
    float d[8];
  };
  PHIAL_INLINE void load_scales(const uint8_t* p, Scales& scales) {
    const float d = f16_at(p);
    const uint32_t high = p[2] | static_cast<uint32_t>(p[3]) << 8;
    const uint32_t low = load_u32(p + 4);
    PHIAL_UNROLL
    for (int g = 0; g < 8; ++g) {
      const uint32_t sc = (low >> 4 * g & 15) | (high >> 2 * g & 3) << 4;
      scales.d[g] = d * static_cast<float>(static_cast<int>(sc) - 32);
    }
  }
  PHIAL_INLINE void load(const uint8_t* p, const Scales& scales, int b, Vec (&out)[kChunkVecs]) {
    load_nibbles(p + 8 + 16 * b, book_of(kIq4Levels, broadcast(scales.d[b])), out);
  }
};

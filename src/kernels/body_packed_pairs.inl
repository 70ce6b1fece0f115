// gemm where an instruction multiplies two rows of weights and two of inputs over 8 columns: twice
// the products of one that takes a row of each. For a vocabulary that has, beside what
// vec_packed_avx2.inl lists, in registers of 4 words:
//
//   multiply_pairs(sums, codes, inputs)   + products of 8 columns; of two rows of 8 bytes each, the
//                    sums of weight row 0 with both rows of inputs, then of weight row 1
//   two_words(p)     two words, twice
//   zip_low, zip_high    words of two registers in turn: of their first halves, of the second ones
//   even_lanes, odd_lanes    of one register and then another
//   as_floats        the bits of words

// Registers of two weight rows each. With the float32 parts, three pairs of inputs take 24
// registers.
constexpr int kPairVecs = 4;
static_assert(kLanes == 4 && code_bias(255) == 0 && kPartsAreTotals && kGemmTileRows <= 6);

// As unpack_codes, but two steps at once: [kPackedRows][8].
template <class Codes>
PHIAL_APART void unpack_pairs(const uint8_t* chunks, int32_t chunk_bytes, int32_t count,
                              ByteTable table, uint8_t* out) {
  for (int32_t c = 0; c < count; ++c, chunks += chunk_bytes, out += 8 * kLineBytes) {
    for (int32_t r = 0; r < kPackedRows; r += kLanes) {
      Words even = words_of(0);
      each_step<Codes>(
          chunks + 4 * r, table, [&](auto s, Words codes) __attribute__((always_inline)) {
            constexpr int kStep = decltype(s)::value;
            if constexpr (kStep % 2 == 0) {
              even = codes;
            } else {
              uint8_t* at = out + (kStep - 1) * kLineBytes + 8 * r;
              store_words(at, zip_low(even, codes));
              store_words(at + 4 * kLanes, zip_high(even, codes));
            }
          });
    }
  }
}

PHIAL_INLINE int32_t word_at(const int8_t* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof(word));
  return word;
}

// A tile's inputs as [columns / 8][pairs][2][8]. Where the number of rows is odd, the last one is
// its own neighbour.
template <int M>
PHIAL_INLINE void pair_inputs(const int8_t* codes, int32_t chunks, int8_t* out) {
  for (int32_t i = 0; i < chunks * 4; ++i, codes += 8 * M) {
    PHIAL_UNROLL
    for (int m = 0; m < M; m += 2, out += 16) {
      const int8_t* first = codes + 4 * m;
      const int8_t* second = first + 4 * M;
      const Words pair = m + 1 < M ? zip_low(two_words(first), two_words(second))
                                   : zip_low(words_of(word_at(first)), words_of(word_at(second)));
      store_words(reinterpret_cast<uint8_t*>(out), pair);
    }
  }
}

// The sums of one piece: starts and products.
template <int kSteps, int kTilePairs>
PHIAL_INLINE void sum_pairs(const uint8_t* codes, const int32_t* words, const int32_t* starts,
                            Words (&total)[kTilePairs][kPairVecs]) {
  PHIAL_UNROLL
  for (int p = 0; p < kTilePairs; ++p) {
    // Of an odd last row, also what lies behind it: numbers of sums that nobody looks at.
    const Words start = two_words(starts + 2 * p);
    PHIAL_UNROLL
    for (int v = 0; v < kPairVecs; ++v) total[p][v] = start;
  }
  PHIAL_UNROLL
  for (int s = 0; s < kSteps; s += 2) {
    load_again();
    Words w[kPairVecs];
    PHIAL_UNROLL
    for (int v = 0; v < kPairVecs; ++v) w[v] = load_words(codes + s * kLineBytes + v * 4 * kLanes);
    PHIAL_UNROLL
    for (int p = 0; p < kTilePairs; ++p) {
      const int32_t* at = words + 2 * s * kTilePairs + 4 * p;
      const Words x = load_words(reinterpret_cast<const uint8_t*>(at));
      PHIAL_UNROLL
      for (int v = 0; v < kPairVecs; ++v) total[p][v] = multiply_pairs(total[p][v], w[v], x);
    }
  }
}

// A factor of two rows of weights.
PHIAL_INLINE Vec pair_factor(const float* p) {
  const Words both = two_words(p);
  return as_floats(zip_low(both, both));
}

// As gemm_rows. `slab` has its inputs in pairs.
template <bool Offsets, bool Halves, int M>
PHIAL_INLINE void pair_rows(const GemmSlab& slab, int32_t r) {
  constexpr int kTilePairs = (M + 1) / 2;
  Vec part[kTilePairs][kPairVecs];
  PHIAL_UNROLL
  for (int p = 0; p < kTilePairs; ++p) {
    PHIAL_UNROLL
    for (int v = 0; v < kPairVecs; ++v) part[p][v] = zero();
  }
  each_piece<Halves, M, 2 * kTilePairs>(
      slab, r, [&](const GemmPiece& piece) __attribute__((always_inline)) {
        Words total[kTilePairs][kPairVecs];
        sum_pairs<Halves ? 4 : 8>(piece.codes + 4 * r, piece.words, piece.starts, total);
        load_again();
        PHIAL_UNROLL
        for (int v = 0; v < kPairVecs; ++v) {
          const Vec scale = pair_factor(piece.scale + 2 * v);
          PHIAL_UNROLL
          for (int p = 0; p < kTilePairs; ++p) {
            part[p][v] = fma(float_of(total[p][v]), scale, part[p][v]);
          }
        }
        if constexpr (Offsets) {
          // Totals are done with before offsets and sums take their registers.
          own_registers(part);
          load_again();
          PHIAL_UNROLL
          for (int v = 0; v < kPairVecs; ++v) {
            const Vec offset = pair_factor(piece.offset + 2 * v);
            PHIAL_UNROLL
            for (int p = 0; p < kTilePairs; ++p) {
              part[p][v] = fma(offset, as_floats(two_words(piece.sums + 2 * p)), part[p][v]);
            }
          }
        }
        own_registers(part);
      });
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kPairVecs; v += 2) {
      const Vec a = part[m / 2][v], b = part[m / 2][v + 1];
      add_part(m % 2 == 0 ? even_lanes(a, b) : odd_lanes(a, b), slab.x_scales[m],
               slab.y[m] + r + 2 * v);
    }
  }
}

template <bool Offsets, bool Halves, int M>
PHIAL_APART void pair_slab(const GemmSlab& slab) {
  alignas(64) int8_t codes[kSlabColumns * ((M + 1) / 2 * 2)];
  GemmSlab paired = slab;
  pair_inputs<M>(slab.words, slab.chunks, codes);
  paired.words = codes;
  for (int32_t r = 0; r < kPackedRows; r += 2 * kPairVecs) {
    pair_rows<Offsets, Halves, M>(paired, r);
  }
}

struct ByPairs {
  static constexpr bool kByRows = false;
  template <class Codes>
  static void unpack(const uint8_t* chunks, int32_t chunk_bytes, int32_t count, ByteTable table,
                     uint8_t* out) {
    unpack_pairs<Codes>(chunks, chunk_bytes, count, table, out);
  }
  template <int kTop, bool Halves, int M = 1>
  static GemmSlabFn slab_of(int32_t rows, bool with_offsets) {
    if constexpr (M < kGemmTileRows) {
      if (rows != M) return slab_of<kTop, Halves, M + 1>(rows, with_offsets);
    }
    return with_offsets ? pair_slab<true, Halves, M> : pair_slab<false, Halves, M>;
  }
};

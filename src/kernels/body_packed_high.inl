// High codes are few, and often of the same columns: rows that have some in a chunk meet its
// weights again, a few rows at a time.

// A chunk of weights and its scales: one, or one for each half.
struct HighWeights {
  const uint8_t* codes;
  const float* scales[2];
  const float* offsets[2];  // or null
  int32_t minus_zero;
};

// Chunk c of a slab, its codes at `codes`. group_shift: of a chunk's (or half's) number.
template <bool Halves>
PHIAL_INLINE void take_chunk(const uint8_t* codes, int32_t c, int32_t group_shift,
                             const SlabScales& scales, bool has_offsets, HighWeights& w) {
  constexpr int kParts = Halves ? 2 : 1;
  w.codes = codes;
  PHIAL_UNROLL
  for (int h = 0; h < kParts; ++h) {
    const int32_t g = (kParts * c + h) >> group_shift;
    w.scales[h] = scales.scale[g];
    w.offsets[h] = has_offsets ? scales.offset[g] : nullptr;
  }
}

// High codes of rows in one chunk, and the results that they add to.
template <int M>
struct HighCodes {
  const HighChunk* chunks[M];
  float* y[M];
};

// total += step s of a chunk's codes times the rows' words.
template <class Codes, int M, int kVecs>
PHIAL_INLINE void add_high_step(const uint8_t* codes, ByteTable table, const HighCodes<M>& high,
                                int s, Words (&total)[M][kVecs]) {
  constexpr int kTop = Codes::kTop;
  Words w[kVecs], factors[kVecs];
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    w[v] = Codes::at(codes + v * 4 * kLanes, s, table);
    factors[v] = as_factor<kTop>(w[v]);
  }
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    int32_t word;
    __builtin_memcpy(&word, high.chunks[m]->codes + 4 * s, sizeof(word));
    const Words x = words_of(word);
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      const Part products = multiply_add<kTop>(begin_part(total[m][v]), w[v], factors[v], x);
      total[m][v] = end_part(products, total[m][v]);
    }
  }
}

// Adds to y what high codes of M rows make. Few steps have any, often the same ones in all rows,
// and only they are multiplied.
template <class Codes, bool Halves, int M>
PHIAL_INLINE void add_high_rows(const HighWeights& w, ByteTable table, const HighCodes<M>& high) {
  constexpr int kHalves = Halves ? 2 : 1;
  // As with one row more, whose registers at() takes; with halves, parts are there beside sums.
  constexpr int kVecs = direct_vecs(Codes::kTop, kHalves * (M + 1), Codes::kOthers);
  unsigned all_steps = 0;
  for (int m = 0; m < M; ++m) all_steps |= high.chunks[m]->steps;
  for (int32_t r = 0; r < kPackedRows; r += kVecs * kLanes) {
    const uint8_t* codes = w.codes + 4 * r;
    Vec part[M][kVecs];
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) part[m][v] = zero();
    }
    PHIAL_UNROLL
    for (int h = 0; h < kHalves; ++h) {
      unsigned steps = Halves ? all_steps & 15u << 4 * h : all_steps;
      Words total[M][kVecs];
      float sums[M];
      PHIAL_UNROLL
      for (int m = 0; m < M; ++m) {
        const HighChunk& chunk = *high.chunks[m];
        const int32_t sum = Halves ? chunk.sums[h] : chunk.chunk_sum;
        sums[m] = static_cast<float>(sum);
        PHIAL_UNROLL
        for (int v = 0; v < kVecs; ++v) total[m][v] = words_of(w.minus_zero * sum);
      }
      // Mostly there is one step, and a loop would cost more than that.
      if (steps != 0) add_high_step<Codes>(codes, table, high, __builtin_ctz(steps), total);
      for (steps &= steps - 1; steps != 0; steps &= steps - 1) {
        add_high_step<Codes>(codes, table, high, __builtin_ctz(steps), total);
        own_registers(total);
      }
      add_to_registers(total, own_address(w.scales[h] + r), part);
      if (w.offsets[h] != nullptr) add_offsets(sums, w.offsets[h] + r, part);
    }
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) {
        add_part(part[m][v], high.chunks[m]->scale, high.y[m] + r + v * kLanes);
      }
    }
  }
}

// The same of `count` rows, which next(chunk, y) gives one after the other.
template <class Codes, bool Halves, int M = kHighTileRows, class Next>
PHIAL_INLINE void add_high_of_chunk(const HighWeights& w, ByteTable table, int32_t count,
                                    const Next& next) {
  HighCodes<M> high;
  for (; count >= M; count -= M) {
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) next(high.chunks[m], high.y[m]);
    add_high_rows<Codes, Halves, M>(w, table, high);
  }
  if constexpr (M > 1) add_high_of_chunk<Codes, Halves, M / 2>(w, table, count, next);
}

// Which rows have high codes: bit m of byte c for row m of the tile in chunk c of the slab.
PHIAL_INLINE uint64_t high_rows_of(const SlabTile& x) {
  static_assert(kSlabChunks == sizeof(uint64_t));
  uint64_t rows;
  __builtin_memcpy(&rows, x.high_rows, sizeof(rows));
  return rows;
}

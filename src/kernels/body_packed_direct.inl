// direct: codes of a chunk meet the words of a few rows of inputs. Sums of products are integers,
// which any order gives alike; each chunk (each half of it where groups have 16 columns) then adds
// to float32 parts in the first-level cache, always in the order of the columns. Then the rows that
// have high codes in a chunk meet its codes again.

// High codes of some rows of a tile, in one chunk.
struct DirectHigh {
  alignas(64) int32_t words[8 * kMostTileRows];  // of each step one after the other
  int32_t sums[2 * kMostTileRows];               // of the halves one after the other
};

// A slab of a tile of inputs.
struct DirectSlab {
  const uint8_t* chunks;
  int32_t chunk_bytes;
  int32_t count;         // chunks
  const uint8_t* begin;  // of the slab, and of the next ones: what is read ahead
  int64_t ahead_bytes;   // of the slab for each chunk
  int32_t group_shift;   // of a chunk's (or half's) number: which scale is its own
  int32_t zero;          // of the codes, as readers give them
  bool has_offsets;
  PackedBook book;
  const SlabScales* scales;
  SlabTile x;
  int32_t tiles;  // of the inputs
  float* y;       // [rows][kPackedRows]
  // Not on a loop's own stack, where they would hide spills.
  float* parts;  // as y, of this slab and tile
  DirectHigh* high;
};

// One step of kVecs registers of rows against M rows of inputs.
template <int kTop, int M, int kVecs, int m = 0>
PHIAL_INLINE void multiply_rows(const Words (&codes)[kVecs], const Words (&factors)[kVecs],
                                const int32_t* words, Part (&part)[M][kVecs]) {
  if constexpr (m < M) {
    const auto x = input_word<M, m>(words);
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      part[m][v] = multiply_add<kTop>(part[m][v], codes[v], factors[v], x);
    }
    multiply_rows<kTop, M, kVecs, m + 1>(codes, factors, words, part);
  }
}

// Steps first ... first + steps - 1 of kVecs registers of rows against M rows of inputs.
template <class Codes, int M, int kVecs, int first, int s, int steps>
PHIAL_INLINE void add_steps(const uint8_t* chunk, const int32_t* words, ByteTable table,
                            Part (&part)[M][kVecs]) {
  if constexpr (s < steps) {
    load_again();
    Words codes[kVecs], factors[kVecs];
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      codes[v] = Codes::template step<first + s>(chunk + v * 4 * kLanes, table);
      factors[v] = as_factor<Codes::kTop>(codes[v]);
    }
    multiply_rows<Codes::kTop>(codes, factors, words + (first + s) * M, part);
    add_steps<Codes, M, kVecs, first, s + 1, steps>(chunk, words, table, part);
  }
}

// The same in parts of as many steps as a sum holds.
template <class Codes, int M, int kVecs, int first, int steps>
PHIAL_INLINE void sum_steps(const uint8_t* chunk, const int32_t* words, ByteTable table,
                            Words (&total)[M][kVecs]) {
  constexpr int kPart = part_steps(Codes::kTop) < steps ? part_steps(Codes::kTop) : steps;
  Part part[M][kVecs];
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) part[m][v] = begin_part(total[m][v]);
  }
  add_steps<Codes, M, kVecs, first, 0, kPart>(chunk, words, table, part);
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) total[m][v] = end_part(part[m][v], total[m][v]);
  }
  if constexpr (kPart < steps) {
    sum_steps<Codes, M, kVecs, first + kPart, steps - kPart>(chunk, words, table, total);
  }
}

// part += total * scale, and offset * (sums of the inputs) unless that is null.
template <int M, int kVecs>
PHIAL_INLINE void add_totals(const Words (&total)[M][kVecs], const float* scale,
                             const float* offset, const float* sums, float* parts) {
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    const Vec w = load(scale + v * kLanes);
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      float* at = parts + m * kPackedRows + v * kLanes;
      store(at, fma(float_of(total[m][v]), w, load(at)));
    }
  }
  if (offset == nullptr) return;
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    const Vec w = load(offset + v * kLanes);
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      float* at = parts + m * kPackedRows + v * kLanes;
      store(at, fma(w, broadcast(sums[m]), load(at)));
    }
  }
}

// Steps [first, first + steps) of kVecs registers of rows.
template <class Codes, int M, int kVecs, int first, int steps>
PHIAL_INLINE void add_group(const uint8_t* chunk, const int32_t* words, ByteTable table,
                            const int32_t (&starts)[M], const float (&sums)[M], const float* scale,
                            const float* offset, float* parts) {
  Words total[M][kVecs];
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) total[m][v] = words_of(starts[m]);
  }
  sum_steps<Codes, M, kVecs, first, steps>(chunk, words, table, total);
  load_again();
  add_totals(total, scale, offset, sums, parts);
}

template <int M>
PHIAL_INLINE void add_parts(const float* parts, const float* x_scales, float* y) {
  for (int32_t r = 0; r < kPackedRows; r += kLanes) {
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      const int32_t at = m * kPackedRows + r;
      store(y + at, fma(load(parts + at), broadcast(x_scales[m]), load(y + at)));
    }
  }
}

// Chunk c of a slab with words of M rows of its inputs, and their sums of 16 columns. Columns per
// scale: 32 or, with Halves, 16.
template <class Codes, bool Halves, int M>
PHIAL_INLINE void direct_chunk(const DirectSlab& slab, int32_t c, const int32_t* words,
                               const int32_t* code_sums, ByteTable table, float* parts) {
  constexpr int kVecs = direct_vecs(Codes::kTop, M, Codes::kOthers);
  constexpr int kParts = Halves ? 2 : 1;
  constexpr int kSteps = 8 / kParts;
  const uint8_t* chunk = slab.chunks + c * slab.chunk_bytes;
  const int32_t minus_zero = code_bias(Codes::kTop) - slab.zero;
  int32_t starts[kParts][M];
  float x_sums[kParts][M];
  PHIAL_UNROLL
  for (int h = 0; h < kParts; ++h) {
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      const int32_t sum = Halves ? code_sums[h * M + m] : code_sums[m] + code_sums[M + m];
      starts[h][m] = minus_zero * sum;
      x_sums[h][m] = static_cast<float>(sum);
    }
  }
  for (int r = 0; r < kPackedRows; r += kVecs * kLanes) {
    const auto add = [&](auto part) __attribute__((always_inline)) {
      constexpr int h = decltype(part)::value;
      const int32_t g = (kParts * c + h) >> slab.group_shift;
      add_group<Codes, M, kVecs, h * kSteps, kSteps>(
          chunk + 4 * r, words, table, starts[h], x_sums[h], slab.scales->scale[g] + r,
          slab.has_offsets ? slab.scales->offset[g] + r : nullptr, parts + r);
    };
    add(Number<0>{});
    if constexpr (Halves) add(Number<1>{});
  }
}

template <class Codes, bool Halves, int M>
PHIAL_APART void direct_slab(const DirectSlab& slab) {
  const ByteTable table = table_of_book(slab.book);
  float* parts = slab.parts;
  for (int32_t i = 0; i < M * kPackedRows; i += kLanes) store(parts + i, zero());
  for (int32_t c = 0; c < slab.count; ++c) {
    prefetch_lines(slab.begin + c * slab.ahead_bytes, kAheadBytes,
                   Codes::kLines * kLineBytes + 128);
    const auto* words = reinterpret_cast<const int32_t*>(slab.x.codes) + c * 8 * M;
    direct_chunk<Codes, Halves, M>(slab, c, words, slab.x.sums + 2 * c * M, table, parts);
  }
  add_parts<M>(parts, slab.x.scales, slab.y);
}

// The words of row m of `rows`.
PHIAL_INLINE void put_high_words(const HighChunk& chunk, int32_t m, int32_t rows, int32_t* words) {
  PHIAL_UNROLL
  for (int i = 0; i < 8; ++i) __builtin_memcpy(words + i * rows + m, chunk.codes + 4 * i, 4);
}

PHIAL_INLINE bool has_high(const DirectSlab& slab) {
  int rows = 0;
  for (int32_t c = 0; c < slab.count; ++c) rows |= slab.x.high_rows[c * slab.tiles];
  return rows != 0;
}

// What the high codes of M rows of the tile add to y in chunk c.
template <class Codes, bool Halves, int M>
PHIAL_APART void direct_high_rows(const DirectSlab& slab, int32_t c, const int32_t* rows) {
  const HighChunk* inputs = slab.x.high + c;
  DirectHigh& own = *slab.high;
  for (int m = 0; m < M; ++m) {
    const HighChunk& input = inputs[rows[m] * slab.count];
    put_high_words(input, m, M, own.words);
    own.sums[m] = input.sums[0];
    own.sums[M + m] = input.sums[1];
  }
  for (int32_t i = 0; i < M * kPackedRows; i += kLanes) store(slab.parts + i, zero());
  direct_chunk<Codes, Halves, M>(slab, c, own.words, own.sums, table_of_book(slab.book),
                                 slab.parts);
  for (int m = 0; m < M; ++m) {
    add_parts<1>(slab.parts + m * kPackedRows, &inputs[rows[m] * slab.count].scale,
                 slab.y + rows[m] * kPackedRows);
  }
}

template <class Codes, bool Halves, int M = 1>
PHIAL_INLINE void direct_high_count(const DirectSlab& slab, int32_t c, const int32_t* rows,
                                    int32_t count) {
  if constexpr (M <= kDirectTileRows) {
    if (count == M) return direct_high_rows<Codes, Halves, M>(slab, c, rows);
    direct_high_count<Codes, Halves, M + 1>(slab, c, rows, count);
  }
}

template <class Codes, bool Halves>
PHIAL_APART void direct_high(const DirectSlab& slab) {
  for (int32_t c = 0; c < slab.count; ++c) {
    int32_t rows[kDirectTileRows];
    int32_t count = 0;
    for (unsigned bits = slab.x.high_rows[c * slab.tiles]; bits != 0; bits &= bits - 1) {
      rows[count++] = __builtin_ctz(bits);
    }
    direct_high_count<Codes, Halves>(slab, c, rows, count);
  }
}

template <class Codes, bool Halves, int M = 1>
PHIAL_INLINE void direct_rows(int32_t rows, const DirectSlab& slab) {
  if constexpr (M <= kDirectTileRows) {
    if (rows == M) return direct_slab<Codes, Halves, M>(slab);
    direct_rows<Codes, Halves, M + 1>(rows, slab);
  }
}

PHIAL_INLINE void put_panel(const PackedProductArgs& args, int64_t panel, const float* sums) {
  put_rows(args, args.x.rows, panel, sums);
}

template <class Codes, bool Halves>
static void direct_panels(const PackedProductArgs& args) {
  const PackedLayout& layout = args.weights->layout;
  const QuantizedRows& x = args.x;
  constexpr int64_t kUnit = Halves ? 16 : kChunkColumns;
  alignas(64) float y[kMinPackedGemmRows * kPackedRows];
  alignas(64) float parts[kMostTileRows * kPackedRows];
  DirectHigh high;
  SlabScales scales;
  DirectSlab slab;
  slab.chunk_bytes = layout.chunk_bytes;
  slab.group_shift = shift_of(layout.group, kUnit);
  slab.zero = zero_of_codes(layout);
  slab.has_offsets = layout.offsets != PackedOffsets::none;
  slab.book = layout.book;
  slab.parts = parts;
  slab.high = &high;
  slab.scales = &scales;
  const Tiling tiling(x);
  slab.tiles = tiling.tiles;
  const int64_t slabs = slab_count(layout);
  for (int64_t p = args.panel_begin; p < args.panel_end; ++p) {
    const uint8_t* panel = args.weights->panel(p);
    for (int i = 0; i < x.rows * kPackedRows; i += kLanes) store(y + i, zero());
    int64_t done = 0;
    for (int64_t s = 0; s < slabs; ++s) {
      load_slab_scales(layout, panel, s, Offsets::added, scales);
      const int64_t chunks = slab_parts(layout, s).chunks;
      slab.chunks = panel + chunks;
      slab.count = static_cast<int32_t>(slab_columns(layout, s) / kChunkColumns);
      // Whatever it is: the scales of a slab lie before its chunks.
      const int64_t end = chunks + int64_t{slab.count} * layout.chunk_bytes;
      slab.begin = panel + done;
      slab.ahead_bytes = (end - done) / slab.count;
      done = end;
      slab.x = slab_tile(x, tiling, s, 0);
      slab.y = y;
      for (int32_t t = 0; t < tiling.tiles; ++t) {
        const int32_t rows = tiling.rows(t);
        direct_rows<Codes, Halves>(rows, slab);
        if (has_high(slab)) direct_high<Codes, Halves>(slab);
        advance(slab.x, slab.count * kChunkColumns, rows);
        slab.y += rows * kPackedRows;
      }
    }
    put_panel(args, p, y);
  }
}

static void direct(const PackedProductArgs& args) {
  with_codes(
      args.weights->layout, [&](auto reader) __attribute__((always_inline)) {
        using Codes = decltype(reader);
        if (args.weights->layout.group == 16) {
          if constexpr (kCanHalve<Codes>) direct_panels<Codes, true>(args);
        } else {
          direct_panels<Codes, false>(args);
        }
      });
}

// direct: codes of a chunk meet the words of a few rows of inputs. Sums of products are integers,
// which any order gives alike; each chunk (each half of it where groups have 16 columns) then adds
// to float32 parts, in registers or in the first-level cache, always in the order of the columns.
// Then the rows that have high codes in a chunk meet its codes again.

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
  TileSums* sums;
  DirectHigh* high;
};

// Lines of a chunk and of its share of the scales, as many as one of a number of passes over the
// chunk's rows reads ahead.
template <class Codes>
constexpr int lines_of_pass(int passes) {
  constexpr int kLines = (Codes::kLines * kLineBytes + 128) / 64;
  return (kLines + passes - 1) / passes;
}

// What step s of 8 reads ahead of a pass' `lines` lines. All of them at once would take the buffers
// in which a core waits for memory: on a Golden Cove core, that took 6 (one row of inputs) to 12 %
// (eight) more time.
template <int lines, int s>
PHIAL_INLINE void read_ahead(uintptr_t here) {
  PHIAL_UNROLL
  for (int line = lines * s / 8; line < lines * (s + 1) / 8; ++line) {
    prefetch_second(here + kFarBytes + 64 * line);
    prefetch(here + kNearBytes + 64 * line);
  }
}

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
                            uintptr_t ahead, Part (&part)[M][kVecs]) {
  if constexpr (s < steps) {
    load_again();
    read_ahead<lines_of_pass<Codes>(kPackedRows / (kVecs * kLanes)), first + s>(ahead);
    Words codes[kVecs], factors[kVecs];
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      codes[v] = Codes::template step<first + s>(chunk + v * 4 * kLanes, table);
      factors[v] = as_factor<Codes::kTop>(codes[v]);
    }
    multiply_rows<Codes::kTop>(codes, factors, words + (first + s) * M, part);
    add_steps<Codes, M, kVecs, first, s + 1, steps>(chunk, words, table, ahead, part);
  }
}

// The same in parts of as many steps as a sum holds.
template <class Codes, int M, int kVecs, int first, int steps>
PHIAL_INLINE void sum_steps(const uint8_t* chunk, const int32_t* words, ByteTable table,
                            uintptr_t ahead, Words (&total)[M][kVecs]) {
  constexpr int kPart = part_steps(Codes::kTop) < steps ? part_steps(Codes::kTop) : steps;
  Part part[M][kVecs];
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) part[m][v] = begin_part(total[m][v]);
  }
  add_steps<Codes, M, kVecs, first, 0, kPart>(chunk, words, table, ahead, part);
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) total[m][v] = end_part(part[m][v], total[m][v]);
  }
  if constexpr (kPart < steps) {
    sum_steps<Codes, M, kVecs, first + kPart, steps - kPart>(chunk, words, table, ahead, total);
  }
}

// starts + sums of products over the steps of piece h of a chunk.
template <class Codes, bool Halves, int M, int kVecs, int h>
PHIAL_INLINE void sum_piece(const uint8_t* chunk, const int32_t* words, const int32_t* starts,
                            ByteTable table, uintptr_t ahead, Words (&total)[M][kVecs]) {
  constexpr int kSteps = Halves ? 4 : 8;
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) total[m][v] = words_of(starts[m]);
  }
  sum_steps<Codes, M, kVecs, h * kSteps, kSteps>(chunk, words, table, ahead, total);
  load_again();
}

template <class Codes, bool Halves>
PHIAL_INLINE void load_direct_sums(const DirectSlab& slab, const int32_t* sums, int32_t chunks) {
  load_tile_sums(sums, (Halves ? 2 : 1) * chunks, code_bias(Codes::kTop) - slab.zero,
                 slab.has_offsets, *slab.sums);
}

// Calls use(h, starts, sums, scale, offset) for the pieces of chunk c, which have one scale each:
// the chunk or, with Halves, its halves. What they begin with and meet is piece `first` of
// slab.sums and the next one.
template <bool Halves, int M, class Use>
PHIAL_INLINE void each_half(const DirectSlab& slab, int32_t c, int32_t first, const Use& use) {
  constexpr int kParts = Halves ? 2 : 1;
  const auto visit = [&](auto h) __attribute__((always_inline)) {
    constexpr int kHalf = decltype(h)::value;
    const int32_t g = (kParts * c + kHalf) >> slab.group_shift;
    const int32_t at = (first + kHalf) * M;
    use(h, own_address(slab.sums->starts + at), slab.sums->sums + at,
        own_address(slab.scales->scale[g]), slab.scales->offset[g]);
  };
  visit(Number<0>{});
  if constexpr (Halves) visit(Number<1>{});
}

// Adds to slab.parts what chunk c makes with words of M rows of inputs, whose sums are in slab.sums
// from piece `first` on.
template <class Codes, bool Halves, int M>
PHIAL_INLINE void direct_chunk(const DirectSlab& slab, int32_t c, const int32_t* words,
                               int32_t first, ByteTable table, uintptr_t ahead) {
  constexpr int kVecs = direct_vecs(Codes::kTop, M, Codes::kOthers);
  constexpr int kLines = lines_of_pass<Codes>(kPackedRows / (kVecs * kLanes));
  const uint8_t* chunk = slab.chunks + c * slab.chunk_bytes;
  for (int r = 0; r < kPackedRows; r += kVecs * kLanes, ahead += 64 * kLines) {
    each_half<Halves, M>(
        slab, c, first,
        [&](auto h, const int32_t* starts, const float* sums, const float* scale,
            const float* offset) __attribute__((always_inline)) {
          Words total[M][kVecs];
          sum_piece<Codes, Halves, M, kVecs, decltype(h)::value>(chunk + 4 * r, words, starts,
                                                                 table, ahead, total);
          add_totals(total, scale + r, slab.has_offsets ? offset + r : nullptr, sums,
                     slab.parts + r);
        });
  }
}

// A slab, its parts in memory.
template <class Codes, bool Halves, int M>
PHIAL_INLINE void direct_in_memory(const DirectSlab& slab, ByteTable table) {
  for (int32_t i = 0; i < M * kPackedRows; i += kLanes) store(slab.parts + i, zero());
  const auto* words = reinterpret_cast<const int32_t*>(slab.x.codes);
  for (int32_t c = 0; c < slab.count; ++c, words += 8 * M) {
    const auto ahead = reinterpret_cast<uintptr_t>(slab.begin + c * slab.ahead_bytes);
    direct_chunk<Codes, Halves, M>(slab, c, words, (Halves ? 2 : 1) * c, table, ahead);
  }
  add_parts<M>(slab.parts, slab.x.scales, slab.y);
}

// A slab, all of its sums and parts in registers.
template <class Codes, bool Offsets, bool Halves, int M>
PHIAL_INLINE void direct_in_registers(const DirectSlab& slab, ByteTable table) {
  constexpr int kVecs = kPackedRows / kLanes;
  Vec part[M][kVecs];
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) part[m][v] = zero();
  }
  const auto* words = reinterpret_cast<const int32_t*>(slab.x.codes);
  const uint8_t* chunk = slab.chunks;
  for (int32_t c = 0; c < slab.count; ++c, words += 8 * M, chunk += slab.chunk_bytes) {
    const auto ahead = reinterpret_cast<uintptr_t>(slab.begin + c * slab.ahead_bytes);
    each_half<Halves, M>(
        slab, c, (Halves ? 2 : 1) * c,
        [&](auto h, const int32_t* starts, const float* sums, const float* scale,
            const float* offset) __attribute__((always_inline)) {
          Words total[M][kVecs];
          sum_piece<Codes, Halves, M, kVecs, decltype(h)::value>(chunk, words, starts, table, ahead,
                                                                 total);
          add_to_registers(total, scale, part);
          if constexpr (Offsets) add_offsets(sums, offset, part);
        });
    own_registers(part);
  }
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      float* at = slab.y + m * kPackedRows + v * kLanes;
      store(at, fma(part[m][v], broadcast(slab.x.scales[m]), load(at)));
    }
  }
}

template <class Codes, bool Halves, int M>
PHIAL_APART void direct_slab(const DirectSlab& slab) {
  const ByteTable table = table_of_book(slab.book);
  if constexpr (!has_direct_registers(M)) {
    direct_in_memory<Codes, Halves, M>(slab, table);
  } else if (slab.has_offsets) {
    direct_in_registers<Codes, true, Halves, M>(slab, table);
  } else {
    direct_in_registers<Codes, false, Halves, M>(slab, table);
  }
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
    own.sums[m] = Halves ? input.sums[0] : input.chunk_sum;
    if constexpr (Halves) own.sums[M + m] = input.sums[1];
  }
  load_direct_sums<Codes, Halves>(slab, own.sums, M);
  for (int32_t i = 0; i < M * kPackedRows; i += kLanes) store(slab.parts + i, zero());
  direct_chunk<Codes, Halves, M>(slab, c, own.words, 0, table_of_book(slab.book),
                                 reinterpret_cast<uintptr_t>(slab.begin));
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
  TileSums sums;
  SlabScales scales;
  DirectSlab slab;
  slab.chunk_bytes = layout.chunk_bytes;
  slab.group_shift = shift_of(layout.group, kUnit);
  slab.zero = zero_of_codes(layout);
  slab.has_offsets = layout.offsets != PackedOffsets::none;
  slab.book = layout.book;
  slab.parts = parts;
  slab.sums = &sums;
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
        load_direct_sums<Codes, Halves>(slab, Halves ? slab.x.sums : slab.x.chunk_sums,
                                        slab.count * rows);
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

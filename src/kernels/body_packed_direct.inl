// direct: codes of a chunk meet the words of a few rows of inputs. Sums of products are integers,
// which any order gives alike; each chunk (each half of it where groups have 16 columns) then adds
// to float32 parts, in registers or in the first-level cache, always in the order of the columns.
// Then the rows that have high codes in a chunk meet its codes again.

// Chunks of a slab of weights, and rows of inputs.
struct DirectSlab {
  const uint8_t* chunks;
  int32_t chunk_bytes;
  int32_t count;        // chunks
  int32_t first_chunk;  // of the slab
  int32_t group_shift;  // of a chunk's (or half's) number: which scale is its own
  int32_t zero;         // of the codes, as readers give them
  bool has_offsets;
  PackedBook book;
  const SlabScales* scales;
  uintptr_t begin;            // of the slab, and of the next ones: what is read ahead
  int64_t ahead_bytes;        // of the slab for each chunk
  const int32_t* words;       // [columns / 4][rows] of 4 codes
  const int32_t* code_sums;   // [chunks, or halves of them][rows]; 16 may be read
  const float* x_scales;      // [rows]
  float* y[kDirectTileRows];  // of each row: [kPackedRows]
  // Not on a loop's own stack, where they would hide spills.
  float* parts;  // [rows][kPackedRows], of this slab and tile
  TileSums* sums;
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
    read_line_ahead(here + 64 * line);
  }
}

// One step of kVecs registers of rows against M rows of inputs, whose words lie kStride apart.
template <int kTop, int M, int kVecs, int kStride = 1, int m = 0>
PHIAL_INLINE void multiply_rows(const Words (&codes)[kVecs], const Words (&factors)[kVecs],
                                const int32_t* words, Part (&part)[M][kVecs]) {
  if constexpr (m < M) {
    const auto x = input_word<M * kStride, m * kStride>(words);
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      part[m][v] = multiply_add<kTop>(part[m][v], codes[v], factors[v], x);
    }
    multiply_rows<kTop, M, kVecs, kStride, m + 1>(codes, factors, words, part);
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

// start(m) of row m, and sums of products over the steps of piece h of a chunk.
template <class Codes, bool Halves, int M, int kVecs, int h, class Start>
PHIAL_INLINE void sum_piece(const uint8_t* chunk, const int32_t* words, ByteTable table,
                            uintptr_t ahead, Words (&total)[M][kVecs], const Start& start) {
  constexpr int kSteps = Halves ? 4 : 8;
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    const Words first = words_of(start(m));
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) total[m][v] = first;
  }
  sum_steps<Codes, M, kVecs, h * kSteps, kSteps>(chunk, words, table, ahead, total);
  load_again();
}

// Calls use(h, at, scale, offset) for the pieces of chunk c, which have one scale each: the chunk
// or, with Halves, its halves. The sums of a piece's inputs are at `at`.
template <bool Halves, int M, class Use>
PHIAL_INLINE void each_half(const DirectSlab& slab, int32_t c, const Use& use) {
  constexpr int kParts = Halves ? 2 : 1;
  const auto visit = [&](auto h) __attribute__((always_inline)) {
    constexpr int kHalf = decltype(h)::value;
    const int32_t g = (kParts * (slab.first_chunk + c) + kHalf) >> slab.group_shift;
    use(h, (kParts * c + kHalf) * M, own_address(slab.scales->scale[g]), slab.scales->offset[g]);
  };
  visit(Number<0>{});
  if constexpr (Halves) visit(Number<1>{});
}

// The chunks, their parts in memory.
template <class Codes, bool Halves, int M>
PHIAL_INLINE void direct_in_memory(const DirectSlab& slab, ByteTable table) {
  constexpr int kVecs = direct_vecs(Codes::kTop, M, Codes::kOthers);
  constexpr int kLines = lines_of_pass<Codes>(kPackedRows / (kVecs * kLanes));
  load_tile_sums(slab.code_sums, (Halves ? 2 : 1) * slab.count * M,
                 code_bias(Codes::kTop) - slab.zero, slab.has_offsets, *slab.sums);
  for (int32_t i = 0; i < M * kPackedRows; i += kLanes) store(slab.parts + i, zero());
  const int32_t* words = slab.words;
  const uint8_t* chunk = slab.chunks;
  for (int32_t c = 0; c < slab.count; ++c, words += 8 * M, chunk += slab.chunk_bytes) {
    uintptr_t ahead = slab.begin + static_cast<uintptr_t>(c * slab.ahead_bytes);
    for (int r = 0; r < kPackedRows; r += kVecs * kLanes, ahead += 64 * kLines) {
      each_half<Halves, M>(
          slab, c,
          [&](auto h, int32_t at, const float* scale, const float* offset)
              __attribute__((always_inline)) {
                const int32_t* starts = own_address(slab.sums->starts + at);
                Words total[M][kVecs];
                sum_piece<Codes, Halves, M, kVecs, decltype(h)::value>(
                    chunk + 4 * r, words, table, ahead, total, [&](int m) { return starts[m]; });
                add_totals(total, scale + r, slab.has_offsets ? offset + r : nullptr,
                           slab.sums->sums + at, slab.parts + r);
              });
    }
  }
  add_parts<M>(slab.parts, slab.x_scales, slab.y);
}

// The same, all sums and parts in registers.
template <class Codes, bool Offsets, bool Halves, int M>
PHIAL_INLINE void direct_in_registers(const DirectSlab& slab, ByteTable table) {
  constexpr int kVecs = kPackedRows / kLanes;
  const int32_t minus_zero = code_bias(Codes::kTop) - slab.zero;
  Vec part[M][kVecs];
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) part[m][v] = zero();
  }
  const int32_t* words = slab.words;
  const uint8_t* chunk = slab.chunks;
  for (int32_t c = 0; c < slab.count; ++c, words += 8 * M, chunk += slab.chunk_bytes) {
    const uintptr_t ahead = slab.begin + static_cast<uintptr_t>(c * slab.ahead_bytes);
    each_half<Halves, M>(
        slab, c,
        [&](auto h, int32_t at, const float* scale, const float* offset)
            __attribute__((always_inline)) {
              const int32_t* sums = slab.code_sums + at;
              Words total[M][kVecs];
              sum_piece<Codes, Halves, M, kVecs, decltype(h)::value>(
                  chunk, words, table, ahead, total, [&](int m) { return minus_zero * sums[m]; });
              add_to_registers(total, scale, part);
              if constexpr (Offsets) {
                float floats[M];
                PHIAL_UNROLL
                for (int m = 0; m < M; ++m) floats[m] = static_cast<float>(sums[m]);
                add_offsets(floats, offset, part);
              }
            });
    own_registers(part);
  }
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) add_part(part[m][v], slab.x_scales[m], slab.y[m] + v * kLanes);
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

template <class Codes, bool Halves, int M = 1>
PHIAL_INLINE void direct_rows(int32_t rows, const DirectSlab& slab) {
  if constexpr (M <= kDirectTileRows) {
    if (rows == M) return direct_slab<Codes, Halves, M>(slab);
    direct_rows<Codes, Halves, M + 1>(rows, slab);
  }
}

// High codes of rows that need not be neighbours, in one chunk.
struct HighTile {
  int32_t words[8 * kMostTileRows];
  int32_t sums[2 * kMostTileRows];  // of chunks, or of halves; 16 may be read
  float scales[kMostTileRows];
};

// As row m of `rows`.
template <bool Halves>
PHIAL_INLINE void put_high(const HighChunk& chunk, int32_t m, int32_t rows, HighTile& out) {
  PHIAL_UNROLL
  for (int i = 0; i < 8; ++i) __builtin_memcpy(out.words + i * rows + m, chunk.codes + 4 * i, 4);
  out.sums[m] = Halves ? chunk.sums[0] : chunk.chunk_sum;
  if constexpr (Halves) out.sums[rows + m] = chunk.sums[1];
  out.scales[m] = chunk.scale;
}

// More steps than this of a chunk's eight are multiplied as those of low codes are: all of them.
constexpr int kMostHighSteps = 4;

// Adds to y what the high codes of a tile's rows make; `slab` is as for its low ones.
template <class Codes, bool Halves>
PHIAL_APART void direct_high(const SlabTile& x, const DirectSlab& slab, HighTile& tile) {
  const ByteTable table = table_of_book(slab.book);
  HighWeights w;
  w.minus_zero = code_bias(Codes::kTop) - slab.zero;
  DirectSlab single = slab;  // of one chunk
  single.words = tile.words;
  single.code_sums = tile.sums;
  single.x_scales = tile.scales;
  single.count = 1;
  // The low ones have read what comes before.
  single.begin += static_cast<uintptr_t>(slab.count * slab.ahead_bytes);
  for (int32_t c = 0; c < slab.count; ++c) {
    unsigned rows = x.high_rows[c];
    if (rows == 0) continue;
    unsigned steps = 0;
    for (unsigned rest = rows; rest != 0; rest &= rest - 1) {
      steps |= x.high[__builtin_ctz(rest) * slab.count + c].steps;
    }
    const auto next = [&](const HighChunk*& row, float*& y) __attribute__((always_inline)) {
      const int32_t m = __builtin_ctz(rows);
      row = &x.high[m * slab.count + c];
      y = slab.y[m];
      rows &= rows - 1;
    };
    const int32_t count = __builtin_popcount(rows);
    const uint8_t* chunk = slab.chunks + c * slab.chunk_bytes;
    if (__builtin_popcount(steps) > kMostHighSteps) {
      single.chunks = chunk;
      single.first_chunk = slab.first_chunk + c;
      for (int32_t m = 0; m < count; ++m) {
        const HighChunk* row;
        next(row, single.y[m]);
        put_high<Halves>(*row, m, count, tile);
      }
      direct_rows<Codes, Halves>(count, single);
      single.begin += static_cast<uintptr_t>(slab.ahead_bytes);
      continue;
    }
    take_chunk<Halves>(chunk, slab.first_chunk + c, slab.group_shift, *slab.scales,
                       slab.has_offsets, w);
    add_high_of_chunk<Codes, Halves>(w, table, count, next);
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
  alignas(64) HighTile high;
  TileSums sums;
  SlabScales scales;
  DirectSlab slab;
  slab.chunk_bytes = layout.chunk_bytes;
  slab.first_chunk = 0;
  slab.group_shift = shift_of(layout.group, kUnit);
  slab.zero = zero_of_codes(layout);
  slab.has_offsets = layout.offsets != PackedOffsets::none;
  slab.book = layout.book;
  slab.parts = parts;
  slab.sums = &sums;
  slab.scales = &scales;
  const Tiling tiling(x);
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
      slab.begin = reinterpret_cast<uintptr_t>(panel + done);
      slab.ahead_bytes = (end - done) / slab.count;
      done = end;
      SlabTile tile = slab_tile(x, tiling, s, 0);
      float* tile_y = y;
      for (int32_t t = 0; t < tiling.tiles; ++t) {
        const int32_t rows = tiling.rows(t);
        slab.words = reinterpret_cast<const int32_t*>(tile.codes);
        slab.code_sums = Halves ? tile.sums : tile.chunk_sums;
        slab.x_scales = tile.scales;
        for (int32_t m = 0; m < rows; ++m, tile_y += kPackedRows) slab.y[m] = tile_y;
        direct_rows<Codes, Halves>(rows, slab);
        if (high_rows_of(tile) != 0) direct_high<Codes, Halves>(tile, slab, high);
        advance(tile, slab.count * kChunkColumns, rows);
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

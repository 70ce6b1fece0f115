// gemm: a slab of a panel (64 rows x 256 columns) is unpacked to bytes, 16 KB that stay in the
// first-level cache while all rows of inputs pass by; results wait in float32 in the second-level
// cache for the next slab. A slab of the inputs is one run of bytes. Of high codes, tiles of one
// chunk are put together from the rows that have some.

// Chunks of a slab of weights as bytes, steps of [kPackedRows][4], and a tile of inputs.
struct GemmSlab {
  const uint8_t* codes;
  int32_t chunks;
  int32_t first_chunk;  // of the slab
  int32_t group_shift;  // of a chunk's (or half's) number: which scale is its own
  int32_t zero;         // of the codes
  const SlabScales* scales;
  const int8_t* words;  // [columns / 4][rows] of 4 codes
  const TileSums* sums;
  const float* x_scales;    // [rows]
  float* y[kGemmTileRows];  // of each row: [kPackedRows]
  // For vocabularies with too few registers, 64-byte aligned: the same of this slab alone, and a
  // word for each sum that is in flight.
  float* parts;
  uint8_t* waiting;
};
constexpr int kWaitingBytes = kGemmTileRows * kGemmTileVecs * 4 * kLanes;

// What adds to a part with one scale: a chunk, or half of one.
struct GemmPiece {
  const uint8_t* codes;
  const int32_t* words;
  const int32_t* starts;
  const float* sums;
  const float* scale;
  const float* offset;
};

// Which kernel takes codes of at most `top`: those that differ in nothing share one.
constexpr int gemm_top(int top) {
  if (kPartsAreTotals) return code_bias(top) == code_bias(255) ? 255 : 63;
  return top <= 15 ? 15 : top <= 31 ? 31 : top <= 63 ? 63 : 255;
}

// One step of kVecs registers of rows against M rows of inputs.
template <int kTop, int M, int kVecs>
PHIAL_INLINE void add_step(const uint8_t* codes, const int32_t* words, Part (&part)[M][kVecs]) {
  load_again();
  Words w[kVecs], factors[kVecs];
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    w[v] = load_words(codes + v * 4 * kLanes);
    factors[v] = as_factor<kTop>(w[v]);
  }
  multiply_rows<kTop>(w, factors, words, part);
}

// Where a part has one or two steps: each is widened as soon as it is there.
template <int kTop, int M, int kVecs>
PHIAL_INLINE void sum_short_parts(const uint8_t* codes, const int32_t* words, int32_t steps,
                                  Words (&total)[M][kVecs]) {
  constexpr int kPart = part_steps(kTop);
  for (int32_t s = 0; s < steps; s += kPart, codes += kPart * kLineBytes, words += kPart * M) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      load_again();
      Words w[kPart], factors[kPart];
      PHIAL_UNROLL
      for (int i = 0; i < kPart; ++i) {
        w[i] = load_words(codes + i * kLineBytes + v * 4 * kLanes);
        factors[i] = as_factor<kTop>(w[i]);
      }
      PHIAL_UNROLL
      for (int m = 0; m < M; ++m) {
        Part part = begin_part(total[m][v]);
        PHIAL_UNROLL
        for (int i = 0; i < kPart; ++i) {
          part = multiply_add<kTop>(part, w[i], factors[i], words_of(words[i * M + m]));
        }
        total[m][v] = end_part(part, total[m][v]);
      }
    }
    own_registers(total);
  }
}

// Where a part has four steps or more: all registers are for the parts, totals wait in memory until
// the last one.
template <int kTop, int kSteps, int M, int kVecs>
PHIAL_INLINE void sum_long_parts(const uint8_t* codes, const int32_t* words, const int32_t* starts,
                                 uint8_t* waiting, Words (&total)[M][kVecs]) {
  constexpr int kPart = part_steps(kTop) < kSteps ? part_steps(kTop) : kSteps;
  PHIAL_UNROLL
  for (int s = 0; s < kSteps; s += kPart) {
    Part part[M][kVecs];
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) part[m][v] = begin_part(words_of(0));
    }
    PHIAL_UNROLL
    for (int i = s; i < s + kPart; ++i) add_step<kTop>(codes + i * kLineBytes, words + i * M, part);
    load_again();
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) {
        uint8_t* at = waiting + (m * kVecs + v) * 4 * kLanes;
        const Words before = s == 0 ? words_of(starts[m]) : load_words(at);
        total[m][v] = end_part(part[m][v], before);
        if (s + kPart < kSteps) store_words(at, total[m][v]);
      }
    }
  }
}

// starts + sums of products over kSteps steps.
template <int kTop, int kSteps, int M, int kVecs>
PHIAL_INLINE void sum_products(const uint8_t* codes, const int32_t* words, const int32_t* starts,
                               [[maybe_unused]] uint8_t* waiting, Words (&total)[M][kVecs]) {
  if constexpr (!kPartsAreTotals && part_steps(kTop) > 2) {
    sum_long_parts<kTop, kSteps, M>(codes, words, starts, waiting, total);
    return;
  }
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) total[m][v] = words_of(starts[m]);
  }
  if constexpr (!kPartsAreTotals) {
    sum_short_parts<kTop>(codes, words, kSteps, total);
  } else {
    PHIAL_UNROLL
    for (int s = 0; s < kSteps; ++s) add_step<kTop>(codes + s * kLineBytes, words + s * M, total);
  }
}

// Calls use(piece) for the pieces of the weight rows from r on, in the order of their sum. kWords:
// words of a step.
template <bool Halves, int M, int kWords = M, class Use>
PHIAL_INLINE void each_piece(const GemmSlab& slab, int32_t r, const Use& use) {
  constexpr int kParts = Halves ? 2 : 1;
  constexpr int kSteps = 8 / kParts;
  const int32_t first = kParts * slab.first_chunk;
  for (int32_t i = 0; i < kParts * slab.chunks; ++i) {
    const int32_t g = (first + i) >> slab.group_shift;
    GemmPiece piece;
    piece.codes = own_address(slab.codes + i * kSteps * kLineBytes + 4 * r);
    piece.words = own_address(reinterpret_cast<const int32_t*>(slab.words) + i * kSteps * kWords);
    piece.starts = own_address(slab.sums->starts + i * M);
    piece.sums = slab.sums->sums + i * M;
    piece.scale = own_address(slab.scales->scale[g] + r);
    piece.offset = slab.scales->offset[g] + r;
    use(piece);
  }
}

// kVecs registers of rows against a tile, all pieces of a slab. Parts in registers took 14 % less
// time on a Zen 5 core than parts in memory with twice the rows.
template <int kTop, bool Offsets, bool Halves, int M>
PHIAL_INLINE void gemm_rows(const GemmSlab& slab, int32_t r) {
  constexpr int kVecs = kGemmTileVecs;
  Vec part[M][kVecs];
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) part[m][v] = zero();
  }
  each_piece<Halves, M>(
      slab, r, [&](const GemmPiece& piece) __attribute__((always_inline)) {
        Words total[M][kVecs];
        sum_products<kTop, Halves ? 4 : 8, M>(piece.codes, piece.words, piece.starts, slab.waiting,
                                              total);
        load_again();
        add_to_registers(total, piece.scale, part);
        if constexpr (Offsets) add_offsets(piece.sums, piece.offset, part);
        own_registers(part);
      });
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      add_part(part[m][v], slab.x_scales[m], slab.y[m] + r + v * kLanes);
    }
  }
}

// The same where there are too few registers: parts in memory.
template <int kTop, bool Offsets, bool Halves, int M>
PHIAL_INLINE void gemm_rows_in_memory(const GemmSlab& slab, int32_t r, float* parts) {
  constexpr int kVecs = kGemmTileVecs;
  each_piece<Halves, M>(
      slab, r, [&](const GemmPiece& piece) __attribute__((always_inline)) {
        Words total[M][kVecs];
        sum_products<kTop, Halves ? 4 : 8, M>(piece.codes, piece.words, piece.starts, slab.waiting,
                                              total);
        add_totals(total, piece.scale, Offsets ? piece.offset : nullptr, piece.sums, parts);
      });
}

template <int kTop, bool Offsets, bool Halves, int M>
PHIAL_APART void gemm_slab(const GemmSlab& slab) {
  if constexpr (kPartsInRegisters) {
    for (int32_t r = 0; r < kPackedRows; r += kGemmTileVecs * kLanes) {
      gemm_rows<kTop, Offsets, Halves, M>(slab, r);
    }
  } else {
    for (int32_t i = 0; i < M * kPackedRows; i += kLanes) store(slab.parts + i, zero());
    for (int32_t r = 0; r < kPackedRows; r += kGemmTileVecs * kLanes) {
      gemm_rows_in_memory<kTop, Offsets, Halves, M>(slab, r, slab.parts + r);
    }
    add_parts<M>(slab.parts, slab.x_scales, slab.y);
  }
}

using GemmSlabFn = void (*)(const GemmSlab&);
template <int kTop, bool Halves, int M = 1>
PHIAL_INLINE GemmSlabFn gemm_slab_of(int32_t rows, bool with_offsets) {
  if constexpr (M < kGemmTileRows) {
    if (rows != M) return gemm_slab_of<kTop, Halves, M + 1>(rows, with_offsets);
  }
  return with_offsets ? gemm_slab<kTop, true, Halves, M> : gemm_slab<kTop, false, Halves, M>;
}

// `use(step, offset)` for the eight steps of every register of rows of a chunk.
template <class Codes, int s = 0, class Use>
PHIAL_INLINE void each_step(const uint8_t* chunk, ByteTable table, const Use& use) {
  if constexpr (s < 8) {
    use(Number<s>{}, Codes::template step<s>(chunk, table));
    each_step<Codes, s + 1>(chunk, table, use);
  }
}

template <class Codes>
PHIAL_APART void unpack_codes(const uint8_t* chunks, int32_t chunk_bytes, int32_t count,
                              ByteTable table, uint8_t* out) {
  for (int32_t c = 0; c < count; ++c, chunks += chunk_bytes, out += 8 * kLineBytes) {
    for (int32_t r = 0; r < kPackedRows; r += kLanes) {
      each_step<Codes>(
          chunks + 4 * r, table, [&](auto s, Words codes) __attribute__((always_inline)) {
            store_words(out + decltype(s)::value * kLineBytes + 4 * r, codes);
          });
    }
  }
}

// How codes lie in a slab, and what multiplies them.
struct ByRows {
  template <class Codes>
  static void unpack(const uint8_t* chunks, int32_t chunk_bytes, int32_t count, ByteTable table,
                     uint8_t* out) {
    unpack_codes<Codes>(chunks, chunk_bytes, count, table, out);
  }
  template <int kTop, bool Halves>
  static GemmSlabFn slab_of(int32_t rows, bool with_offsets) {
    return gemm_slab_of<kTop, Halves>(rows, with_offsets);
  }
};

// What one slab of a panel becomes.
struct GemmWeights {
  alignas(64) uint8_t codes[kSlabColumns * kPackedRows];
  SlabScales scales;
  alignas(64) float parts[kGemmTileRows * kPackedRows];
  alignas(64) uint8_t waiting[kWaitingBytes];
  TileSums sums[2];
  alignas(64) HighTile high;
};

// Calls use(row) for the rows that have high codes in chunk c of the slab that `first` begins.
template <class Use>
PHIAL_INLINE void each_high_row(const Tiling& tiling, const SlabTile& first, int32_t c,
                                const Use& use) {
  const uint8_t* tile_rows = first.high_rows + c * tiling.tiles;
  for (int32_t t = 0; t < tiling.tiles; t += 8) {
    const int32_t left = tiling.tiles - t;
    uint64_t bits = 0;
    __builtin_memcpy(&bits, tile_rows + t, static_cast<size_t>(left < 8 ? left : 8));
    for (; bits != 0; bits &= bits - 1) {
      const int bit = __builtin_ctzll(bits);
      use(tiling.begin(t + bit / 8) + bit % 8);
    }
  }
}

// Adds to y what high codes make with a slab of weights; `slab` is as for its low codes, of which
// `first` are those of the first tile.
template <class Form, int kTop, bool Halves>
PHIAL_APART void gemm_high(const Tiling& tiling, const SlabTile& first, GemmSlab slab,
                           bool has_offsets, GemmWeights& weights, float* y) {
  HighTile& tile = weights.high;
  TileSums& sums = weights.sums[0];
  const int32_t chunks = slab.chunks;
  const uint8_t* codes = slab.codes;
  slab.words = reinterpret_cast<const int8_t*>(tile.words);
  slab.sums = &sums;
  slab.x_scales = tile.scales;
  slab.chunks = 1;
  for (int32_t c = 0; c < chunks; ++c) {
    slab.first_chunk = c;
    slab.codes = codes + c * 8 * kLineBytes;
    const auto multiply = [&](const int32_t* rows, int32_t count) {
      for (int32_t m = 0; m < count; ++m) {
        put_high<Halves>(first.high[rows[m] * chunks + c], m, count, tile);
        slab.y[m] = y + rows[m] * kPackedRows;
      }
      load_tile_sums(tile.sums, (Halves ? 2 : 1) * count, code_bias(kTop) - slab.zero, has_offsets,
                     sums);
      Form::template slab_of<kTop, Halves>(count, has_offsets)(slab);
    };
    // Many at once: what lies here and there is on its way before the first is multiplied.
    int32_t rows[16 * kGemmTileRows];
    constexpr int32_t kMost = sizeof(rows) / sizeof(rows[0]);
    int32_t count = 0;
    const auto multiply_all = [&] {
      for (int32_t i = 0; i < count; i += kGemmTileRows) {
        multiply(rows + i, count - i < kGemmTileRows ? count - i : kGemmTileRows);
      }
      count = 0;
    };
    each_high_row(tiling, first, c, [&](int32_t row) {
      prefetch(reinterpret_cast<uintptr_t>(&first.high[row * chunks + c]));
      rows[count++] = row;
      if (count == kMost) multiply_all();
    });
    multiply_all();
  }
}

template <class Form, class Codes, bool Halves>
static void gemm_panels(const PackedProductArgs& args) {
  const PackedLayout& layout = args.weights->layout;
  const QuantizedRows& x = args.x;
  auto& weights = *static_cast<GemmWeights*>(args.scratch);
  auto* y = reinterpret_cast<float*>(&weights + 1);
  const ByteTable table = table_of_book(layout.book);
  GemmSlab slab;
  slab.codes = weights.codes;
  slab.first_chunk = 0;
  slab.parts = weights.parts;
  slab.waiting = weights.waiting;
  slab.group_shift = shift_of(layout.group, Halves ? 16 : kChunkColumns);
  slab.zero = zero_of_codes(layout);
  slab.scales = &weights.scales;
  const bool has_offsets = layout.offsets != PackedOffsets::none;
  constexpr int kTop = gemm_top(Codes::kTop);
  const int64_t slabs = slab_count(layout);
  const Tiling tiling(x);
  const auto load_sums = [&](const SlabTile& tile, int32_t rows, TileSums& out) {
    load_tile_sums(Halves ? tile.sums : tile.chunk_sums, (Halves ? 2 : 1) * slab.chunks * rows,
                   code_bias(kTop) - slab.zero, has_offsets, out);
  };
  const auto ahead_lines =
      static_cast<int32_t>(layout.panel_bytes / slabs / (64 * tiling.tiles)) + 1;
  for (int64_t p = args.panel_begin; p < args.panel_end; ++p) {
    const uint8_t* panel = args.weights->panel(p);
    for (int64_t i = 0; i < int64_t{x.rows} * kPackedRows; i += kLanes) store(y + i, zero());
    for (int64_t s = 0; s < slabs; ++s) {
      slab.chunks = static_cast<int32_t>(slab_columns(layout, s) / kChunkColumns);
      load_slab_scales(layout, panel, s, Offsets::added, weights.scales);
      Form::template unpack<Codes>(panel + slab_parts(layout, s).chunks, layout.chunk_bytes,
                                   slab.chunks, table, weights.codes);
      // While tiles pass by, the next slab comes near: it lies behind this one, also where that is
      // the last of its panel.
      uintptr_t ahead =
          reinterpret_cast<uintptr_t>(panel) +
          static_cast<uintptr_t>(slab_parts(layout, s).chunks + slab.chunks * layout.chunk_bytes);
      const SlabTile first = slab_tile(x, tiling, s, 0);
      SlabTile next = first;
      float* tile_y = y;
      for (int32_t t = 0; t < tiling.tiles; ++t) {
        const int32_t rows = tiling.rows(t);
        if (t == 0) load_sums(next, rows, weights.sums[0]);
        slab.words = next.codes;
        slab.x_scales = next.scales;
        for (int32_t m = 0; m < rows; ++m, tile_y += kPackedRows) slab.y[m] = tile_y;
        slab.sums = &weights.sums[t % 2];
        advance(next, slab.chunks * kChunkColumns, rows);
        if (t + 1 < tiling.tiles) load_sums(next, tiling.rows(t + 1), weights.sums[(t + 1) % 2]);
        for (int32_t line = 0; line < ahead_lines; ++line, ahead += 64) prefetch(ahead);
        Form::template slab_of<kTop, Halves>(rows, has_offsets)(slab);
      }
      gemm_high<Form, kTop, Halves>(tiling, first, slab, has_offsets, weights, y);
    }
    put_panel(args, p, y);
  }
}

template <class Form>
static void gemm_packed(const PackedProductArgs& args) {
  with_codes(
      args.weights->layout, [&](auto reader) __attribute__((always_inline)) {
        using Codes = decltype(reader);
        if (args.weights->layout.group == 16) {
          if constexpr (kCanHalve<Codes>) gemm_panels<Form, Codes, true>(args);
        } else {
          gemm_panels<Form, Codes, false>(args);
        }
      });
}

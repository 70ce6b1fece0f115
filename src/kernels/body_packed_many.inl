// Many rows of inputs: a slab of a panel (64 rows x 256 columns) is unpacked to bytes, 16 KB that
// stay in the first-level cache while all rows of inputs pass by; results wait in float32 in the
// second-level cache for the next slab. A slab of the inputs is one run of bytes. High codes are
// few, and are multiplied row by row.

// Which kernel takes codes of at most `top`: those that differ in nothing share one.
constexpr int gemm_top(int top) {
  if (kPartsAreTotals) return code_bias(top) == code_bias(255) ? 255 : 63;
  return top <= 15 ? 15 : top <= 31 ? 31 : top <= 63 ? 63 : 255;
}

// `use(step, codes)` for the eight steps of every register of rows of a chunk.
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

// A slab of weights as many_rows() has it; what its low codes meet is added by those who inherit.
template <class CodesType, bool kWithHalves>
struct UnpackedSlab {
  using Codes = CodesType;
  static constexpr bool kHalves = kWithHalves;
  static constexpr int kTop = gemm_top(Codes::kTop);

  void begin(const PackedLayout& of) {
    layout = &of;
    has_offsets = of.offsets != PackedOffsets::none;
  }
  // The chunks of a slab, whose scales are there already.
  void load(const uint8_t* slab_chunks, int32_t) { chunks = slab_chunks; }
  // Chunk c as bytes: steps of [kPackedRows][4].
  const uint8_t* chunk_codes(int32_t c) {
    const int32_t bytes = layout->chunk_bytes;
    unpack_codes<Codes>(chunks + c * bytes, bytes, 1, table_of_book(layout->book), chunk);
    return chunk;
  }

  const PackedLayout* layout;
  bool has_offsets;
  const uint8_t* chunks;
  SlabScales scales;
  alignas(64) uint8_t chunk[8 * kLineBytes];
};

// A chunk of weights as bytes, for the high codes of one row of inputs after the other.
struct HighWeights {
  const uint8_t* codes;  // steps of [kPackedRows][4]
  const float* scales[2];
  const float* offsets[2];  // or null; of the chunk, or of its halves
  int32_t minus_zero;
};

// total += one step of codes times their word.
template <int kTop, int kVecs>
PHIAL_INLINE void add_high_step(const uint8_t* codes, const int8_t* inputs, int step,
                                Words (&total)[1][kVecs]) {
  int32_t word;
  __builtin_memcpy(&word, inputs + 4 * step, sizeof(word));
  codes = own_address(codes + step * kLineBytes);
  const Words x = words_of(word);
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    const Words w = load_words(codes + v * 4 * kLanes);
    const Part products = multiply_add<kTop>(begin_part(total[0][v]), w, as_factor<kTop>(w), x);
    total[0][v] = end_part(products, total[0][v]);
  }
}

// Adds to y what the high codes of one row make. Few steps have any, and only they are multiplied.
template <int kTop, bool Halves>
PHIAL_INLINE void add_high_row(const HighWeights& w, const HighChunk& high, float* y) {
  constexpr int kVecs = 4, kHalves = Halves ? 2 : 1;
  for (int32_t r = 0; r < kPackedRows; r += kVecs * kLanes) {
    const uint8_t* codes = w.codes + 4 * r;
    Vec part[1][kVecs];
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) part[0][v] = zero();
    PHIAL_UNROLL
    for (int h = 0; h < kHalves; ++h) {
      const int32_t sum = Halves ? high.sums[h] : high.chunk_sum;
      unsigned steps = Halves ? high.steps & 15u << 4 * h : high.steps;
      Words total[1][kVecs];
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) total[0][v] = words_of(w.minus_zero * sum);
      // Mostly there is one step, and a loop would cost more than that.
      if (steps != 0) add_high_step<kTop>(codes, high.codes, __builtin_ctz(steps), total);
      for (steps &= steps - 1; steps != 0; steps &= steps - 1) {
        add_high_step<kTop>(codes, high.codes, __builtin_ctz(steps), total);
        own_registers(total);
      }
      add_to_registers(total, own_address(w.scales[h] + r), part);
      const float floats[1] = {static_cast<float>(sum)};
      if (w.offsets[h] != nullptr) add_offsets(floats, w.offsets[h] + r, part);
    }
    float* to = own_address(y + r);
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) add_part(part[0][v], high.scale, to + v * kLanes);
  }
}

// Calls use(c, m) for the chunks c and rows m of a tile that have high codes, chunk after chunk.
template <class Use>
PHIAL_INLINE void each_high(const SlabTile& tile, const Use& use) {
  for (uint64_t rows = high_rows_of(tile); rows != 0; rows &= rows - 1) {
    const int bit = __builtin_ctzll(rows);
    use(bit / 8, bit % 8);
  }
}

// The rows that have high codes in each chunk of a slab.
struct HighRows {
  int32_t* rows[kSlabChunks];
  int32_t counts[kSlabChunks];
};

// Adds to y what high codes make with a slab of weights. `first` is the first tile of inputs.
template <class Slab>
PHIAL_APART void add_high(const HighRows& of, const SlabTile& first, int32_t chunks, Slab& slab,
                          float* y) {
  constexpr int32_t kParts = Slab::kHalves ? 2 : 1, kAhead = 16;
  const int32_t group_shift = shift_of(slab.layout->group, Slab::kHalves ? 16 : kChunkColumns);
  HighWeights w;
  w.minus_zero = code_bias(Slab::kTop) - zero_of_codes(*slab.layout);
  for (int32_t c = 0; c < chunks; ++c) {
    const int32_t* rows = of.rows[c];
    const int32_t count = of.counts[c];
    if (count == 0) continue;
    w.codes = slab.chunk_codes(c);
    for (int32_t h = 0; h < kParts; ++h) {
      const int32_t g = (kParts * c + h) >> group_shift;
      w.scales[h] = slab.scales.scale[g];
      w.offsets[h] = slab.has_offsets ? slab.scales.offset[g] : nullptr;
    }
    const HighChunk* high = first.high + c;
    for (int32_t i = 0; i < count; ++i) {
      const int32_t ahead = rows[i + kAhead < count ? i + kAhead : i];
      prefetch(reinterpret_cast<uintptr_t>(&high[ahead * chunks]));
      add_high_row<Slab::kTop, Slab::kHalves>(w, high[rows[i] * chunks], y + rows[i] * kPackedRows);
    }
  }
}

// The product, slab after slab. A Slab is an UnpackedSlab with
//   prepare(tile, rows, n)      reads the sums of a tile of inputs, to be number n of two
//   multiply(tile, rows, n, y)  adds to y [rows, kPackedRows] what its low codes make
template <class Slab>
static void many_rows(const PackedProductArgs& args) {
  const PackedLayout& layout = args.weights->layout;
  const QuantizedRows& x = args.x;
  static_assert(sizeof(Slab) <= kGemmScratchBytes);
  auto& slab = *static_cast<Slab*>(args.scratch);
  auto* y = reinterpret_cast<float*>(&slab + 1);
  HighRows high;
  for (int c = 0; c < kSlabChunks; ++c) {
    high.rows[c] = reinterpret_cast<int32_t*>(y + x.rows * kPackedRows) + c * x.rows;
  }
  slab.begin(layout);
  const int64_t slabs = slab_count(layout);
  const Tiling tiling(x);
  const auto ahead_lines =
      static_cast<int32_t>(layout.panel_bytes / slabs / (64 * tiling.tiles)) + 1;
  for (int64_t p = args.panel_begin; p < args.panel_end; ++p) {
    const uint8_t* panel = args.weights->panel(p);
    for (int64_t i = 0; i < int64_t{x.rows} * kPackedRows; i += kLanes) store(y + i, zero());
    for (int64_t s = 0; s < slabs; ++s) {
      const auto chunks = static_cast<int32_t>(slab_columns(layout, s) / kChunkColumns);
      const uint8_t* codes = panel + slab_parts(layout, s).chunks;
      load_slab_scales(layout, panel, s, Offsets::added, slab.scales);
      slab.load(codes, chunks);
      // While tiles pass by, the next slab comes near: it lies behind this one, also where that is
      // the last of its panel.
      uintptr_t ahead = reinterpret_cast<uintptr_t>(codes + int64_t{chunks} * layout.chunk_bytes);
      const SlabTile first = slab_tile(x, tiling, s, 0);
      SlabTile next = first;
      int32_t tile_row = 0;
      for (int32_t& count : high.counts) count = 0;
      slab.prepare(next, tiling.rows(0), 0);
      for (int32_t t = 0; t < tiling.tiles; ++t) {
        const int32_t rows = tiling.rows(t);
        const SlabTile tile = next;
        advance(next, chunks * kChunkColumns, rows);
        if (t + 1 < tiling.tiles) slab.prepare(next, tiling.rows(t + 1), (t + 1) % 2);
        for (int32_t line = 0; line < ahead_lines; ++line, ahead += 64) prefetch(ahead);
        each_high(tile, [&](int32_t c, int32_t m) {
          high.rows[c][high.counts[c]++] = tile_row + m;
          prefetch_second(reinterpret_cast<uintptr_t>(&tile.high[m * chunks + c]));
        });
        if (s + 1 == slabs) {
          // Where results will be put.
          for (int32_t m = tile_row; m < tile_row + rows; ++m) {
            const float* to = args.y + m * args.y_stride + p * kPackedRows - args.y_row;
            prefetch_lines(reinterpret_cast<const uint8_t*>(to), 0, 4 * kPackedRows);
          }
        }
        slab.multiply(tile, rows, t % 2, y + tile_row * kPackedRows);
        tile_row += rows;
      }
      add_high(high, first, chunks, slab, y);
    }
    put_panel(args, p, y);
  }
}

// Many rows of inputs: a slab of a panel (64 rows x 256 columns) is unpacked to bytes, 16 KB that
// stay in the first-level cache while all rows of inputs pass by; results wait in float32 in the
// second-level cache for the next slab. A slab of the inputs is one run of bytes. High codes, of
// which there are few, follow: as a list they are a run of bytes, too.

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

// The reader of what that makes.
template <int top>
struct UnpackedCodes : Bits8 {
  static constexpr int kTop = top;
};

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

// Adds to y what the high codes of a list make with a slab of weights.
template <class Slab>
PHIAL_APART void add_high(const HighChunk* next, const int32_t* counts, int32_t chunks, Slab& slab,
                          float* y) {
  constexpr int32_t kAhead = 16;
  const int32_t group_shift = shift_of(slab.layout->group, Slab::kHalves ? 16 : kChunkColumns);
  HighWeights w;
  w.minus_zero = code_bias(Slab::kTop) - zero_of_codes(*slab.layout);
  for (int32_t c = 0; c < chunks; ++c) {
    if (counts[c] == 0) continue;
    take_chunk<Slab::kHalves>(slab.chunk_codes(c), c, group_shift, slab.scales, slab.has_offsets,
                              w);
    add_high_of_chunk<UnpackedCodes<Slab::kTop>, Slab::kHalves>(
        w, ByteTable{},
        counts[c], [&](const HighChunk*& high, float*& row_y) __attribute__((always_inline)) {
          prefetch(reinterpret_cast<uintptr_t>(next + kAhead));
          high = next++;
          row_y = y + high->row * kPackedRows;
        });
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
      SlabTile next = slab_tile(x, tiling, s, 0);
      const int64_t columns = placed_columns(x, s);
      int32_t tile_row = 0;
      slab.prepare(next, tiling.rows(0), 0);
      for (int32_t t = 0; t < tiling.tiles; ++t) {
        const int32_t rows = tiling.rows(t);
        const SlabTile tile = next;
        advance(next, columns, rows);
        if (t + 1 < tiling.tiles) slab.prepare(next, tiling.rows(t + 1), (t + 1) % 2);
        for (int32_t line = 0; line < ahead_lines; ++line, ahead += 64) prefetch(ahead);
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
      add_high(x.high_list + s * kSlabChunks * x.rows, x.high_counts + s * kSlabChunks, chunks,
               slab, y);
    }
    put_panel(args, p, y);
  }
}

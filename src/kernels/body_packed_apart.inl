// Slabs in which high codes count with a scale that is not finite: 0 times it is not nothing, so
// that the rows of a tile must not meet the high codes that only others of them have. Such weights
// are damaged or absurd; they are done value by value, as kernels/packed.h says it.

PHIAL_INLINE bool has_high_codes(const QuantizedRows& x, int64_t slab) {
  const uint8_t* chunks = x.high_chunks + slab * tile_count(x);
  int any = 0;
  for (int32_t t = 0; t < tile_count(x); ++t) any |= chunks[t];
  return any != 0;
}

// The scales that high codes count with. False where one of them, or of the offsets, is not finite:
// a slab for apart_slab().
static bool scale_for_high(const PackedLayout& layout, int64_t slab, const SlabScales& scales,
                           SlabScales& out) {
  const Vec step = broadcast(static_cast<float>(kHighStep));
  Vec probe = zero();
  const auto put = [&](float* to, const float* from) __attribute__((always_inline)) {
    const Vec value = mul(step, load(from));
    probe = fma(value, zero(), probe);  // NaN and infinities times 0 are NaN
    store(to, value);
  };
  const int64_t group = layout.is_wide() ? kSlabColumns : layout.group;
  const int64_t groups = (slab_columns(layout, slab) + group - 1) / group;
  for (int64_t g = 0; g < groups; ++g) {
    for (int r = 0; r < kPackedRows; r += kLanes) {
      put(out.scale[g] + r, scales.scale[g] + r);
      if (layout.offsets != PackedOffsets::none) put(out.offset[g] + r, scales.offset[g] + r);
    }
  }
  return sum(probe) == 0;
}

// In body_packed_gemm.inl.
template <class Codes>
PHIAL_APART void unpack_codes(const uint8_t* chunks, int32_t chunk_bytes, int32_t count,
                              ByteTable table, uint8_t* out);

// One tile of inputs, `rows` high, against a slab of weights as bytes, steps of [kPackedRows][4].
struct ApartSlab {
  const uint8_t* codes;
  int32_t chunks;
  int32_t part_columns;  // that add to a part together: 32 or 16
  int32_t group_shift;   // of a part's number
  int32_t zero;          // of the codes
  bool has_offsets;
  const SlabScales* scales[2];  // for low and for high codes
  SlabTile x;
  int32_t rows;
  float* y;  // [rows][kPackedRows]
};

PHIAL_INLINE int32_t input_code(const ApartSlab& slab, int plane, int32_t m, int32_t column) {
  const int8_t* codes = plane == 0 ? slab.x.low.codes : slab.x.high.codes;
  return codes[column / 4 * 4 * slab.rows + 4 * m + column % 4];
}

// What the part_columns columns from `begin` on add to `part` of weight row r.
PHIAL_INLINE float add_apart(const ApartSlab& slab, int plane, int32_t m, int32_t r, int32_t begin,
                             float part) {
  int32_t products = 0, codes = 0;
  for (int32_t c = begin; c < begin + slab.part_columns; ++c) {
    const int32_t x = input_code(slab, plane, m, c);
    products += (slab.codes[c / 4 * kLineBytes + 4 * r + c % 4] - slab.zero) * x;
    codes += x;
  }
  const int32_t g = begin / slab.part_columns >> slab.group_shift;
  const SlabScales& scales = *slab.scales[plane];
  part = __builtin_fmaf(static_cast<float>(products), scales.scale[g][r], part);
  if (!slab.has_offsets) return part;
  return __builtin_fmaf(scales.offset[g][r], static_cast<float>(codes), part);
}

PHIAL_APART void apart_tile(const ApartSlab& slab) {
  for (int32_t m = 0; m < slab.rows; ++m) {
    float parts[kPackedRows] = {};
    for (int32_t c = 0; c < slab.chunks * kChunkColumns; c += kChunkColumns) {
      const bool high_there = (*slab.x.high_chunks >> c / kChunkColumns & 1) != 0;
      int any = 0;
      for (int32_t i = c; high_there && i < c + kChunkColumns; ++i) {
        any |= input_code(slab, 1, m, i);
      }
      for (int plane = 0; plane <= (any != 0 ? 1 : 0); ++plane) {
        for (int32_t at = c; at < c + kChunkColumns; at += slab.part_columns) {
          for (int32_t r = 0; r < kPackedRows; ++r) {
            parts[r] = add_apart(slab, plane, m, r, at, parts[r]);
          }
        }
      }
    }
    float* y = slab.y + m * kPackedRows;
    for (int32_t r = 0; r < kPackedRows; ++r) {
      y[r] = __builtin_fmaf(parts[r], slab.x.scales[m], y[r]);
    }
  }
}

// Slab s of one panel and all rows of inputs; y is [x.rows][kPackedRows].
template <class Codes, bool Halves>
PHIAL_APART void apart_slab(const PackedLayout& layout, const uint8_t* panel, int64_t s,
                            const SlabScales& scales, const SlabScales& high_scales,
                            const QuantizedRows& x, float* y) {
  alignas(64) uint8_t codes[kSlabColumns * kPackedRows];
  ApartSlab slab;
  slab.codes = codes;
  slab.chunks = static_cast<int32_t>(slab_columns(layout, s) / kChunkColumns);
  slab.part_columns = Halves ? kChunkColumns / 2 : kChunkColumns;
  slab.group_shift = shift_of(layout.group, slab.part_columns);
  slab.zero = zero_of_codes(layout);
  slab.has_offsets = layout.offsets != PackedOffsets::none;
  slab.scales[0] = &scales;
  slab.scales[1] = &high_scales;
  unpack_codes<Codes>(panel + slab_parts(layout, s).chunks, layout.chunk_bytes, slab.chunks,
                      table_of_book(layout.book), codes);
  for (int32_t t = 0; t < tile_count(x); ++t) {
    const int32_t first = tile_begin(x, t);
    slab.x = slab_tile(x, s, t);
    slab.rows = tile_begin(x, t + 1) - first;
    slab.y = y + first * kPackedRows;
    apart_tile(slab);
  }
}

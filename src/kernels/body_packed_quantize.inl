// quantize: a tile of a slab at a time, as bytes row by row and then, where they are low ones, as
// words among those of the tile.

// A tile's codes, each row by itself.
struct TileCodes {
  alignas(64) int8_t low[kMostTileRows][kSlabColumns];
  alignas(64) int8_t high[kMostTileRows][kSlabColumns];
  // Low codes as words, and room for a register of what the last ones are loaded with: where the
  // words belong, that would be another tile's, which another thread may be writing.
  alignas(64) int8_t words[kSlabColumns * kMostTileRows + 64] = {};
  alignas(64) int32_t sums[2][2 * kMostTileRows];  // of the halves of a chunk, or of two
  uint8_t high_rows[kSlabChunks];                  // of each chunk: bit m for row m
};

// The middle one of n: of eight without a branch that depends on them.
PHIAL_INLINE float middle_of(const float* values, int64_t n) {
  float v[kSlabChunks];
  for (int64_t i = 0; i < kSlabChunks; ++i) v[i] = i < n ? values[i] : __builtin_inff();
  const auto order = [&v](int i, int j) __attribute__((always_inline)) {
    const float low = v[i] < v[j] ? v[i] : v[j], high = v[i] < v[j] ? v[j] : v[i];
    v[i] = low, v[j] = high;
  };
  static_assert(kSlabChunks == 8);
  // Batcher's network.
  order(0, 1), order(2, 3), order(4, 5), order(6, 7);
  order(0, 2), order(1, 3), order(4, 6), order(5, 7);
  order(1, 2), order(5, 6);
  order(0, 4), order(1, 5), order(2, 6), order(3, 7);
  order(2, 4), order(3, 5);
  order(1, 2), order(3, 4), order(5, 6);
  return v[(n - 1) / 2];
}

// kernels/packed.h's top, of amax[0 ... n).
PHIAL_INLINE float top_of(const float* amax, int64_t n, float most, InputCodes codes) {
  const float least = most / 254.0f;
  if (codes == InputCodes::wide) return least;
  const float limit = 1.3f * middle_of(amax, n);
  float top = least;
  for (int64_t i = 0; i < n; ++i) {
    const float here = amax[i] <= limit ? amax[i] : 0.0f;
    top = here > top ? here : top;
  }
  return top;
}

// Row m, `columns` (whole chunks) at x; the scale is returned.
PHIAL_INLINE float quantize_row(const float* x, int64_t columns, InputCodes wanted, int32_t m,
                                TileCodes& tile) {
  float amax[kSlabChunks];
  Vec all = zero();
  const int64_t chunks = columns / kChunkColumns;
  for (int64_t c = 0; c < chunks; ++c) {
    Vec most = zero();
    PHIAL_UNROLL
    for (int i = 0; i < kChunkColumns; i += kLanes) {
      most = larger_magnitude(most, load(x + c * kChunkColumns + i));
    }
    all = larger_magnitude(all, most);
    amax[c] = largest_magnitude(most);
  }
  const float most = largest_magnitude(all);
  if (first(where_inverse(broadcast(most), broadcast(1.0f))) == 0) {
    for (int64_t c = 0; c < columns; ++c) tile.low[m][c] = tile.high[m][c] = 0;
    return most / 127.0f;
  }
  const float top = top_of(amax, chunks, most, wanted);
  const Vec inverse = broadcast(127.0f / top);
  for (int64_t c = 0; c < chunks; ++c) {
    const bool has_high = amax[c] > top;
    tile.high_rows[c] = static_cast<uint8_t>(tile.high_rows[c] | (has_high ? 1 << m : 0));
    PHIAL_UNROLL
    for (int i = 0; i < kChunkColumns; i += kLanes) {
      const int64_t at = c * kChunkColumns + i;
      const Vec q = round(mul(load(x + at), inverse));
      const Vec high = has_high ? round(mul(q, broadcast(1.0f / 254.0f))) : zero();
      store_codes(tile.high[m] + at, high);
      store_codes(tile.low[m] + at, nfma(high, broadcast(254.0f), q));
    }
  }
  return top / 127.0f;
}

// Sums of 16 columns of `width` words, one for each row or two where chunks are paired.
PHIAL_INLINE void sum_words(const int8_t* words, int32_t width, int32_t* sums) {
  static_assert(kLanes <= 2 * kMostTileRows);
  const Words ones = words_of(0x01010101);
  for (int r = 0; r < width; r += kLanes) {
    Part part = begin_part(words_of(0));
    for (int i = 0; i < 4; ++i) {
      // Beyond the rows of the tile lies what comes behind these words; nobody looks at its sums.
      const int8_t* at = words + 4 * (i * width + r);
      part = multiply_add<1>(part, ones, ones, load_words(reinterpret_cast<const uint8_t*>(at)));
    }
    store_words(reinterpret_cast<uint8_t*>(sums + r), end_part(part, words_of(0)));
  }
}

// Low codes of `height` rows as words, with zeros behind `columns`, all before any are summed: a
// register of what was just stored word by word is slow to load.
PHIAL_APART void put_low(const TileForm& form, int32_t height, int64_t columns, int64_t placed,
                         TileCodes& tile, const SlabTile& out) {
  const int32_t width = form.paired ? 2 * height : height;
  if (placed > columns) __builtin_memset(tile.words, 0, static_cast<size_t>(placed * height));
  for (int32_t m = 0; m < height; ++m) {
    for (int64_t c = 0; c < columns / kChunkColumns; ++c) {
      const int8_t* from = tile.low[m] + c * kChunkColumns;
      int8_t* to = tile.words + 4 * place_in_tile(form, height, c, 8, 0, m);
      PHIAL_UNROLL
      for (int i = 0; i < 8; ++i) __builtin_memcpy(to + 4 * i * width, from + 4 * i, 4);
    }
  }
  __builtin_memcpy(out.codes, tile.words, static_cast<size_t>(placed * height));
  for (int64_t c = 0; c < placed * height / (kChunkColumns * width); ++c) {
    int32_t(&halves)[2][2 * kMostTileRows] = tile.sums;
    const int8_t* words = tile.words + 4 * 8 * c * width;
    sum_words(words, width, halves[0]);
    sum_words(words + 4 * 4 * width, width, halves[1]);
    int32_t* sums = out.sums + 2 * c * width;
    int32_t* chunk_sums = out.chunk_sums + c * width;
    for (int32_t m = 0; m < width; ++m) {
      sums[m] = halves[0][m];
      sums[width + m] = halves[1][m];
      chunk_sums[m] = halves[0][m] + halves[1][m];
    }
  }
}

PHIAL_INLINE int32_t sum_of_16(const int8_t* codes) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += codes[i];
  return sum;
}

// High codes of chunk c, of the rows that have some.
PHIAL_APART void put_high_chunk(int64_t chunks, int64_t c, const TileCodes& tile,
                                const SlabTile& out) {
  for (unsigned rows = tile.high_rows[c]; rows != 0; rows &= rows - 1) {
    const int m = __builtin_ctz(rows);
    const int8_t* codes = tile.high[m] + c * kChunkColumns;
    HighChunk& high = out.high[m * chunks + c];
    __builtin_memcpy(high.codes, codes, kChunkColumns);
    high.sums[0] = sum_of_16(codes);
    high.sums[1] = sum_of_16(codes + 16);
    high.chunk_sum = high.sums[0] + high.sums[1];
    high.scale = kHighStep * out.scales[m];
    high.steps = 0;
    for (int i = 0; i < 8; ++i) {
      uint32_t word;
      __builtin_memcpy(&word, codes + 4 * i, sizeof(word));
      high.steps |= word != 0 ? 1u << i : 0;
    }
  }
}

PHIAL_APART void quantize_tile(const QuantizeArgs& args, int32_t t, int64_t slab,
                               TileCodes& codes) {
  const QuantizedRows& out = args.out;
  const SlabTile tile = slab_tile(out, slab, t);
  const int32_t begin = tile_begin(out, t), height = tile_begin(out, t + 1) - begin;
  const int64_t columns = quantized_columns(out, slab);
  const int64_t there = out.columns - slab * kSlabColumns;
  for (uint8_t& rows : codes.high_rows) rows = 0;
  for (int32_t m = 0; m < height; ++m) {
    const float* x = args.x + (begin + m) * args.x_stride + (slab - args.slab_begin) * kSlabColumns;
    float padded[kSlabColumns];
    if (there < columns) {
      for (int64_t c = 0; c < columns; c += kLanes) store(padded + c, zero());
      for (int64_t c = 0; c < there; ++c) padded[c] = x[c];
      x = padded;
    }
    tile.scales[m] = quantize_row(x, columns, args.codes, m, codes);
  }
  const int64_t chunks = columns / kChunkColumns;
  put_low(out.tile, height, columns, placed_columns(out, slab), codes, tile);
  for (int64_t c = 0; c < chunks; ++c) {
    put_high_chunk(chunks, c, codes, tile);
  }
  __builtin_memcpy(tile.high_rows, codes.high_rows, sizeof(codes.high_rows));
}

static void quantize(const QuantizeArgs& args) {
  TileCodes codes;
  for (int32_t t = args.tile_begin; t < args.tile_end; ++t) {
    for (int64_t slab = args.slab_begin; slab < args.slab_end; ++slab)
      quantize_tile(args, t, slab, codes);
  }
}

// quantize: a group of inputs at a time, then its words to their places among those of the tile.

PHIAL_INLINE int32_t sum_codes(const int8_t* codes, int count) {
  int32_t sum = 0;
  for (int i = 0; i < count; ++i) sum += codes[i];
  return sum;
}

// Codes of `columns` (a multiple of kLanes) values; the scale is returned.
PHIAL_INLINE float quantize_group(const float* x, int64_t columns, int8_t* codes) {
  Vec most = zero();
  for (int64_t i = 0; i < columns; i += kLanes) most = larger_magnitude(most, load(x + i));
  const Vec amax = broadcast(largest_magnitude(most));
  const Vec inverse = where_inverse(amax, div(broadcast(127.0f), amax));
  // 0 times infinity is not 0.
  const bool is_zero = first(inverse) == 0;
  for (int64_t i = 0; i < columns; i += kLanes) {
    store_codes(codes + i, is_zero ? zero() : mul(load(x + i), inverse));
  }
  return first(div(amax, broadcast(127.0f)));
}

// Slab `slab` of row m of a tile of `height` rows; x begins at the slab.
static void quantize_slab(const QuantizedRows& out, int64_t slab, int32_t tile_first,
                          int32_t height, int32_t m, const float* x) {
  const SlabTile tile = slab_tile(out, slab, tile_first);
  const int64_t columns = quantized_columns(out, slab);
  const int64_t there = out.columns - slab * kSlabColumns;
  float padded[kSlabColumns];
  if (there < columns || there % out.group != 0) {
    for (int64_t c = 0; c < kSlabColumns; c += kLanes) store(padded + c, zero());
    for (int64_t c = 0; c < columns && c < there; ++c) padded[c] = x[c];
    x = padded;
  }
  alignas(64) int8_t codes[kSlabColumns];
  for (int64_t c = 0, g = 0; c < columns; c += out.group, ++g) {
    const int64_t count = columns - c < out.group ? columns - c : out.group;
    const int64_t at = g * height + m;
    const_cast<float*>(tile.scales)[at] = quantize_group(x + c, count, codes + c);
    int32_t group_sum = 0;
    for (int64_t i = c; i < c + count; i += 16) {
      const int32_t sum = sum_codes(codes + i, 16);
      const_cast<int32_t*>(tile.sums)[i / 16 * height + m] = sum;
      group_sum += sum;
    }
    const_cast<int32_t*>(tile.group_sums)[at] = group_sum;
  }
  auto* words = reinterpret_cast<int32_t*>(const_cast<int8_t*>(tile.codes)) + m;
  for (int64_t i = 0; i < columns / 4; ++i) {
    __builtin_memcpy(words + i * height, codes + 4 * i, sizeof(int32_t));
  }
}

static void quantize(const QuantizeArgs& args) {
  const int64_t slabs = (args.out.columns + kSlabColumns - 1) / kSlabColumns;
  for (int32_t t = 0; t < tile_count(args.out); ++t) {
    const int32_t first = tile_begin(args.out, t);
    const int32_t end = tile_begin(args.out, t + 1);
    for (int32_t row = first; row < end; ++row) {
      if (row < args.row_begin || row >= args.row_end) continue;
      const float* x = args.x + row * args.x_stride;
      for (int64_t s = 0; s < slabs; ++s) {
        quantize_slab(args.out, s, first, end - first, row - first, x + s * kSlabColumns);
      }
    }
  }
}

// unpack: columns of a panel as float32, with the roundings of decode_row.

// 32 columns of kLanes rows; the first `columns` of them go to `out`.
template <class Put>
PHIAL_INLINE void put_step(Words codes, int step, int64_t columns, const Put& put, float* out) {
  const Vec values[4] = {code_column<0>(codes), code_column<1>(codes), code_column<2>(codes),
                         code_column<3>(codes)};
  for (int i = 0; i < 4; ++i) {
    const int c = 4 * step + i;
    if (c < columns) store(out + c * kPackedRows, put(values[i]));
  }
}

template <class Codes>
PHIAL_APART void unpack_chunk(const PackedLayout& layout, const uint8_t* chunk, int64_t columns,
                              const SlabScales& scales, int32_t (&groups)[2], float* out) {
  const ByteTable table = table_of_book(layout.book);
  const Vec zero_code = broadcast(static_cast<float>(zero_of_codes(layout)));
  const bool has_minimum = layout.offsets == PackedOffsets::minimum;
  const bool has_zero = layout.offsets != PackedOffsets::none && !has_minimum;
  for (int r = 0; r < kPackedRows; r += kLanes) {
    each_step<Codes>(
        chunk + 4 * r, table, [&](auto s, Words codes) __attribute__((always_inline)) {
          constexpr int kStep = decltype(s)::value;
          const int32_t g = groups[kStep / 4];
          const Vec scale = load(scales.scale[g] + r);
          const auto value = [&](Vec code) __attribute__((always_inline)) {
            const Vec level = sub(code, zero_code);
            if (has_minimum) return add(mul(scale, level), load(scales.offset[g] + r));
            return mul(has_zero ? sub(level, load(scales.offset[g] + r)) : level, scale);
          };
          put_step(codes, kStep, columns, value, out + r);
        });
  }
}

static void unpack_halves(const PackedUnpackArgs& args, const uint8_t* panel) {
  const PackedLayout& layout = args.weights->layout;
  for (int64_t c = args.column_begin; c < args.column_begin + args.k; ++c) {
    const SlabParts parts = slab_parts(layout, c / kSlabColumns);
    const int64_t in_slab = c % kSlabColumns;
    const uint8_t* chunk = panel + parts.chunks + in_slab / kChunkColumns * layout.chunk_bytes;
    const int64_t i = in_slab % kChunkColumns;
    float* out = args.panel + (c - args.column_begin) * kPackedRows;
    for (int r = 0; r < kPackedRows; r += kLanes) {
      if (layout.codes == PackedCodes::f16) {
        store(out + r, load_f16(chunk + i * 2 * kPackedRows + 2 * r));
      } else {
        const Words pair = load_words(chunk + i / 2 * kLineBytes + 4 * r);
        store(out + r, i % 2 == 0 ? bf16_low(pair) : bf16_high(pair));
      }
    }
  }
}

static void unpack_panel(const PackedUnpackArgs& args) {
  const PackedLayout& layout = args.weights->layout;
  const uint8_t* panel = args.weights->panel(args.panel_index);
  if (!layout.is_integer()) return unpack_halves(args, panel);
  SlabScales scales;
  int64_t loaded = -1;
  const int32_t shift = shift_of(layout.group, 16);
  for (int64_t done = 0; done < args.k; done += kChunkColumns) {
    const int64_t column = args.column_begin + done, slab = column / kSlabColumns;
    const auto c = static_cast<int32_t>(column % kSlabColumns / kChunkColumns);
    if (slab != loaded) load_slab_scales(layout, panel, slab, Offsets::as_stored, scales);
    loaded = slab;
    int32_t groups[2] = {2 * c >> shift, (2 * c + 1) >> shift};
    const uint8_t* chunk = panel + slab_parts(layout, slab).chunks + c * layout.chunk_bytes;
    float* out = args.panel + done * kPackedRows;
    with_codes(
        layout, [&](auto reader) __attribute__((always_inline)) {
          unpack_chunk<decltype(reader)>(layout, chunk, args.k - done, scales, groups, out);
        });
  }
}

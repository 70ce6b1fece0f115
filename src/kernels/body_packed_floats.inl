// direct_floats: codes of a step become float32 in registers, with the roundings of unpack, and
// meet a few rows of inputs there. A lane is a weight row, so each result is one chain over the
// columns, as in a gemm of unpacked panels.

// Readers as those of body_packed_codes.inl, for loops over the steps.
struct LoopBits2 {
  static constexpr int kTop = 3, kLines = 2;
  PHIAL_INLINE Words step(const uint8_t* chunk, int s) {
    return and_bytes<3>(shift_words(load_words(chunk + s / 4 * kLineBytes), s % 4 * 2));
  }
};
struct LoopBits4 {
  static constexpr int kTop = 15, kLines = 4;
  PHIAL_INLINE Words step(const uint8_t* chunk, int s) {
    return and_bytes<15>(shift_words(load_words(chunk + s % 4 * kLineBytes), s / 4 * 4));
  }
};
struct LoopBits3 {
  static constexpr int kTop = 7, kLines = 3;
  PHIAL_INLINE Words step(const uint8_t* chunk, int s) {
    const Words upper = shift_words(load_words(chunk + 2 * kLineBytes), s);
    return bits_or(LoopBits2::step(chunk, s), raise_bytes<2>(and_bytes<1>(upper)));
  }
};
struct LoopBits5 {
  static constexpr int kTop = 31, kLines = 5;
  PHIAL_INLINE Words step(const uint8_t* chunk, int s) {
    const Words upper = shift_words(load_words(chunk + 4 * kLineBytes), s);
    return bits_or(LoopBits4::step(chunk, s), raise_bytes<4>(and_bytes<1>(upper)));
  }
};
struct LoopBits6 {
  static constexpr int kTop = 63, kLines = 6;
  PHIAL_INLINE Words step(const uint8_t* chunk, int s) {
    const Words upper = shift_words(load_words(chunk + (4 + s / 4) * kLineBytes), s % 4 * 2);
    return bits_or(LoopBits4::step(chunk, s), raise_bytes<4>(and_bytes<3>(upper)));
  }
};
struct LoopBits8 {
  static constexpr int kTop = 255, kLines = 8;
  PHIAL_INLINE Words step(const uint8_t* chunk, int s) {
    return load_words(chunk + s * kLineBytes);
  }
};

// How a level becomes a number, with the roundings of packed_number().
enum class Numbers {
  scaled,   // level * scale
  shifted,  // (level - zero) * scale
  raised,   // level * scale + minimum, where the product is exact: in one operation
  rounded,  // level * scale, then + minimum
};
PHIAL_INLINE Numbers numbers_of(const PackedLayout& layout) {
  if (layout.offsets == PackedOffsets::none) return Numbers::scaled;
  if (layout.offsets != PackedOffsets::minimum) return Numbers::shifted;
  // A float16 times an integer of 6 bits, times a level of 8. (The product of others may round, or
  // be infinite where its sum with the minimum is not.)
  const bool exact = layout.scales == PackedScales::f16 || layout.super_bytes > 0;
  return exact ? Numbers::raised : Numbers::rounded;
}

// One panel's slab, as the loops need it.
struct FloatSlab {
  const uint8_t* chunks;
  int32_t chunk_bytes;
  int64_t columns;       // that exist
  const uint8_t* begin;  // of the slab, and of the next ones: what is read ahead
  int64_t ahead_bytes;   // of the slab for each chunk
  int32_t group_shift;   // of a step's number: which scale is its own
  const SlabScales* scales;
  LevelTable levels;
  const float* x;  // [rows, x_stride], from the slab's first column on
  int64_t x_stride;
  float* y;  // [rows][kPackedRows]
};

// Weights of integer codes: step(slab, chunk, c, s, r) has what kLanes rows from r on need in step
// s of chunk c, value<i> the weights of its column i.
template <class Codes, Numbers numbers>
struct CodeWeights {
  static constexpr int kLines = Codes::kLines;
  struct Step {
    Words codes;
    Vec scale, offset;
  };
  PHIAL_INLINE Step step(const FloatSlab& slab, const uint8_t* chunk, int32_t c, int32_t s, int r) {
    const int32_t g = (8 * c + s) >> slab.group_shift;
    Step out;
    out.codes = levels_to_look_up<Codes::kTop>(slab.levels, Codes::step(chunk + 4 * r, s));
    out.scale = load(slab.scales->scale[g] + r);
    out.offset = numbers == Numbers::scaled ? zero() : load(slab.scales->offset[g] + r);
    return out;
  }
  template <int i>
  PHIAL_INLINE Vec value(const FloatSlab& slab, const Step& step) {
    const Vec level = level_of<Codes::kTop, i>(slab.levels, step.codes);
    if constexpr (numbers == Numbers::scaled) return mul(level, step.scale);
    if constexpr (numbers == Numbers::shifted) return mul(sub(level, step.offset), step.scale);
    if constexpr (numbers == Numbers::raised) return fma(step.scale, level, step.offset);
    return add(mul(step.scale, level), step.offset);
  }
};

// float16 and bfloat16.
struct F16Weights {
  static constexpr int kLines = 16;
  struct Step {
    const uint8_t* first;
  };
  PHIAL_INLINE Step step(const FloatSlab&, const uint8_t* chunk, int32_t, int32_t s, int r) {
    return {chunk + s * 8 * kPackedRows + 2 * r};
  }
  template <int i>
  PHIAL_INLINE Vec value(const FloatSlab&, const Step& step) {
    return load_f16(step.first + i * 2 * kPackedRows);
  }
};
struct Bf16Weights {
  static constexpr int kLines = 16;
  struct Step {
    Words pairs[2];
  };
  PHIAL_INLINE Step step(const FloatSlab&, const uint8_t* chunk, int32_t, int32_t s, int r) {
    const uint8_t* at = chunk + 2 * s * kLineBytes + 4 * r;
    return {{load_words(at), load_words(at + kLineBytes)}};
  }
  template <int i>
  PHIAL_INLINE Vec value(const FloatSlab&, const Step& step) {
    return i % 2 == 0 ? bf16_low(step.pairs[i / 2]) : bf16_high(step.pairs[i / 2]);
  }
};

// Column i of a step and those after it, as long as there are `columns` of them; `x` is at the
// step's first one.
template <class Weights, int M, int kVecs, int i = 0>
PHIAL_INLINE void add_columns(const FloatSlab& slab, const typename Weights::Step (&steps)[kVecs],
                              const float* x, int64_t columns, Vec (&sum)[M][kVecs]) {
  if constexpr (i < 4) {
    if (i >= columns) return;
    Vec w[kVecs];
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) w[v] = Weights::template value<i>(slab, steps[v]);
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      const Vec factor = broadcast(x[m * slab.x_stride + i]);
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) sum[m][v] = fma(w[v], factor, sum[m][v]);
    }
    add_columns<Weights, M, kVecs, i + 1>(slab, steps, x, columns, sum);
  }
}

template <class Weights, int M, int kVecs>
PHIAL_INLINE void add_float_step(const FloatSlab& slab, const uint8_t* chunk, int32_t c, int32_t s,
                                 int r, int64_t columns, Vec (&sum)[M][kVecs]) {
  typename Weights::Step steps[kVecs];
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) steps[v] = Weights::step(slab, chunk, c, s, r + v * kLanes);
  add_columns<Weights, M, kVecs>(slab, steps, slab.x + c * kChunkColumns + 4 * s, columns, sum);
}

// A number that compilers do not know: they would write out the steps of a chunk.
PHIAL_INLINE int32_t unknown(int32_t n) {
  __asm__("" : "+r"(n));
  return n;
}

template <class Weights, int M>
PHIAL_APART void float_slab(const FloatSlab& of) {
  constexpr int kVecs = float_vecs(M);
  const FloatSlab slab = of;
  const auto full = static_cast<int32_t>(slab.columns / kChunkColumns);
  const int32_t chunk_steps = unknown(kChunkColumns / 4), rows = unknown(kPackedRows);
  // Each part of the rows asks for its share of what is ahead.
  constexpr int kAhead = (Weights::kLines * kLineBytes + 128) * kVecs * kLanes / kPackedRows;
  int64_t ahead = kAheadBytes;
  for (int r = 0; r < rows; r += kVecs * kLanes, ahead += kAhead) {
    Vec sum[M][kVecs];
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) sum[m][v] = load(slab.y + m * kPackedRows + r + v * kLanes);
    }
    const uint8_t* chunk = slab.chunks;
    for (int32_t c = 0; c < full; ++c, chunk += slab.chunk_bytes) {
      prefetch_lines(slab.begin + c * slab.ahead_bytes, ahead, kAhead);
      for (int32_t s = 0; s < chunk_steps; ++s) {
        add_float_step<Weights, M, kVecs>(slab, chunk, c, s, r, 4, sum);
      }
    }
    for (int64_t c = full * kChunkColumns; c < slab.columns; c += 4) {
      const auto s = static_cast<int32_t>(c % kChunkColumns / 4);
      add_float_step<Weights, M, kVecs>(slab, chunk, full, s, r, slab.columns - c, sum);
    }
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) store(slab.y + m * kPackedRows + r + v * kLanes, sum[m][v]);
    }
  }
}

using FloatSlabFn = void (*)(const FloatSlab&);
// By rows - 1.
template <class Weights, int M = 1>
PHIAL_INLINE FloatSlabFn float_slab_of(int32_t rows) {
  if constexpr (M < kFloatTileRows) {
    if (rows != M) return float_slab_of<Weights, M + 1>(rows);
  }
  return float_slab<Weights, M>;
}

template <class Codes>
PHIAL_INLINE FloatSlabFn float_slab_of_codes(Numbers numbers, int32_t rows) {
  switch (numbers) {
    case Numbers::scaled:
      return float_slab_of<CodeWeights<Codes, Numbers::scaled>>(rows);
    case Numbers::shifted:
      return float_slab_of<CodeWeights<Codes, Numbers::shifted>>(rows);
    case Numbers::raised:
      return float_slab_of<CodeWeights<Codes, Numbers::raised>>(rows);
    case Numbers::rounded:
      return float_slab_of<CodeWeights<Codes, Numbers::rounded>>(rows);
  }
  return nullptr;
}

PHIAL_APART FloatSlabFn float_slab_of_layout(const PackedLayout& layout, int32_t rows) {
  const Numbers numbers = numbers_of(layout);
  switch (layout.codes) {
    case PackedCodes::bits2:
      return float_slab_of_codes<LoopBits2>(numbers, rows);
    case PackedCodes::bits3:
      return float_slab_of_codes<LoopBits3>(numbers, rows);
    case PackedCodes::bits4:
      return float_slab_of_codes<LoopBits4>(numbers, rows);
    case PackedCodes::bits5:
      return float_slab_of_codes<LoopBits5>(numbers, rows);
    case PackedCodes::bits6:
      return float_slab_of_codes<LoopBits6>(numbers, rows);
    case PackedCodes::bits8:
      return float_slab_of_codes<LoopBits8>(numbers, rows);
    case PackedCodes::bf16:
      return float_slab_of<Bf16Weights>(rows);
    case PackedCodes::f16:
      return float_slab_of<F16Weights>(rows);
  }
  return nullptr;
}

// What the codes of up to 5 bits stand for.
PHIAL_INLINE LevelTable levels_of_layout(const PackedLayout& layout) {
  float levels[32];
  uint8_t codes[16];
  for (int i = 0; i < 32; ++i) levels[i] = static_cast<float>(i - layout.zero);
  for (int i = 0; i < 16; ++i) codes[i] = static_cast<uint8_t>(i);
  if (layout.book != PackedBook::linear) {
    const bool mxfp4 = layout.book == PackedBook::mxfp4;
    const Table& table = mxfp4 ? kMxfp4Table : kIq4Table;
    for (int i = 0; i < 16; ++i) {
      codes[i] = table.bytes[i];
      levels[i] = static_cast<float>(codes[i] - zero_of_codes(layout));
    }
  }
  return load_levels(levels, codes, static_cast<float>(zero_of_codes(layout)));
}

static void direct_floats(const PackedFloatArgs& args) {
  const PackedLayout& layout = args.weights->layout;
  alignas(64) float y[kMaxGemvRows * kPackedRows];
  SlabScales scales;
  FloatSlab slab;
  slab.chunk_bytes = layout.chunk_bytes;
  slab.group_shift = shift_of(layout.group, 4);
  slab.scales = &scales;
  slab.levels = levels_of_layout(layout);
  slab.x_stride = args.x_stride;
  const int32_t tiles = (args.rows + kFloatTileRows - 1) / kFloatTileRows;
  const int64_t slabs = slab_count(layout);
  for (int64_t p = args.panel_begin; p < args.panel_end; ++p) {
    const uint8_t* panel = args.weights->panel(p);
    for (int32_t i = 0; i < args.rows * kPackedRows; i += kLanes) store(y + i, zero());
    int64_t done = 0;
    for (int64_t s = 0; s < slabs; ++s) {
      if (layout.is_integer()) load_slab_scales(layout, panel, s, Offsets::as_stored, scales);
      const int64_t chunks = slab_parts(layout, s).chunks;
      const int64_t count = slab_columns(layout, s) / kChunkColumns;
      slab.chunks = panel + chunks;
      slab.columns = layout.columns - s * kSlabColumns;
      if (slab.columns > kSlabColumns) slab.columns = kSlabColumns;
      // Whatever it is: the scales of a slab lie before its chunks.
      const int64_t end = chunks + count * layout.chunk_bytes;
      slab.begin = panel + done;
      slab.ahead_bytes = (end - done) / count;
      done = end;
      for (int32_t t = 0, first = 0; t < tiles; ++t) {
        const int32_t rows = (args.rows - first + tiles - t - 1) / (tiles - t);
        slab.x = args.x + first * args.x_stride + s * kSlabColumns;
        slab.y = y + first * kPackedRows;
        float_slab_of_layout(layout, rows)(slab);
        first += rows;
      }
    }
    put_rows(args, args.rows, p, y);
  }
}

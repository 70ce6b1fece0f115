// direct_floats: codes of a step become float32 in registers, with the roundings of unpack, and
// meet a few rows of inputs there. A lane is a weight row, so each result is one chain over the
// columns, as in a gemm of unpacked panels.

constexpr bool kFewRegisters = kLanes == 8;  // 16 of AVX2, else 32

// Words as lanes of 32 bits.
using Lanes32 = uint32_t __attribute__((vector_size(4 * kLanes)));
PHIAL_INLINE Lanes32 load_lanes(const uint8_t* p) {
  return __builtin_bit_cast(Lanes32, load_words(p));
}

// Readers as those of body_packed_codes.inl, for loops over the steps: kMask has the bits of a
// code, those above them in its byte may be any; kMostPlaces is for level_of().
struct LoopBits2 {
  static constexpr uint32_t kMask = 3;
  static constexpr int kMostPlaces = 2;
  static constexpr int kLines = 2;
  PHIAL_INLINE Lanes32 step(const uint8_t* chunk, uint32_t s, ByteTable) {
    return load_lanes(chunk + s / 4 * kLineBytes) >> s % 4 * 2;
  }
};
struct LoopBits4 {
  static constexpr uint32_t kMask = 15;
  static constexpr int kMostPlaces = 2;
  static constexpr int kLines = 4;
  PHIAL_INLINE Lanes32 step(const uint8_t* chunk, uint32_t s, ByteTable) {
    return load_lanes(chunk + s % 4 * kLineBytes) >> s / 4 * 4;
  }
};
// Lines of Base, and then of the bits above its own.
template <class Base, uint32_t kUpper, int kRaise>
struct LoopBitsAbove {
  static constexpr uint32_t kMask = Base::kMask | kUpper << kRaise;
  static constexpr int kMostPlaces = 2;
  PHIAL_INLINE Lanes32 join(Lanes32 lower, Lanes32 upper) {
    constexpr uint32_t kAll = 0x01010101;
    return (lower & Base::kMask * kAll) | (upper & kUpper * kAll) << kRaise;
  }
};
struct LoopBits3 : LoopBitsAbove<LoopBits2, 1, 2> {
  static constexpr int kLines = 3;
  static constexpr int kMostPlaces = kFewRegisters ? 1 : 2;
  PHIAL_INLINE Lanes32 step(const uint8_t* chunk, uint32_t s, ByteTable table) {
    return join(LoopBits2::step(chunk, s, table), load_lanes(chunk + 2 * kLineBytes) >> s);
  }
};
struct LoopBits5 : LoopBitsAbove<LoopBits4, 1, 4> {
  static constexpr int kLines = 5;
  PHIAL_INLINE Lanes32 step(const uint8_t* chunk, uint32_t s, ByteTable table) {
    return join(LoopBits4::step(chunk, s, table), load_lanes(chunk + 4 * kLineBytes) >> s);
  }
};
struct LoopBits6 : LoopBitsAbove<LoopBits4, 3, 4> {
  static constexpr int kLines = 6;
  PHIAL_INLINE Lanes32 step(const uint8_t* chunk, uint32_t s, ByteTable table) {
    return join(LoopBits4::step(chunk, s, table),
                load_lanes(chunk + (4 + s / 4) * kLineBytes) >> s % 4 * 2);
  }
};
struct LoopBits8 {
  static constexpr uint32_t kMask = 255;
  static constexpr int kMostPlaces = 2;
  static constexpr int kLines = 8;
  PHIAL_INLINE Lanes32 step(const uint8_t* chunk, uint32_t s, ByteTable) {
    return load_lanes(chunk + s * kLineBytes);
  }
};
struct LoopBook {
  static constexpr uint32_t kMask = 255;
  static constexpr int kMostPlaces = 2;
  static constexpr int kLines = 4;
  PHIAL_INLINE Lanes32 step(const uint8_t* chunk, uint32_t s, ByteTable table) {
    const Lanes32 places = LoopBits4::step(chunk, s, table) & 0x0f0f0f0fu;
    return __builtin_bit_cast(Lanes32, look_up(table, __builtin_bit_cast(Words, places)));
  }
};

// Code i of each word, less its zero: the bits of a code that lie in a float32's mantissa, under an
// exponent that makes them 2^23 + code, or 2^15 + code for those a byte further up, are that number
// without a conversion, and exactly so is the difference.
struct Zeros {
  Vec at[2];  // 2^23 + zero, 2^15 + zero
};
PHIAL_INLINE Zeros zeros_of(int32_t zero) {
  return {{broadcast(0x1p23f + static_cast<float>(zero)),
           broadcast(0x1p15f + static_cast<float>(zero))}};
}
// kPlaces 2 takes fewer shifts, 1 fewer registers.
template <uint32_t kMask, int kPlaces, int i>
PHIAL_INLINE Vec level_of(Lanes32 codes, const Zeros& zeros) {
  constexpr int kPlace = i % kPlaces;
  constexpr uint32_t kOne = __builtin_bit_cast(uint32_t, kPlace == 0 ? 0x1p23f : 0x1p15f);
  constexpr uint32_t kDown = 8 * (i - kPlace);
  const Lanes32 near = kDown == 0 ? codes : codes >> kDown;
  const Lanes32 number = (near & (kMask << 8 * kPlace)) | kOne;
  return sub(__builtin_bit_cast(Vec, number), zeros.at[kPlace]);
}

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
  ByteTable table;  // of the book
  Zeros zeros;      // of the codes
  const float* x;   // [rows, x_stride], from the slab's first column on
  int64_t x_stride;
  float* y;  // [rows][kPackedRows]
};

// Weights of integer codes. kRowBytes: of a weight row in a line. step(slab, chunk, c, s, r) has
// what kLanes rows from r on need in step s of chunk c, with `chunk` at their first byte; value<i>
// the weights of its column i.
template <class Codes, Numbers numbers>
struct CodeWeights {
  static constexpr int kLines = Codes::kLines, kRowBytes = 4;
  struct Step {
    Lanes32 codes;
    const float* scale;
    const float* offset;
  };
  PHIAL_INLINE Step step(const FloatSlab& slab, const uint8_t* chunk, int32_t c, int32_t s,
                         int64_t r) {
    const int32_t g = (8 * c + s) >> slab.group_shift;
    return {Codes::step(chunk, static_cast<uint32_t>(s), slab.table), slab.scales->scale[g] + r,
            slab.scales->offset[g] + r};
  }
  template <int kPlaces, int i>
  PHIAL_INLINE Vec value(const FloatSlab& slab, const Step& step) {
    constexpr int kUsed = kPlaces < Codes::kMostPlaces ? kPlaces : Codes::kMostPlaces;
    const Vec level = level_of<Codes::kMask, kUsed, i>(step.codes, slab.zeros);
    const Vec scale = load(step.scale);
    if constexpr (numbers == Numbers::scaled) return mul(level, scale);
    const Vec offset = load(step.offset);
    if constexpr (numbers == Numbers::shifted) return mul(sub(level, offset), scale);
    if constexpr (numbers == Numbers::raised) return fma(scale, level, offset);
    return add(mul(scale, level), offset);
  }
};

// float16 and bfloat16.
struct F16Weights {
  static constexpr int kLines = 16, kRowBytes = 2;
  struct Step {
    const uint8_t* first;
  };
  PHIAL_INLINE Step step(const FloatSlab&, const uint8_t* chunk, int32_t, int32_t s, int64_t) {
    return {chunk + s * 8 * kPackedRows};
  }
  template <int, int i>
  PHIAL_INLINE Vec value(const FloatSlab&, const Step& step) {
    return load_f16(step.first + i * 2 * kPackedRows);
  }
};
struct Bf16Weights {
  static constexpr int kLines = 16, kRowBytes = 4;
  struct Step {
    Lanes32 pairs[2];
  };
  PHIAL_INLINE Step step(const FloatSlab&, const uint8_t* chunk, int32_t, int32_t s, int64_t) {
    const uint8_t* at = chunk + 2 * s * kLineBytes;
    return {{load_lanes(at), load_lanes(at + kLineBytes)}};
  }
  template <int, int i>
  PHIAL_INLINE Vec value(const FloatSlab&, const Step& step) {
    const Lanes32 pair = step.pairs[i / 2];
    return __builtin_bit_cast(Vec, i % 2 == 0 ? pair << 16 : pair & 0xffff0000u);
  }
};

// Rows of inputs in a tile, and registers of weight rows for so many: chains of additions enough to
// hide their latency, and sums that leave room among 16 registers where they have 8 lanes. Weights
// of kFloatGroup of them are in flight.
constexpr int kFloatTileRows = 4;
constexpr int float_vecs(int rows) { return kFewRegisters && rows > 1 ? 2 : 4; }
constexpr int float_places(int rows) { return rows > 2 ? 1 : 2; }
constexpr int kFloatGroup = kFewRegisters ? 1 : 2;

// Column i of a step and those after it, for M rows of inputs and some of kVecs registers of weight
// rows; `x` is at the step's first one.
template <class Weights, int M, int kVecs, int first, int i = 0>
PHIAL_INLINE void add_columns(const FloatSlab& slab,
                              const typename Weights::Step (&steps)[kFloatGroup], const float* x,
                              Vec (&sum)[M][kVecs]) {
  if constexpr (i < 4) {
    load_again();
    Vec w[kFloatGroup];
    PHIAL_UNROLL
    for (int v = 0; v < kFloatGroup; ++v) {
      w[v] = Weights::template value<float_places(M), i>(slab, steps[v]);
    }
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      const Vec factor = broadcast(x[m * slab.x_stride + i]);
      PHIAL_UNROLL
      for (int v = 0; v < kFloatGroup; ++v)
        sum[m][first + v] = fma(w[v], factor, sum[m][first + v]);
    }
    add_columns<Weights, M, kVecs, first, i + 1>(slab, steps, x, sum);
  }
}

// Step s of chunk c, of the registers from `first` on; `chunk` and r are of the first of all.
template <class Weights, int M, int kVecs, int first = 0>
PHIAL_INLINE void add_float_step(const FloatSlab& slab, const uint8_t* chunk, int32_t c, int32_t s,
                                 int64_t r, const float* x, Vec (&sum)[M][kVecs]) {
  if constexpr (first < kVecs) {
    typename Weights::Step steps[kFloatGroup];
    PHIAL_UNROLL
    for (int v = 0; v < kFloatGroup; ++v) {
      const int at = (first + v) * kLanes;
      steps[v] = Weights::step(slab, chunk + at * Weights::kRowBytes, c, s, r + at);
    }
    add_columns<Weights, M, kVecs, first>(slab, steps, x, sum);
    add_float_step<Weights, M, kVecs, first + kFloatGroup>(slab, chunk, c, s, r, x, sum);
  }
}

// The same of one row and kLanes weight rows, as long as there are `columns` of them.
template <class Weights, int i = 0>
PHIAL_INLINE Vec add_first_columns(const FloatSlab& slab, const typename Weights::Step& step,
                                   const float* x, int64_t columns, Vec sum) {
  if constexpr (i < 4) {
    if (i >= columns) return sum;
    sum = fma(Weights::template value<1, i>(slab, step), broadcast(x[i]), sum);
    return add_first_columns<Weights, i + 1>(slab, step, x, columns, sum);
  } else {
    return sum;
  }
}

// The columns behind the last whole chunk.
template <class Weights>
PHIAL_APART void add_float_rest(const FloatSlab& slab, int32_t rows) {
  const auto c = static_cast<int32_t>(slab.columns / kChunkColumns);
  const uint8_t* chunk = slab.chunks + c * slab.chunk_bytes;
  for (int32_t m = 0; m < rows; ++m) {
    const float* x = slab.x + m * slab.x_stride;
    for (int64_t r = 0; r < kPackedRows; r += kLanes) {
      float* y = slab.y + m * kPackedRows + r;
      Vec sum = load(y);
      for (int64_t at = c * kChunkColumns; at < slab.columns; at += 4) {
        const auto s = static_cast<int32_t>(at % kChunkColumns / 4);
        const typename Weights::Step step =
            Weights::step(slab, chunk + Weights::kRowBytes * r, c, s, r);
        sum = add_first_columns<Weights>(slab, step, x + at, slab.columns - at, sum);
      }
      store(y, sum);
    }
  }
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
  const auto chunks = static_cast<int32_t>(slab.columns / kChunkColumns);
  const int32_t chunk_steps = unknown(kChunkColumns / 4), rows = unknown(kPackedRows);
  // Each part of the rows asks for its share of what is ahead.
  constexpr int kAhead = (Weights::kLines * kLineBytes + 128) * kVecs * kLanes / kPackedRows;
  uintptr_t ahead = 0;
  for (int64_t r = 0; r < rows; r += kVecs * kLanes, ahead += kAhead) {
    Vec sum[M][kVecs];
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) sum[m][v] = load(slab.y + m * kPackedRows + r + v * kLanes);
    }
    const uint8_t* chunk = slab.chunks + Weights::kRowBytes * r;
    const float* x = slab.x;
    for (int32_t c = 0; c < chunks; ++c, chunk += slab.chunk_bytes) {
      const auto here = reinterpret_cast<uintptr_t>(slab.begin + c * slab.ahead_bytes) + ahead;
      PHIAL_UNROLL
      for (int line = 0; line < kAhead; line += 64) read_line_ahead(here + line);
      for (int32_t s = 0; s < chunk_steps; ++s, x += 4) {
        add_float_step<Weights, M, kVecs>(slab, chunk, c, s, r, x, sum);
      }
    }
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) store(slab.y + m * kPackedRows + r + v * kLanes, sum[m][v]);
    }
  }
  if (slab.columns % kChunkColumns != 0) add_float_rest<Weights>(of, M);
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
  if (layout.book != PackedBook::linear) {
    return float_slab_of<CodeWeights<LoopBook, Numbers::scaled>>(rows);
  }
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

static void direct_floats(const PackedFloatArgs& args) {
  const PackedLayout& layout = args.weights->layout;
  alignas(64) float y[kMaxGemvRows * kPackedRows];
  SlabScales scales;
  FloatSlab slab;
  slab.chunk_bytes = layout.chunk_bytes;
  slab.group_shift = shift_of(layout.group, 4);
  slab.scales = &scales;
  slab.table = table_of_book(layout.book);
  slab.zeros = zeros_of(zero_of_codes(layout));
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

// gemm: low codes meet codes of weights as bytes, and their sums the scales of groups.

// Chunks of a slab of weights as bytes, steps of [kPackedRows][4], and a tile of inputs.
struct GemmSlab {
  const uint8_t* codes;
  int32_t chunks;
  int32_t group_shift;  // of a chunk's (or half's) number: which scale is its own
  int32_t zero;         // of the codes
  const SlabScales* scales;
  const int8_t* words;  // of 4 codes, as the tile has them
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

// From one row's word to the next one's.
constexpr int kWordStride = kGemmPairedChunks ? 2 : 1;

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
  multiply_rows<kTop, M, kVecs, kWordStride>(w, factors, words, part);
}

// Where a part has one or two steps: each is widened as soon as it is there.
template <int kTop, int M, int kVecs>
PHIAL_INLINE void sum_short_parts(const uint8_t* codes, const int32_t* words, int32_t steps,
                                  Words (&total)[M][kVecs]) {
  constexpr int kPart = part_steps(kTop);
  for (int32_t s = 0; s < steps;
       s += kPart, codes += kPart * kLineBytes, words += kPart * M * kWordStride) {
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
          part = multiply_add<kTop>(part, w[i], factors[i],
                                    words_of(words[(i * M + m) * kWordStride]));
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
    for (int i = s; i < s + kPart; ++i) {
      add_step<kTop>(codes + i * kLineBytes, words + i * M * kWordStride, part);
    }
    load_again();
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) {
        uint8_t* at = waiting + (m * kVecs + v) * 4 * kLanes;
        const Words before = s == 0 ? words_of(starts[m * kWordStride]) : load_words(at);
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
    for (int v = 0; v < kVecs; ++v) total[m][v] = words_of(starts[m * kWordStride]);
  }
  if constexpr (!kPartsAreTotals) {
    sum_short_parts<kTop>(codes, words, kSteps, total);
  } else {
    PHIAL_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      add_step<kTop>(codes + s * kLineBytes, words + s * M * kWordStride, total);
    }
  }
}

// Calls use(piece) for the pieces of the weight rows from r on, in the order of their sum. kWords:
// words of a step.
template <bool Halves, int M, int kWords = M, class Use>
PHIAL_INLINE void each_piece(const GemmSlab& slab, int32_t r, const Use& use) {
  constexpr int kParts = Halves ? 2 : 1;
  constexpr int kSteps = 8 / kParts;
  for (int32_t i = 0; i < kParts * slab.chunks; ++i) {
    const int32_t g = i >> slab.group_shift;
    GemmPiece piece;
    piece.codes = own_address(slab.codes + i * kSteps * kLineBytes + 4 * r);
    constexpr TileForm kForm = {.rows = kGemmTileRows, .paired = kGemmPairedChunks};
    const int32_t chunk = i / kParts, part = i % kParts;
    const auto* words = reinterpret_cast<const int32_t*>(slab.words);
    const int64_t sum = place_in_tile(kForm, M, chunk, kParts, part, 0);
    piece.words = own_address(words + place_in_tile(kForm, kWords, chunk, 8, part * kSteps, 0));
    piece.starts = own_address(slab.sums->starts + sum);
    piece.sums = slab.sums->sums + sum;
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
        if constexpr (Offsets) add_offsets<kWordStride>(piece.sums, piece.offset, part);
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
        add_totals<kWordStride>(total, piece.scale, Offsets ? piece.offset : nullptr, piece.sums,
                                parts);
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

// How codes lie in a slab, and what multiplies them.
struct ByRows {
  static constexpr bool kByRows = true;
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

// A slab of a panel as bytes, with scales of its groups.
template <class Form, class Codes, bool Halves>
struct ExactSlab : UnpackedSlab<Codes, Halves> {
  using Base = UnpackedSlab<Codes, Halves>;

  void begin(const PackedLayout& of) {
    Base::begin(of);
    slab.codes = codes;
    slab.parts = parts;
    slab.waiting = waiting;
    slab.group_shift = shift_of(of.group, Halves ? 16 : kChunkColumns);
    slab.zero = zero_of_codes(of);
    slab.scales = &this->scales;
  }
  void load(const uint8_t* slab_chunks, int32_t count) {
    Base::load(slab_chunks, count);
    slab.chunks = count;
    Form::template unpack<Codes>(slab_chunks, this->layout->chunk_bytes, count,
                                 table_of_book(this->layout->book), codes);
  }
  [[gnu::always_inline]] void prepare(const SlabTile& tile, int32_t rows, int32_t n) {
    const int32_t count = (slab.chunks + kWordStride - 1) / kWordStride * kWordStride;
    load_tile_sums(Halves ? tile.sums : tile.chunk_sums, (Halves ? 2 : 1) * count * rows,
                   code_bias(Base::kTop) - slab.zero, this->has_offsets, sums[n]);
  }
  [[gnu::always_inline]] void multiply(const SlabTile& tile, int32_t rows, int32_t n, float* y) {
    slab.words = tile.codes;
    slab.x_scales = tile.scales;
    slab.sums = &sums[n];
    for (int32_t m = 0; m < rows; ++m) slab.y[m] = y + m * kPackedRows;
    Form::template slab_of<Base::kTop, Halves>(rows, this->has_offsets)(slab);
  }
  const uint8_t* chunk_codes(int32_t c) {
    if constexpr (Form::kByRows) return codes + c * 8 * kLineBytes;
    return Base::chunk_codes(c);
  }

  GemmSlab slab;
  alignas(64) uint8_t codes[kSlabColumns * kPackedRows];
  alignas(64) float parts[kGemmTileRows * kPackedRows];
  alignas(64) uint8_t waiting[kWaitingBytes];
  TileSums sums[2];
};

template <class Form>
static void gemm_packed(const PackedProductArgs& args) {
  with_codes(
      args.weights->layout, [&](auto reader) __attribute__((always_inline)) {
        using Codes = decltype(reader);
        if (args.weights->layout.group == 16) {
          if constexpr (kCanHalve<Codes>) many_rows<ExactSlab<Form, Codes, true>>(args);
        } else {
          many_rows<ExactSlab<Form, Codes, false>>(args);
        }
      });
}

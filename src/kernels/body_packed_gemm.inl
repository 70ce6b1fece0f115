// gemm: a slab of a panel (64 rows x 256 columns) is unpacked to bytes, 16 KB that stay in the
// first-level cache while all rows of inputs pass by; results wait in float32 in the second-level
// cache for the next slab. A slab of the inputs is one run of bytes.

// A slab of weights as bytes, steps of [kPackedRows][4], and a tile of inputs.
struct GemmSlab {
  const uint8_t* codes;
  int32_t steps;
  int32_t group_steps;    // that share a scale of the weights, at most x_group_steps
  int32_t x_group_steps;  // that share one of the inputs
  int32_t scale_shift;    // of a step's number: which scale of the weights is its own
  int32_t zero;           // of the codes
  bool has_offsets;
  const float* scale;  // [groups][kPackedRows]
  const float* offset;
  SlabTile x;
  float* y;  // [rows][kPackedRows]
  // A word for each sum that is in flight, for vocabularies with too few registers; 64-byte
  // aligned.
  uint8_t* waiting;
};
constexpr int kWaitingBytes = kGemmTileRows * kGemmTileVecs * 4 * kLanes;

// Which kernel takes codes of at most `top`: those that differ in nothing share one.
constexpr int gemm_top(int top, bool halves) {
  if (kPartsAreTotals) return 255;
  const int least = halves ? 31 : 15;  // parts of 4 steps fit half a chunk
  const int wanted = top > least ? top : least;
  return wanted <= 15 ? 15 : wanted <= 31 ? 31 : wanted <= 63 ? 63 : 255;
}

// Keeps every sum in its register at the end of a loop's round: gcc 12 otherwise copies them all at
// the beginning of the next one, and runs out.
template <int M, int kVecs>
PHIAL_INLINE void own_registers(Words (&sums)[M][kVecs]) {
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) own_register(sums[m][v]);
  }
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
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    const Words x = words_of(words[m]);
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      part[m][v] = multiply_add<kTop>(part[m][v], w[v], factors[v], x);
    }
  }
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

// Where a part has four steps or more: all registers are for the parts, totals wait in memory.
template <int kTop, int M, int kVecs>
PHIAL_INLINE void sum_long_parts(const uint8_t* codes, const int32_t* words, int32_t steps,
                                 uint8_t* waiting, Words (&total)[M][kVecs]) {
  constexpr int kPart = part_steps(kTop);
  const auto at = [&](int m, int v) { return waiting + (m * kVecs + v) * 4 * kLanes; };
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) store_words(at(m, v), total[m][v]);
  }
  for (int32_t s = 0; s < steps; s += kPart, codes += kPart * kLineBytes, words += kPart * M) {
    Part part[M][kVecs];
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) part[m][v] = begin_part(words_of(0));
    }
    PHIAL_UNROLL
    for (int i = 0; i < kPart; ++i) add_step<kTop>(codes + i * kLineBytes, words + i * M, part);
    load_again();
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) {
        store_words(at(m, v), end_part(part[m][v], load_words(at(m, v))));
      }
    }
  }
  load_again();
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) total[m][v] = load_words(at(m, v));
  }
}

// Sums of products over `steps` steps, a multiple of 4.
template <int kTop, int M, int kVecs>
PHIAL_INLINE void sum_products(const uint8_t* codes, const int32_t* words, int32_t steps,
                               [[maybe_unused]] uint8_t* waiting, Words (&total)[M][kVecs]) {
  if constexpr (kPartsAreTotals) {
    for (int32_t s = 0; s < steps; s += 4, codes += 4 * kLineBytes, words += 4 * M) {
      PHIAL_UNROLL
      for (int i = 0; i < 4; ++i) {
        add_step<kTop>(codes + i * kLineBytes, words + i * M, total);
      }
      own_registers(total);
    }
  } else if constexpr (part_steps(kTop) <= 2) {
    sum_short_parts<kTop>(codes, words, steps, total);
  } else {
    sum_long_parts<kTop>(codes, words, steps, waiting, total);
  }
}

// What the sums of one group become: the first begins a part, the last adds it to y.
template <bool First, bool Last, bool Offsets, int M, int kVecs>
PHIAL_INLINE void add_part(const Words (&total)[M][kVecs], const float* scale, const float* offset,
                           const float (&sums)[M], const float* x_scales, float* parts, float* y) {
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    const Vec w = load(scale + v * kLanes);
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      const int at = m * kPackedRows + v * kLanes;
      Vec part =
          First ? mul(float_of(total[m][v]), w) : fma(float_of(total[m][v]), w, load(parts + at));
      if constexpr (Offsets) part = fma(load(offset + v * kLanes), broadcast(sums[m]), part);
      if constexpr (Last) {
        store(y + at, fma(part, broadcast(x_scales[m]), load(y + at)));
      } else {
        store(parts + at, part);
      }
    }
  }
}

template <bool Offsets, int M, int kVecs>
PHIAL_INLINE void add_group_part(bool is_first, bool is_last, const Words (&total)[M][kVecs],
                                 const float* scale, const float* offset, const float (&sums)[M],
                                 const float* x_scales, float* parts, float* y) {
  if (is_first && is_last) {
    add_part<true, true, Offsets>(total, scale, offset, sums, x_scales, parts, y);
  } else if (is_first) {
    add_part<true, false, Offsets>(total, scale, offset, sums, x_scales, parts, y);
  } else if (is_last) {
    add_part<false, true, Offsets>(total, scale, offset, sums, x_scales, parts, y);
  } else {
    add_part<false, false, Offsets>(total, scale, offset, sums, x_scales, parts, y);
  }
}

// One scale of the inputs, kVecs registers of rows from row r on.
template <int kTop, bool Offsets, int M>
PHIAL_INLINE void gemm_group(const GemmSlab& slab, int32_t begin, int32_t end, int32_t r,
                             const float* x_scales, const int32_t* x_sums) {
  constexpr int kVecs = kGemmTileVecs;
  alignas(64) float parts[M * kPackedRows];
  const auto* words = reinterpret_cast<const int32_t*>(slab.x.codes);
  const int32_t minus_zero = code_bias(kTop) - slab.zero;
  for (int32_t s = begin; s < end; s += slab.group_steps) {
    const int32_t stop = s + slab.group_steps < end ? s + slab.group_steps : end;
    int32_t starts[M];
    float sums[M];
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      int32_t sum = x_sums[m];
      if (stop - s < end - begin) {
        sum = 0;
        for (int32_t i = s / 4; i < stop / 4; ++i) sum += slab.x.sums[i * M + m];
      }
      starts[m] = minus_zero * sum;
      sums[m] = static_cast<float>(sum);
    }
    Words total[M][kVecs];
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) total[m][v] = words_of(starts[m]);
    }
    sum_products<kTop>(slab.codes + s * kLineBytes + 4 * r, words + s * M, stop - s, slab.waiting,
                       total);
    const int32_t at = (s >> slab.scale_shift) * kPackedRows + r;
    const float *scale = slab.scale + at, *offset = slab.offset + at;
    add_group_part<Offsets>(s == begin, stop == end, total, scale, offset, sums, x_scales, parts,
                            slab.y + r);
  }
}

template <int kTop, bool Offsets, int M>
PHIAL_APART void gemm_slab(const GemmSlab& slab) {
  for (int32_t r = 0; r < kPackedRows; r += kGemmTileVecs * kLanes) {
    const float* x_scales = slab.x.scales;
    const int32_t* x_sums = slab.x.group_sums;
    for (int32_t s = 0; s < slab.steps; s += slab.x_group_steps, x_scales += M, x_sums += M) {
      const int32_t end = s + slab.x_group_steps;
      gemm_group<kTop, Offsets, M>(slab, s, end < slab.steps ? end : slab.steps, r, x_scales,
                                   x_sums);
    }
  }
}

using GemmSlabFn = void (*)(const GemmSlab&);
template <int kTop, int M = 1>
PHIAL_INLINE GemmSlabFn gemm_slab_of(int32_t rows, bool with_offsets) {
  if constexpr (M < kGemmTileRows) {
    if (rows != M) return gemm_slab_of<kTop, M + 1>(rows, with_offsets);
  }
  return with_offsets ? gemm_slab<kTop, true, M> : gemm_slab<kTop, false, M>;
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

// Weights rounded once more (kernels/packed.h): 16-bit factors and starts of each group, twice in
// a word.
struct Regroup {
  alignas(64) int32_t factor[kMostGroups][kPackedRows];
  alignas(64) int32_t start[kMostGroups][kPackedRows];
};

// Groups [begin, end), of linear codes; W's scale is written.
static void regroup_linear(const PackedLayout& layout, int top, const SlabScales& scales,
                           int64_t begin, int64_t end, Regroup& out, float* w_scale) {
  const Vec low = broadcast(-static_cast<float>(layout.zero));
  const Vec high = broadcast(static_cast<float>(top - layout.zero));
  const bool has_offsets = layout.offsets != PackedOffsets::none;
  for (int r = 0; r < kPackedRows; r += kLanes) {
    Vec bound = zero();
    for (int64_t g = begin; g < end; ++g) {
      const Vec scale = load(scales.scale[g] + r);
      const Vec offset = has_offsets ? load(scales.offset[g] + r) : zero();
      bound = larger_magnitude(bound, fma(scale, low, offset));
      bound = larger_magnitude(bound, fma(scale, high, offset));
    }
    store(w_scale + r, div(bound, broadcast(127.0f)));
    const Vec inverse = div(broadcast(32512.0f), bound);
    for (int64_t g = begin; g < end; ++g) {
      const Vec offset = has_offsets ? load(scales.offset[g] + r) : zero();
      const Vec factor = where_inverse(bound, round(mul(load(scales.scale[g] + r), inverse)));
      const Vec start = where_inverse(bound, round(mul(offset, inverse)));
      // All are whole numbers below 2^24. 128 rounds, 128 * 256 makes W a byte from 0 on.
      const Vec from = add(fma(factor, low, start), broadcast(128.0f + 32768.0f));
      store_words(reinterpret_cast<uint8_t*>(out.factor[g] + r), twice(integer_of(factor)));
      store_words(reinterpret_cast<uint8_t*>(out.start[g] + r), twice(integer_of(from)));
    }
  }
}

static void regroup_book(PackedBook book, const SlabScales& scales, int64_t begin, int64_t end,
                         Regroup& out, float* w_scale) {
  for (int r = 0; r < kPackedRows; r += kLanes) {
    Vec bound = zero();
    for (int64_t g = begin; g < end; ++g) {
      bound = larger_magnitude(bound, load(scales.scale[g] + r));
    }
    store(w_scale + r, div(bound, broadcast(static_cast<float>(book_boost(book)))));
    const Vec inverse = div(broadcast(32768.0f), bound);
    for (int64_t g = begin; g < end; ++g) {
      const Vec ratio = where_inverse(bound, mul(load(scales.scale[g] + r), inverse));
      store_words(reinterpret_cast<uint8_t*>(out.factor[g] + r),
                  twice(at_most(integer_of(ratio), 32767)));
    }
  }
}

constexpr Table boosted_table(const int8_t (&levels)[16], PackedBook book) {
  Table table;
  for (int i = 0; i < 16; ++i) {
    table.bytes[i] = static_cast<uint8_t>(levels[i] * book_boost(book));
  }
  return table;
}
constexpr Table kBoostedIq4 = boosted_table(kIq4Levels, PackedBook::iq4);
constexpr Table kBoostedMxfp4 = boosted_table(kMxfp4Levels, PackedBook::mxfp4);

template <class Codes>
PHIAL_APART void unpack_regrouped(const PackedLayout& layout, const uint8_t* chunks, int32_t count,
                                  const Regroup& regroup, uint8_t* out) {
  constexpr bool kIsBook = kIsBookOf<Codes>;
  const ByteTable table =
      load_table(layout.book == PackedBook::mxfp4 ? kBoostedMxfp4.bytes : kBoostedIq4.bytes);
  const int32_t shift = shift_of(layout.group, 16);
  for (int32_t c = 0; c < count; ++c, chunks += layout.chunk_bytes, out += 8 * kLineBytes) {
    const int32_t halves[2] = {2 * c >> shift, (2 * c + 1) >> shift};
    for (int32_t r = 0; r < kPackedRows; r += kLanes) {
      Words factor[2], start[2];
      for (int h = 0; h < 2; ++h) {
        factor[h] = load_words(reinterpret_cast<const uint8_t*>(regroup.factor[halves[h]] + r));
        start[h] = load_words(reinterpret_cast<const uint8_t*>(regroup.start[halves[h]] + r));
      }
      each_step<Codes>(
          chunks + 4 * r, table, [&](auto s, Words codes) __attribute__((always_inline)) {
            constexpr int kStep = decltype(s)::value;
            uint8_t* at = out + kStep * kLineBytes + 4 * r;
            if constexpr (kIsBook) {
              store_words(at, round_levels(codes, factor[kStep / 4]));
            } else {
              store_words(at, round_products(codes, factor[kStep / 4], start[kStep / 4]));
            }
          });
    }
  }
}

// What one slab of a panel becomes.
struct GemmWeights {
  alignas(64) uint8_t codes[kSlabColumns * kPackedRows];
  SlabScales scales;
  Regroup regroup;
  alignas(64) float w_scale[kMostGroups][kPackedRows];
  alignas(64) uint8_t waiting[kWaitingBytes];
};

template <class Codes>
PHIAL_INLINE void load_exact(const PackedLayout& layout, const uint8_t* panel, int64_t s,
                             GemmWeights& w, GemmSlab& slab) {
  load_slab_scales(layout, panel, s, Offsets::added, w.scales);
  unpack_codes<Codes>(panel + slab_parts(layout, s).chunks, layout.chunk_bytes, slab.steps / 8,
                      table_of_book(layout.book), w.codes);
  const int32_t group_steps = layout.is_wide() ? kSlabColumns / 4 : layout.group / 4;
  slab.group_steps = group_steps < slab.x_group_steps ? group_steps : slab.x_group_steps;
  slab.scale_shift = shift_of(group_steps, 1);
  slab.zero = zero_of_codes(layout);
  slab.has_offsets = layout.offsets != PackedOffsets::none;
  slab.scale = w.scales.scale[0];
  slab.offset = w.scales.offset[0];
}

template <class Codes>
PHIAL_INLINE void load_regrouped(const PackedLayout& layout, const uint8_t* panel, int64_t s,
                                 GemmWeights& w, GemmSlab& slab) {
  load_slab_scales(layout, panel, s, Offsets::added, w.scales);
  const int64_t group = layout.is_wide() ? kSlabColumns : layout.group;
  const int64_t x_group = 4 * slab.x_group_steps, columns = 4 * slab.steps;
  for (int64_t c = 0, g = 0; c < columns; c += x_group, ++g) {
    const int64_t stop = c + x_group < columns ? c + x_group : columns;
    const int64_t begin = c / group, end = (stop + group - 1) / group;
    if constexpr (kIsBookOf<Codes>) {
      regroup_book(layout.book, w.scales, begin, end, w.regroup, w.w_scale[g]);
    } else {
      regroup_linear(layout, Codes::kTop, w.scales, begin, end, w.regroup, w.w_scale[g]);
    }
  }
  unpack_regrouped<Codes>(layout, panel + slab_parts(layout, s).chunks, slab.steps / 8, w.regroup,
                          w.codes);
  slab.group_steps = slab.x_group_steps;
  slab.scale_shift = shift_of(slab.x_group_steps, 1);
  slab.zero = 128;
  slab.has_offsets = false;
  slab.scale = slab.offset = w.w_scale[0];
}

template <class Codes, bool Halves>
static void gemm_panels(const PackedProductArgs& args) {
  const PackedLayout& layout = args.weights->layout;
  const QuantizedRows& x = args.x;
  const bool regrouped = args.scales == PanelScales::regrouped;
  auto& weights = *static_cast<GemmWeights*>(args.scratch);
  auto* y = reinterpret_cast<float*>(&weights + 1);
  GemmSlab slab;
  slab.codes = weights.codes;
  slab.waiting = weights.waiting;
  const int64_t slabs = slab_count(layout);
  constexpr int kExactTop = gemm_top(Codes::kTop, Halves);
  for (int64_t p = args.panel_begin; p < args.panel_end; ++p) {
    const uint8_t* panel = args.weights->panel(p);
    for (int64_t i = 0; i < int64_t{x.rows} * kPackedRows; i += kLanes) store(y + i, zero());
    for (int64_t s = 0; s < slabs; ++s) {
      slab.steps = static_cast<int32_t>(slab_columns(layout, s) / 4);
      slab.x_group_steps = x.group / 4;
      if (regrouped) {
        load_regrouped<Codes>(layout, panel, s, weights, slab);
      } else {
        load_exact<Codes>(layout, panel, s, weights, slab);
      }
      for (int32_t t = 0; t < tile_count(x); ++t) {
        const int32_t first = tile_begin(x, t), rows = tile_begin(x, t + 1) - first;
        slab.x = slab_tile(x, s, first);
        slab.y = y + int64_t{first} * kPackedRows;
        const bool offsets = slab.has_offsets;
        (regrouped ? gemm_slab_of<255>(rows, offsets)
                   : gemm_slab_of<kExactTop>(rows, offsets))(slab);
      }
    }
    put_panel(args, p, y);
  }
}

static void gemm_packed(const PackedProductArgs& args) {
  with_codes(
      args.weights->layout, [&](auto reader) __attribute__((always_inline)) {
        using Codes = decltype(reader);
        if (args.weights->layout.group == 16) {
          if constexpr (kCanHalve<Codes>) gemm_panels<Codes, true>(args);
        } else {
          gemm_panels<Codes, false>(args);
        }
      });
}

// Codes of up to 5 bits lose nothing that int8 inputs have not lost before.
static PanelScales gemm_scales(const PackedLayout& layout) {
  const bool narrow = layout.codes != PackedCodes::bits6 && layout.codes != PackedCodes::bits8;
  return narrow ? kNarrowScales : PanelScales::exact;
}

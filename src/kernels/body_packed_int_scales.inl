// int_scales: the sums of a slab's chunks are added as integers. Weights and inputs of two
// neighbouring chunks alternate in a register, so that two registers of sums, narrowed to one of
// int16, meet the scales of both chunks in one multiply-add: two instructions for 16 products,
// where a conversion and a multiply-add in float32 for each chunk are four.

// The scales of a slab and what the middle codes stand for, as multiples of a row's unit: int16 of
// two chunks.
struct IntScales {
  static constexpr float kMost = 4095.0f;
  alignas(64) int32_t scales[kSlabChunks / 2][kPackedRows];
  alignas(64) int32_t bases[kSlabChunks / 2][kPackedRows];
  alignas(64) float units[kPackedRows];
};

// Of `count` chunks; where that is odd, the last one's neighbour has zeros. minus_zero: what the
// middle code is above the layout's zero.
PHIAL_APART void make_int_scales(const SlabScales& scales, int32_t count, int32_t group_shift,
                                 bool has_offsets, int32_t minus_zero, IntScales& out) {
  const Vec middle = broadcast(static_cast<float>(minus_zero)), eighth = broadcast(0.125f);
  for (int32_t r = 0; r < kPackedRows; r += kLanes) {
    const auto scale_of = [&](int32_t c) {
      return c < count ? load(scales.scale[c >> group_shift] + r) : zero();
    };
    const auto base_of = [&](int32_t c) {
      const Vec offset =
          has_offsets && c < count ? load(scales.offset[c >> group_shift] + r) : zero();
      return fma(scale_of(c), middle, offset);
    };
    Vec bound = zero();
    for (int32_t c = 0; c < count; ++c) {
      bound = larger_magnitude(bound, scale_of(c));
      bound = larger_magnitude(bound, mul(base_of(c), eighth));
    }
    store(out.units + r, div(bound, broadcast(IntScales::kMost)));
    const Vec inverse = div(broadcast(IntScales::kMost), bound);
    const auto integers = [&](Vec v) {
      return nearest_words(where_inverse(bound, mul(v, inverse)));
    };
    for (int32_t p = 0; 2 * p < count; ++p) {
      const int32_t c = 2 * p;
      const Words scale = low_halves(integers(scale_of(c)), integers(scale_of(c + 1)));
      const Words base = low_halves(integers(base_of(c)), integers(base_of(c + 1)));
      store_words(reinterpret_cast<uint8_t*>(out.scales[p] + r), scale);
      store_words(reinterpret_cast<uint8_t*>(out.bases[p] + r), base);
    }
  }
}

// Pairs of chunks as bytes: steps of [kPackedRows][2 chunks][4].
template <class Codes>
PHIAL_APART void unpack_chunk_pairs(const uint8_t* chunks, int32_t chunk_bytes, int32_t count,
                                    uint8_t* out) {
  for (int32_t c = 0; c < count; c += 2, chunks += 2 * chunk_bytes, out += 16 * kLineBytes) {
    for (int32_t r = 0; r < kPackedRows; r += kLanes) {
      Words first[8];
      each_step<Codes>(
          chunks + 4 * r, ByteTable{}, [&](auto s, Words codes) __attribute__((always_inline)) {
            first[decltype(s)::value] = codes;
          });
      const auto put = [&](auto s, Words second) __attribute__((always_inline)) {
        uint8_t* at = out + decltype(s)::value * 2 * kLineBytes + 8 * r;
        store_words(at, zip_low(first[decltype(s)::value], second));
        store_words(at + 4 * kLanes, zip_high(first[decltype(s)::value], second));
      };
      // Without a neighbour, the last chunk is its own, to meet inputs that are 0.
      const uint8_t* second = chunks + (c + 1 < count ? chunk_bytes : 0);
      each_step<Codes>(second + 4 * r, ByteTable{}, put);
    }
  }
}

// Sums of chunks, which fit int16; rounded up to registers as load_tile_sums() does.
PHIAL_APART void narrow_sums(const int32_t* from, int32_t count, int16_t* out) {
  for (int32_t i = 0; i < count; i += 16) {
    for (int32_t j = i; j < i + 16; ++j) out[j] = static_cast<int16_t>(from[j]);
  }
}

// A slab of weights and a tile of inputs.
struct IntScalesTile {
  const uint8_t* codes;
  const IntScales* by;
  int32_t pairs;          // of chunks
  const int8_t* words;    // [pairs][8][rows][2] of 4 codes
  const int32_t* starts;  // [pairs][rows][2]: -middle * sums of chunks
  const int32_t* sums;    // [pairs][rows]: int16 of two chunks
  const float* x_scales;  // [rows]
  float* y;               // [rows][kPackedRows]
  uint8_t* sums_room;     // where sums are not in registers
};

// Integer sums of kLanes weight rows and M rows of inputs, and the same where there are too few
// registers.
template <bool in_registers, int M>
struct IntSums {
  [[gnu::always_inline]] explicit IntSums(uint8_t*) {
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) sum[m][0] = words_of(0);
  }
  [[gnu::always_inline]] void add(int m, Words a, Words b) {
    sum[m][0] = multiply_add_halves(sum[m][0], a, b);
  }
  [[gnu::always_inline]] void keep() { own_registers(sum); }
  [[gnu::always_inline]] Words of(int m) const { return sum[m][0]; }

  Words sum[M][1];
};
template <int M>
struct IntSums<false, M> {
  [[gnu::always_inline]] explicit IntSums(uint8_t* room) : sums(room) {
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) store_words(sums + m * 4 * kLanes, words_of(0));
  }
  [[gnu::always_inline]] void add(int m, Words a, Words b) {
    store_words(sums + m * 4 * kLanes, multiply_add_halves(of(m), a, b));
  }
  [[gnu::always_inline]] void keep() {}
  [[gnu::always_inline]] Words of(int m) const { return load_words(sums + m * 4 * kLanes); }

  uint8_t* sums;
};

template <bool Bases, int M>
PHIAL_APART void int_scales_tile(const IntScalesTile& tile) {
  for (int32_t r = 0; r < kPackedRows; r += kLanes) {
    IntSums<kPartsInRegisters, M> sums(tile.sums_room);
    for (int32_t p = 0; p < tile.pairs; ++p) {
      const uint8_t* codes = own_address(tile.codes + p * 16 * kLineBytes + 8 * r);
      const auto* words = own_address(reinterpret_cast<const int32_t*>(tile.words) + p * 16 * M);
      const int32_t* starts = own_address(tile.starts + 2 * p * M);
      Words total[M][2];
      PHIAL_UNROLL
      for (int m = 0; m < M; ++m) {
        total[m][0] = two_words(starts + 2 * m);
        total[m][1] = two_words(starts + 2 * m);
      }
      PHIAL_UNROLL
      for (int s = 0; s < 8; ++s) {
        load_again();
        const Words low = load_words(codes + s * 2 * kLineBytes);
        const Words high = load_words(codes + s * 2 * kLineBytes + 4 * kLanes);
        PHIAL_UNROLL
        for (int m = 0; m < M; ++m) {
          const Words x = two_words(words + 2 * (s * M + m));
          total[m][0] = multiply_add<255>(total[m][0], low, low, x);
          total[m][1] = multiply_add<255>(total[m][1], high, high, x);
        }
      }
      load_again();
      const Words scale = load_words(reinterpret_cast<const uint8_t*>(tile.by->scales[p] + r));
      PHIAL_UNROLL
      for (int m = 0; m < M; ++m) {
        sums.add(m, narrow_zipped(total[m][0], total[m][1]), scale);
      }
      if constexpr (Bases) {
        const Words base = load_words(reinterpret_cast<const uint8_t*>(tile.by->bases[p] + r));
        PHIAL_UNROLL
        for (int m = 0; m < M; ++m) {
          sums.add(m, words_of(tile.sums[p * M + m]), base);
        }
      }
      sums.keep();
    }
    load_again();
    const Vec unit = load(tile.by->units + r);
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      add_part(mul(float_of(sums.of(m)), unit), tile.x_scales[m], tile.y + m * kPackedRows + r);
    }
  }
}

using IntScalesTileFn = void (*)(const IntScalesTile&);
template <int M = 1>
PHIAL_INLINE IntScalesTileFn int_scales_tile_of(int32_t rows, bool bases) {
  if constexpr (M < kGemmTileRows) {
    if (rows != M) return int_scales_tile_of<M + 1>(rows, bases);
  }
  return bases ? int_scales_tile<true, M> : int_scales_tile<false, M>;
}

template <class Codes>
struct IntScalesSlab : UnpackedSlab<Codes, false> {
  using Base = UnpackedSlab<Codes, false>;
  static constexpr int32_t kMiddle = (Codes::kTop + 1) / 2;

  void begin(const PackedLayout& of) {
    Base::begin(of);
    has_bases = this->has_offsets || of.zero != kMiddle;
    group_shift = shift_of(of.group, kChunkColumns);
    tile.codes = codes;
    tile.by = &by;
    tile.sums_room = sums_room;
  }
  void load(const uint8_t* slab_chunks, int32_t count) {
    Base::load(slab_chunks, count);
    tile.pairs = (count + 1) / 2;
    make_int_scales(this->scales, count, group_shift, this->has_offsets,
                    kMiddle - this->layout->zero, by);
    unpack_chunk_pairs<Codes>(slab_chunks, this->layout->chunk_bytes, count, codes);
  }
  [[gnu::always_inline]] void prepare(const SlabTile& of, int32_t rows, int32_t n) {
    const int32_t count = 2 * tile.pairs * rows;
    load_tile_sums(of.chunk_sums, count, -kMiddle, false, starts[n]);
    if (has_bases) narrow_sums(of.chunk_sums, count, sums[n]);
  }
  [[gnu::always_inline]] void multiply(const SlabTile& of, int32_t rows, int32_t n, float* y) {
    tile.words = of.codes;
    tile.starts = starts[n].starts;
    tile.sums = reinterpret_cast<const int32_t*>(sums[n]);
    tile.x_scales = of.scales;
    tile.y = y;
    int_scales_tile_of(rows, has_bases)(tile);
  }

  IntScalesTile tile;
  int32_t group_shift;
  bool has_bases;
  alignas(64) uint8_t codes[kSlabColumns * kPackedRows];
  IntScales by;
  TileSums starts[2];
  alignas(64) int16_t sums[2][kSlabChunks * kMostTileRows];
  alignas(64) uint8_t sums_room[kGemmTileRows * 4 * kLanes];
};

// Which readers give codes that has_int_scales() names.
template <class Codes>
constexpr bool kHasIntScales = false;
template <>
constexpr bool kHasIntScales<Bits2> = true;
template <>
constexpr bool kHasIntScales<Bits3> = true;
template <>
constexpr bool kHasIntScales<Bits4> = true;

static void int_scales(const PackedProductArgs& args) {
  with_codes(
      args.weights->layout, [&](auto reader) __attribute__((always_inline)) {
        using Codes = decltype(reader);
        if constexpr (kHasIntScales<Codes>) many_rows<IntScalesSlab<Codes>>(args);
      });
}

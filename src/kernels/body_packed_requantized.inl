// requantized: low codes meet weights that are rounded once more, to int8 with one scale for the
// 256 columns of a slab. Sums of integers run through the slab and leave the multipliers to
// products, where scales of 32 columns take a conversion and a multiply-add for 8 of them.

// From the codes of a slab to those weights + 128: the upper byte of code * factor + bias, all of
// 16 bits, which are here twice in each word.
struct Requantizer {
  alignas(64) int32_t factors[kMostGroups][kPackedRows];
  alignas(64) int32_t biases[kMostGroups][kPackedRows];
  alignas(64) float units[kPackedRows];
};

PHIAL_APART void make_requantizer(const SlabScales& scales, int32_t groups, bool has_offsets,
                                  int32_t zero_code, int32_t top_code, Requantizer& out) {
  const Vec least = broadcast(static_cast<float>(-zero_code));
  const Vec most = broadcast(static_cast<float>(top_code - zero_code));
  for (int32_t r = 0; r < kPackedRows; r += kLanes) {
    const auto offset = [&](int32_t g) {
      return has_offsets ? load(scales.offset[g] + r) : zero();
    };
    Vec bound = zero();
    for (int32_t g = 0; g < groups; ++g) {
      const Vec scale = load(scales.scale[g] + r);
      bound = larger_magnitude(bound, fma(scale, least, offset(g)));
      bound = larger_magnitude(bound, fma(scale, most, offset(g)));
    }
    store(out.units + r, div(bound, broadcast(127.0f)));
    const Vec inverse = div(broadcast(256.0f * 127.0f), bound);
    for (int32_t g = 0; g < groups; ++g) {
      const Vec scale = load(scales.scale[g] + r);
      const Vec base = fma(scale, least, offset(g));
      const Words factor = nearest_words(where_inverse(bound, mul(scale, inverse)));
      const Words bias = add_words(nearest_words(where_inverse(bound, mul(base, inverse))),
                                   words_of(128 * 256 + 128));
      store_words(reinterpret_cast<uint8_t*>(out.factors[g] + r), low_halves_twice(factor));
      store_words(reinterpret_cast<uint8_t*>(out.biases[g] + r), low_halves_twice(bias));
    }
  }
}

template <class Codes>
PHIAL_APART void unpack_requantized(const uint8_t* chunks, int32_t chunk_bytes, int32_t count,
                                    int32_t half_shift, const Requantizer& by, uint8_t* out) {
  for (int32_t c = 0; c < count; ++c, chunks += chunk_bytes, out += 8 * kLineBytes) {
    for (int32_t r = 0; r < kPackedRows; r += kLanes) {
      Words factors[2], biases[2];
      PHIAL_UNROLL
      for (int h = 0; h < 2; ++h) {
        const int32_t g = (2 * c + h) >> half_shift;
        factors[h] = load_words(reinterpret_cast<const uint8_t*>(by.factors[g] + r));
        biases[h] = load_words(reinterpret_cast<const uint8_t*>(by.biases[g] + r));
      }
      each_step<Codes>(
          chunks + 4 * r, ByteTable{}, [&](auto s, Words codes) __attribute__((always_inline)) {
            constexpr int kStep = decltype(s)::value;
            const Words weights = high_bytes(codes, factors[kStep / 4], biases[kStep / 4]);
            store_words(out + kStep * kLineBytes + 4 * r, weights);
          });
    }
  }
}

// A slab of weights and a tile of inputs.
struct RequantizedTile {
  const uint8_t* codes;
  const float* units;
  int32_t steps;
  const int8_t* words;    // [steps][rows] of 4 codes
  const int32_t* starts;  // [rows]
  const float* x_scales;  // [rows]
  float* y;               // [rows][kPackedRows]
};

template <int M>
PHIAL_APART void requantized_tile(const RequantizedTile& tile) {
  constexpr int kVecs = kRequantizedVecs, kUnrolled = 4;
  for (int32_t r = 0; r < kPackedRows; r += kVecs * kLanes) {
    Words total[M][kVecs];
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      PHIAL_UNROLL
      for (int v = 0; v < kVecs; ++v) total[m][v] = words_of(tile.starts[m]);
    }
    const uint8_t* codes = tile.codes + 4 * r;
    const auto* words = reinterpret_cast<const int32_t*>(tile.words);
    for (int32_t s = 0; s < tile.steps; s += kUnrolled) {
      PHIAL_UNROLL
      for (int i = 0; i < kUnrolled; ++i)
        add_step<255>(codes + i * kLineBytes, words + i * M, total);
      own_registers(total);
      codes += kUnrolled * kLineBytes;
      words += kUnrolled * M;
    }
    load_again();
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      const Vec unit = load(tile.units + r + v * kLanes);
      PHIAL_UNROLL
      for (int m = 0; m < M; ++m) {
        add_part(mul(float_of(total[m][v]), unit), tile.x_scales[m],
                 tile.y + m * kPackedRows + r + v * kLanes);
      }
    }
  }
}

using RequantizedTileFn = void (*)(const RequantizedTile&);
template <int M = 1>
PHIAL_INLINE RequantizedTileFn requantized_tile_of(int32_t rows) {
  if constexpr (M < kGemmTileRows) {
    if (rows != M) return requantized_tile_of<M + 1>(rows);
  }
  return requantized_tile<M>;
}

template <class Codes, bool Halves>
struct RequantizedSlab : UnpackedSlab<Codes, Halves> {
  using Base = UnpackedSlab<Codes, Halves>;

  void begin(const PackedLayout& of) {
    Base::begin(of);
    half_shift = shift_of(of.group, 16);
    tile.codes = codes;
    tile.units = by.units;
  }
  void load(const uint8_t* slab_chunks, int32_t count) {
    Base::load(slab_chunks, count);
    tile.steps = 8 * count;
    make_requantizer(this->scales, ((2 * count - 1) >> half_shift) + 1, this->has_offsets,
                     this->layout->zero, Codes::kTop, by);
    unpack_requantized<Codes>(slab_chunks, this->layout->chunk_bytes, count, half_shift, by, codes);
  }
  // -128 * the sums of the slab; of rows beyond the tile, numbers that mean nothing.
  [[gnu::always_inline]] void prepare(const SlabTile& of, int32_t, int32_t n) {
    static_assert(kLanes >= kMostTileRows);
    const Words sums = load_words(reinterpret_cast<const uint8_t*>(of.slab_sums));
    store_words(reinterpret_cast<uint8_t*>(starts[n]), times_minus_128(sums));
  }
  [[gnu::always_inline]] void multiply(const SlabTile& of, int32_t rows, int32_t n, float* y) {
    tile.words = of.codes;
    tile.starts = starts[n];
    tile.x_scales = of.scales;
    tile.y = y;
    requantized_tile_of(rows)(tile);
  }

  RequantizedTile tile;
  int32_t half_shift;
  alignas(64) uint8_t codes[kSlabColumns * kPackedRows];
  Requantizer by;
  alignas(64) int32_t starts[2][kLanes];
};

// Which readers give codes of at most 5 bits that stand for themselves (can_requantize()).
template <class Codes>
constexpr bool kCanRequantize = false;
template <>
constexpr bool kCanRequantize<Bits2> = true;
template <>
constexpr bool kCanRequantize<Bits3> = true;
template <>
constexpr bool kCanRequantize<Bits4> = true;
template <>
constexpr bool kCanRequantize<Bits5> = true;

static void requantized(const PackedProductArgs& args) {
  with_codes(
      args.weights->layout, [&](auto reader) __attribute__((always_inline)) {
        using Codes = decltype(reader);
        if constexpr (kCanRequantize<Codes>) {
          if (args.weights->layout.group != 16) {
            many_rows<RequantizedSlab<Codes, false>>(args);
          } else if constexpr (kCanHalve<Codes>) {
            many_rows<RequantizedSlab<Codes, true>>(args);
          }
        }
      });
}

// Sums of products: what they begin with, and what becomes of them.

// As an address of its own: gcc 12 otherwise adds a step's distance to the bases of a loop, and
// runs out of registers for all the sums.
template <class T>
PHIAL_INLINE T* own_address(T* p) {
  __asm__("" : "+r"(p));
  return p;
}

// Keeps every sum in its register at the end of a loop's round: gcc 12 otherwise copies them all at
// the beginning of the next one, and runs out.
template <class Register, int M, int kVecs>
PHIAL_INLINE void own_registers(Register (&sums)[M][kVecs]) {
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m) {
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) own_register(sums[m][v]);
  }
}

// The inputs of a tile as sums begin with them, and as they meet offsets: of chunks, or of halves.
struct TileSums {
  static constexpr int kMost = 2 * kSlabChunks * kMostTileRows;
  alignas(64) int32_t starts[kMost];
  alignas(64) float sums[kMost];
};

// `count` numbers of a tile. gemm takes those of the tile after the one that it computes with: what
// was just stored in whole registers is slow to load word by word. Rounded up to registers: what
// lies behind the last tile's is read, too, may be any number and means nothing.
PHIAL_APART void load_tile_sums(const int32_t* from, int32_t count, int32_t minus_zero,
                                bool with_floats, TileSums& out) {
  const auto product = [](int32_t a, int32_t b) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
  };
  for (int32_t i = 0; i < count; i += 16) {
    for (int32_t j = i; j < i + 16; ++j) out.starts[j] = product(minus_zero, from[j]);
  }
  for (int32_t i = 0; with_floats && i < count; i += 16) {
    for (int32_t j = i; j < i + 16; ++j) out.sums[j] = static_cast<float>(from[j]);
  }
}

// part += total * scale, and offset * (sums of the inputs, kStride apart) unless that is null.
template <int kStride = 1, int M, int kVecs>
PHIAL_INLINE void add_totals(const Words (&total)[M][kVecs], const float* scale,
                             const float* offset, const float* sums, float* parts) {
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    const Vec w = load(scale + v * kLanes);
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      float* at = parts + m * kPackedRows + v * kLanes;
      store(at, fma(float_of(total[m][v]), w, load(at)));
    }
  }
  if (offset == nullptr) return;
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    const Vec w = load(offset + v * kLanes);
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) {
      float* at = parts + m * kPackedRows + v * kLanes;
      store(at, fma(w, broadcast(sums[m * kStride]), load(at)));
    }
  }
}

// The same with parts in registers.
template <int M, int kVecs>
PHIAL_INLINE void add_to_registers(const Words (&total)[M][kVecs], const float* scale,
                                   Vec (&part)[M][kVecs]) {
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    const Vec w = load(scale + v * kLanes);
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) part[m][v] = fma(float_of(total[m][v]), w, part[m][v]);
  }
}
template <int kStride = 1, int M, int kVecs>
PHIAL_INLINE void add_offsets(const float* sums, const float* offset, Vec (&part)[M][kVecs]) {
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) {
    const Vec w = load(offset + v * kLanes);
    PHIAL_UNROLL
    for (int m = 0; m < M; ++m) part[m][v] = fma(w, broadcast(sums[m * kStride]), part[m][v]);
  }
}

// y of kLanes weight rows and a row of inputs, with what a slab adds.
PHIAL_INLINE void add_part(Vec part, float x_scale, float* y) {
  store(y, fma(part, broadcast(x_scale), load(y)));
}
template <int M>
PHIAL_INLINE void add_parts(const float* parts, const float* x_scales, float* const* y) {
  PHIAL_UNROLL
  for (int m = 0; m < M; ++m, parts += kPackedRows) {
    for (int32_t r = 0; r < kPackedRows; r += kLanes) {
      add_part(load(parts + r), x_scales[m], y[m] + r);
    }
  }
}

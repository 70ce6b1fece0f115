// gemm: a register tile of kTileRows x kTileVecs accumulators, over a slice of B that stays in the
// first-level cache. Storing an accumulator between slices and loading it again is exact, so each
// element remains one chain in the order of k.
//
// Products says what the elements of A and B are: Element; Lanes, kLanes of them; load_lanes,
// load_first_lanes and every_lane; add(sum, a, b), a step of the chain.

struct FloatProducts {
  using Element = float;
  using Lanes = Vec;
  PHIAL_INLINE Lanes load_lanes(const float* p) { return load(p); }
  PHIAL_INLINE Lanes load_first_lanes(const float* p, int64_t n) { return load_first(p, n); }
  PHIAL_INLINE Lanes every_lane(float value) { return broadcast(value); }
  PHIAL_INLINE Vec add(Vec sum, Lanes a, Lanes b) { return fma(a, b, sum); }
};

// Depth of a slice: 32 KB of B.
constexpr int64_t kSlice = 32768 / (kTileVecs * kLanes * 4);

// One tile of C, `Rows` x `Vecs` vectors; of the last vector the first `last` lanes exist
// (all of them unless Part).
template <class Products, int Rows, int Vecs, bool Part>
static void gemm_tile(int64_t k, const typename Products::Element* a, int64_t a_stride,
                      const typename Products::Element* b, int64_t b_stride, float* c,
                      int64_t c_stride, bool accumulate, int64_t last) {
  Vec acc[Rows][Vecs];
  PHIAL_UNROLL
  for (int r = 0; r < Rows; ++r) {
    PHIAL_UNROLL
    for (int v = 0; v < Vecs; ++v) {
      const float* at = c + r * c_stride + v * kLanes;
      acc[r][v] = !accumulate ? zero() : Part && v == Vecs - 1 ? load_first(at, last) : load(at);
    }
  }
  for (int64_t i = 0; i < k; ++i, ++a, b += b_stride) {
    typename Products::Lanes row[Vecs];
    PHIAL_UNROLL
    for (int v = 0; v < Vecs; ++v) {
      row[v] = Part && v == Vecs - 1 ? Products::load_first_lanes(b + v * kLanes, last)
                                     : Products::load_lanes(b + v * kLanes);
    }
    PHIAL_UNROLL
    for (int r = 0; r < Rows; ++r) {
      const typename Products::Lanes factor = Products::every_lane(a[r * a_stride]);
      PHIAL_UNROLL
      for (int v = 0; v < Vecs; ++v) acc[r][v] = Products::add(acc[r][v], factor, row[v]);
    }
  }
  PHIAL_UNROLL
  for (int r = 0; r < Rows; ++r) {
    PHIAL_UNROLL
    for (int v = 0; v < Vecs; ++v) {
      float* at = c + r * c_stride + v * kLanes;
      if (Part && v == Vecs - 1) {
        store_first(at, acc[r][v], last);
      } else {
        store(at, acc[r][v]);
      }
    }
  }
}

template <class Element>
using GemmTile = void (*)(int64_t, const Element*, int64_t, const Element*, int64_t, float*,
                          int64_t, bool, int64_t);

// By rows - 1.
template <class Products, int Vecs, bool Part>
constexpr GemmTile<typename Products::Element> kGemmTiles[kTileRows] = {
    gemm_tile<Products, 1, Vecs, Part>, gemm_tile<Products, 2, Vecs, Part>,
    gemm_tile<Products, 3, Vecs, Part>, gemm_tile<Products, 4, Vecs, Part>,
    gemm_tile<Products, 5, Vecs, Part>, gemm_tile<Products, 6, Vecs, Part>};

// The tiles for `columns` columns, as many of them as one tile takes.
template <class Products>
PHIAL_INLINE const GemmTile<typename Products::Element>* gemm_tiles(int64_t columns) {
  if (columns >= kTileVecs * kLanes) return kGemmTiles<Products, kTileVecs, false>;
  static_assert(kTileVecs == 2 || kTileVecs == 4);
  if constexpr (kTileVecs == 4) {
    if (columns > 3 * kLanes) return kGemmTiles<Products, 4, true>;
    if (columns > 2 * kLanes) return kGemmTiles<Products, 3, true>;
  }
  return columns > kLanes ? kGemmTiles<Products, 2, true> : kGemmTiles<Products, 1, true>;
}

template <class Products>
static void gemm_of(int64_t m, int64_t n, int64_t k, const typename Products::Element* a,
                    int64_t a_stride, const typename Products::Element* b, int64_t b_stride,
                    float* c, int64_t c_stride, bool accumulate) {
  for (int64_t n0 = 0; n0 < n; n0 += kTileVecs * kLanes) {
    const auto* tiles = gemm_tiles<Products>(n - n0);
    const int64_t last = (n - n0 - 1) % kLanes + 1;
    int64_t k0 = 0;
    do {  // also for k = 0, which may have to write zeros
      const int64_t depth = k - k0 < kSlice ? k - k0 : kSlice;
      const bool more = accumulate || k0 > 0;
      int64_t m0 = 0;
      // Tiles of nearly equal height: 7 rows are 4 and 3, not 6 and 1.
      for (int64_t left = (m + kTileRows - 1) / kTileRows; left > 0; --left) {
        const int64_t rows = (m - m0 + left - 1) / left;
        tiles[rows - 1](depth, a + m0 * a_stride + k0, a_stride, b + k0 * b_stride + n0, b_stride,
                        c + m0 * c_stride + n0, c_stride, more, last);
        m0 += rows;
      }
      k0 += depth;
    } while (k0 < k);
  }
}

PHIAL_INLINE void gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_stride,
                       const float* b, int64_t b_stride, float* c, int64_t c_stride,
                       bool accumulate) {
  gemm_of<FloatProducts>(m, n, k, a, a_stride, b, b_stride, c, c_stride, accumulate);
}

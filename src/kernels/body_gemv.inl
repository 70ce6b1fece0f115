// gemv: a tile of weight rows against all rows of x, one chain or two of fused multiply-adds per
// lane of each (weight row, x row), then the sum over the lanes. The chains of a pair never depend
// on what else is in the tile, which is why its result does not depend on x_rows.

// Weight rows in flight: as many chains as cover the latency of an addition and fit the registers.
constexpr int gemv_tile_rows(int x_rows) {
  int rows = 8;
  while (rows > 1 && rows * x_rows > kGemvTile) rows /= 2;
  return rows;
}

// Plain numbers cost little to decode: their kernels wait for memory, which answers best when rows
// are asked for one after the other. So few weight rows are in flight, and two chains for each pair
// make up for it; with six or three rows of x and more, they are too many for the registers.
template <class Codes>
constexpr bool is_plain() {
  if constexpr (Codes::kWholeBatches) {
    return false;
  } else {
    return Codes::kValueBytes > 0;
  }
}
constexpr int kPlainRows = 2;
constexpr int kPlainChains = 2;
constexpr int kPlainXRows = kPlainTile / (kPlainRows * kPlainChains);

// Least distance of a prefetch of all but plain numbers: what a core reads in the time that memory
// takes to answer.
constexpr int64_t kPrefetchBytes = 8192;

template <int Rows, int XRows, int Chains = 1>
struct GemvTile {
  // With registers for the weights of all rows, each vector of x is loaded once for all.
  static constexpr int kGroup = kGemvSharesX ? Rows : 1;

  Vec acc[Rows][XRows][Chains];

  inline __attribute__((always_inline)) void clear() {
    PHIAL_UNROLL
    for (int r = 0; r < Rows; ++r) {
      PHIAL_UNROLL
      for (int m = 0; m < XRows; ++m) {
        PHIAL_UNROLL
        for (int i = 0; i < Chains; ++i) acc[r][m][i] = zero();
      }
    }
  }

  // One chunk of columns: `read(row, out)` gives the weights of a row.
  template <class Read>
  inline __attribute__((always_inline)) void step(const Read& read, const float* x,
                                                  int64_t x_stride) {
    PHIAL_UNROLL
    for (int r0 = 0; r0 < Rows; r0 += kGroup) {
      Vec w[kGroup][kChunkVecs];
      PHIAL_UNROLL
      for (int r = 0; r < kGroup; ++r) read(r0 + r, w[r]);
      PHIAL_UNROLL
      for (int i = 0; i < kChunkVecs; ++i) {
        PHIAL_UNROLL
        for (int m = 0; m < XRows; ++m) {
          const Vec xv = load(x + m * x_stride + i * kLanes);
          PHIAL_UNROLL
          for (int r = 0; r < kGroup; ++r) {
            Vec& chain = acc[r0 + r][m][i % Chains];
            chain = fma(w[r][i], xv, chain);
          }
        }
      }
    }
  }

  // The same where x may have fewer than a chunk of columns left; the weights behind them are 0.
  template <class Read>
  inline __attribute__((always_inline)) void step_first(const Read& read, const float* x,
                                                        int64_t x_stride, int64_t columns) {
    if (columns >= kChunk) return step(read, x, x_stride);
    float part[XRows][kChunk] = {};
    for (int m = 0; m < XRows; ++m) {
      __builtin_memcpy(part[m], x + m * x_stride, static_cast<size_t>(columns) * sizeof(float));
    }
    step(read, part[0], kChunk);
  }

  inline __attribute__((always_inline)) void put(const GemvArgs& args, int64_t row) const {
    PHIAL_UNROLL
    for (int r = 0; r < Rows; ++r) {
      PHIAL_UNROLL
      for (int m = 0; m < XRows; ++m) {
        Vec all = acc[r][m][0];
        PHIAL_UNROLL
        for (int i = 1; i < Chains; ++i) all = add(all, acc[r][m][i]);
        args.y[m * args.y_stride + row + r] = sum(all);
      }
    }
  }
};

// Rows are too short for the processor to see a stream in each. Those of plain numbers are asked
// for in the order of memory, the tile `ahead` bytes on; others row by row, each what lies `ahead`
// bytes behind it.
template <class Codes, int Rows, int XRows>
static void gemv_tile(const GemvArgs& args, int64_t row, int64_t ahead) {
  constexpr bool kPlain = is_plain<Codes>();
  const int64_t stride = args.row_stride;
  const uint8_t* w = args.weights + row * stride;
  const float* x = args.x;
  GemvTile<Rows, XRows, kPlain ? kPlainChains : 1> tile;
  tile.clear();
  int64_t left = args.columns;
  for (constexpr int kBatch = Codes::kBatch; left >= kBatch * kChunk; left -= kBatch * kChunk) {
    typename Codes::Scales scales[Rows];
    PHIAL_UNROLL
    for (int r = 0; r < Rows; ++r) {
      if constexpr (kPlain) {
        static_assert(Codes::kBatchBytes % 64 == 0);
        const uintptr_t here = reinterpret_cast<uintptr_t>(w) + static_cast<uintptr_t>(ahead);
        PHIAL_UNROLL
        for (int line = 0; line < Codes::kBatchBytes; line += 64) {
          read_line_ahead(here + r * Codes::kBatchBytes + line);
        }
      } else {
        prefetch_lines(w + r * stride, ahead, Codes::kBatchBytes);
      }
      Codes::load_scales(w + r * stride, scales[r]);
    }
    for (int b = 0; b < kBatch; ++b, x += kChunk) {
      tile.step(
          [&](int r, Vec(&out)[kChunkVecs]) { Codes::load(w + r * stride, scales[r], b, out); }, x,
          args.x_stride);
    }
    w += Codes::kBatchBytes;
    if constexpr (kPlain) ahead += (Rows - 1) * Codes::kBatchBytes;
  }
  if constexpr (!Codes::kWholeBatches) {
    for (; left >= kChunk; left -= kChunk, w += Codes::kChunkBytes, x += kChunk) {
      tile.step([&](int r, Vec(&out)[kChunkVecs]) { Codes::load(w + r * stride, out); }, x,
                args.x_stride);
    }
    if constexpr (Codes::kValueBytes > 0) {
      if (left > 0) {
        tile.step_first(
            [&](int r, Vec(&out)[kChunkVecs]) { load_part<Codes>(w + r * stride, left, out); }, x,
            args.x_stride, left);
      }
    }
  }
  tile.put(args, row);
}

// One tile of weight rows, against as many rows of x at a time as the registers take.
template <class Codes, int Rows, int XRows>
static void gemv_tiles(GemvArgs args, int64_t row, int64_t ahead) {
  constexpr int kMost = is_plain<Codes>() ? kPlainXRows : kMaxGemvRows;
  constexpr int kParts = (XRows + kMost - 1) / kMost;
  constexpr int kFirst = (XRows + kParts - 1) / kParts;
  gemv_tile<Codes, Rows, kFirst>(args, row, ahead);
  if constexpr (kFirst < XRows) {
    args.x += kFirst * args.x_stride;
    args.y += kFirst * args.y_stride;
    gemv_tiles<Codes, Rows, XRows - kFirst>(args, row, ahead);
  }
}

template <class Codes, int XRows>
static void gemv_rows(const GemvArgs& args) {
  constexpr int kRows = is_plain<Codes>() ? (XRows == 1 ? 1 : kPlainRows) : gemv_tile_rows(XRows);
  const int64_t last = args.row_end - kRows;
  if (last < args.row_begin) {
    // Fewer rows than a tile: pair by pair. Decoding them again for each x row costs little.
    GemvArgs one = args;
    for (int m = 0; m < XRows; ++m, one.x += args.x_stride, one.y += args.y_stride) {
      for (int64_t r = args.row_begin; r < args.row_end; ++r) gemv_tile<Codes, 1, 1>(one, r, 0);
    }
    return;
  }
  const int64_t tile_bytes = kRows * args.row_stride;
  // What of a tile is asked for last belongs to its last row, and is needed no later than the
  // beginning of its first one.
  const int64_t ahead = is_plain<Codes>() ? tile_bytes - args.row_stride
                                          : (kPrefetchBytes / tile_bytes + 1) * tile_bytes;
  // The last tile overlaps the one before: it writes the same bits again.
  for (int64_t r = args.row_begin; r < args.row_end; r += kRows) {
    gemv_tiles<Codes, kRows, XRows>(args, r < last ? r : last, ahead);
  }
}

template <class Codes>
static void gemv(const GemvArgs& args) {
  static_assert(kMaxGemvRows == 8);
  switch (args.x_rows) {
    case 1:
      return gemv_rows<Codes, 1>(args);
    case 2:
      return gemv_rows<Codes, 2>(args);
    case 3:
      return gemv_rows<Codes, 3>(args);
    case 4:
      return gemv_rows<Codes, 4>(args);
    case 5:
      return gemv_rows<Codes, 5>(args);
    case 6:
      return gemv_rows<Codes, 6>(args);
    case 7:
      return gemv_rows<Codes, 7>(args);
    case 8:
      return gemv_rows<Codes, 8>(args);
  }
}

// gemv: a tile of weight rows against all rows of x, one chain of fused multiply-adds per lane of
// each (weight row, x row), then the sum over the lanes. The chain of a pair never depends on what
// else is in the tile, which is why its result does not depend on x_rows.

// Weight rows in flight: as many chains as cover the latency of an addition and fit the registers.
constexpr int gemv_tile_rows(int x_rows) {
  int rows = 8;
  while (rows > 1 && rows * x_rows > kGemvTile) rows /= 2;
  return rows;
}

// Least distance of a prefetch: what a core reads in the time that memory takes to answer.
constexpr int64_t kPrefetchBytes = 8192;

template <int Rows, int XRows>
struct GemvTile {
  // With registers for the weights of all rows, each vector of x is loaded once for all.
  static constexpr int kGroup = kGemvSharesX ? Rows : 1;

  Vec acc[Rows][XRows];

  inline __attribute__((always_inline)) void clear() {
    PHIAL_UNROLL
    for (int r = 0; r < Rows; ++r) {
      PHIAL_UNROLL
      for (int m = 0; m < XRows; ++m) acc[r][m] = zero();
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
          for (int r = 0; r < kGroup; ++r) acc[r0 + r][m] = fma(w[r][i], xv, acc[r0 + r][m]);
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
      for (int m = 0; m < XRows; ++m) args.y[m * args.y_stride + row + r] = sum(acc[r][m]);
    }
  }
};

// `ahead`: bytes from a row to the one that will be read next but one or so. Rows are too short for
// the processor to see a stream in each.
template <class Codes, int Rows, int XRows>
static void gemv_tile(const GemvArgs& args, int64_t row, int64_t ahead) {
  const int64_t stride = args.row_stride;
  const uint8_t* w = args.weights + row * stride;
  const float* x = args.x;
  GemvTile<Rows, XRows> tile;
  tile.clear();
  int64_t left = args.columns;
  for (constexpr int kBatch = Codes::kBatch; left >= kBatch * kChunk; left -= kBatch * kChunk) {
    typename Codes::Scales scales[Rows];
    PHIAL_UNROLL
    for (int r = 0; r < Rows; ++r) {
      prefetch_lines(w + r * stride, ahead, Codes::kBatchBytes);
      Codes::load_scales(w + r * stride, scales[r]);
    }
    for (int b = 0; b < kBatch; ++b, x += kChunk) {
      tile.step(
          [&](int r, Vec(&out)[kChunkVecs]) { Codes::load(w + r * stride, scales[r], b, out); }, x,
          args.x_stride);
    }
    w += Codes::kBatchBytes;
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

template <class Codes, int XRows>
static void gemv_rows(const GemvArgs& args) {
  constexpr int kRows = gemv_tile_rows(XRows);
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
  const int64_t ahead = (kPrefetchBytes / tile_bytes + 1) * tile_bytes;
  // The last tile overlaps the one before: it writes the same bits again.
  for (int64_t r = args.row_begin; r < args.row_end; r += kRows) {
    gemv_tile<Codes, kRows, XRows>(args, r < last ? r : last, ahead);
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

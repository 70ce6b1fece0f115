// gemv and unpack of grids without a reader of their own: decode_row or decode_affine fills a small
// buffer with float32, which is multiplied like any other row.

// Columns decoded at a time: whole blocks of every grid, and few enough to stay in the first-level
// cache for all rows of a tile.
constexpr int kDecoded = kMaxBlockValues;

// Columns [column, column + count) of weight row `row`, count <= kDecoded, and zeros behind them up
// to a whole chunk.
struct RowDecoder {
  Grid grid;
  const AffineMatrix* affine;  // null: `grid`
  const uint8_t* weights;
  int64_t row_stride;

  void operator()(int64_t row, int64_t column, int64_t count, float* out) const {
    if (affine != nullptr) {
      decode_affine(*affine, row, column, count, out);
    } else {
      const uint8_t* codes = weights + row * row_stride + row_bytes(grid, column);
      decode_row(grid, codes, count, out);
    }
    for (; count % kChunk != 0; ++count) out[count] = 0.0f;
  }
};

PHIAL_INLINE void load_decoded(const float* values, Vec (&out)[kChunkVecs]) {
  PHIAL_UNROLL
  for (int i = 0; i < kChunkVecs; ++i) out[i] = load(values + i * kLanes);
}

template <int Rows, int XRows>
static void decoded_tile(const GemvArgs& args, const RowDecoder& decode, int64_t row) {
  GemvTile<Rows, XRows> tile;
  tile.clear();
  float w[Rows][kDecoded];
  for (int64_t c = 0; c < args.columns; c += kDecoded) {
    const int64_t count = args.columns - c < kDecoded ? args.columns - c : kDecoded;
    for (int r = 0; r < Rows; ++r) decode(row + r, c, count, w[r]);
    for (int64_t i = 0; i < count; i += kChunk) {
      tile.step_first([&](int r, Vec(&out)[kChunkVecs]) { load_decoded(w[r] + i, out); },
                      args.x + c + i, args.x_stride, count - i);
    }
  }
  tile.put(args, row);
}

template <int XRows>
static void decoded_rows(const GemvArgs& args, const RowDecoder& decode) {
  constexpr int kRows = gemv_tile_rows(XRows);
  int64_t r = args.row_begin;
  for (; r + kRows <= args.row_end; r += kRows) decoded_tile<kRows, XRows>(args, decode, r);
  for (; r < args.row_end; ++r) decoded_tile<1, XRows>(args, decode, r);
}

static void gemv_decoded(const GemvArgs& args, const RowDecoder& decode) {
  static_assert(kMaxGemvRows == 8);
  switch (args.x_rows) {
    case 1:
      return decoded_rows<1>(args, decode);
    case 2:
      return decoded_rows<2>(args, decode);
    case 3:
      return decoded_rows<3>(args, decode);
    case 4:
      return decoded_rows<4>(args, decode);
    case 5:
      return decoded_rows<5>(args, decode);
    case 6:
      return decoded_rows<6>(args, decode);
    case 7:
      return decoded_rows<7>(args, decode);
    case 8:
      return decoded_rows<8>(args, decode);
  }
}

static void unpack_decoded(const UnpackArgs& args, const RowDecoder& decode) {
  for (int64_t r0 = 0; r0 < kPanelRows; r0 += kLanes) {
    for (int64_t c = 0; c < args.k; c += kDecoded) {
      const int64_t count = args.k - c < kDecoded ? args.k - c : kDecoded;
      float rows[kLanes][kDecoded] = {};
      for (int r = 0; r < kLanes && r0 + r < args.n; ++r) {
        decode(args.row_begin + r0 + r, args.column_begin + c, count, rows[r]);
      }
      for (int64_t i = 0; i < count; i += kChunk) {
        float* panel = args.panel + (c + i) * kPanelRows + r0;
        unpack_square([&](int r, Vec(&out)[kChunkVecs]) { load_decoded(rows[r] + i, out); },
                      count - i, panel);
      }
    }
  }
}

template <Grid grid>
static void gemv_of_grid(const GemvArgs& args) {
  gemv_decoded(args, {grid, nullptr, args.weights, args.row_stride});
}
template <Grid grid>
static void unpack_of_grid(const UnpackArgs& args) {
  unpack_decoded(args, {grid, nullptr, args.weights, args.row_stride});
}
static void gemv_affine(const GemvArgs& args) {
  gemv_decoded(args, {Grid::f32, args.affine, nullptr, 0});
}
static void unpack_affine(const UnpackArgs& args) {
  unpack_decoded(args, {Grid::f32, args.affine, nullptr, 0});
}

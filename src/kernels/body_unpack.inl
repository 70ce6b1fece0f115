// unpack: squares of kLanes rows x kLanes columns, decoded row by row and transposed in registers.

template <class Codes>
static void unpack(const UnpackArgs& args) {
  const uint8_t* weights = args.weights + args.row_begin * args.row_stride +
                           args.column_begin / kChunk * Codes::kChunkBytes;
  if constexpr (Codes::kValueBytes > 0) {
    weights += args.column_begin % kChunk * Codes::kValueBytes;
  }
  for (int64_t r0 = 0; r0 < kPanelRows; r0 += kLanes) {
    for (int64_t c = 0; c < args.k; c += kChunk) {
      const int64_t columns = args.k - c < kChunk ? args.k - c : kChunk;
      const uint8_t* codes = weights + r0 * args.row_stride + c / kChunk * Codes::kChunkBytes;
      Vec square[kChunkVecs][kLanes];
      for (int r = 0; r < kLanes; ++r) {
        Vec row[kChunkVecs];
        for (int i = 0; i < kChunkVecs; ++i) row[i] = zero();
        if (r0 + r < args.n) {
          if (Codes::kValueBytes == 0 || columns == kChunk) {
            Codes::load(codes + r * args.row_stride, row);
          } else {
            load_part<Codes>(codes + r * args.row_stride, columns, row);
          }
        }
        for (int i = 0; i < kChunkVecs; ++i) square[i][r] = row[i];
      }
      float* panel = args.panel + c * kPanelRows + r0;
      for (int i = 0; i < kChunkVecs; ++i) {
        transpose(square[i]);
        for (int j = 0; j < kLanes && i * kLanes + j < columns; ++j) {
          store(panel + (i * kLanes + j) * kPanelRows, square[i][j]);
        }
      }
    }
  }
}

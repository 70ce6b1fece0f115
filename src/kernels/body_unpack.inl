// unpack: squares of kLanes rows x kLanes columns, decoded row by row and transposed in registers.

// One chunk of kLanes rows: `read(row, out)` gives a row's values. The first `columns` of them go
// to the rows of `panel`.
template <class Read>
PHIAL_INLINE void unpack_square(const Read& read, int64_t columns, float* panel) {
  Vec square[kChunkVecs][kLanes];
  for (int r = 0; r < kLanes; ++r) {
    Vec row[kChunkVecs];
    read(r, row);
    for (int i = 0; i < kChunkVecs; ++i) square[i][r] = row[i];
  }
  for (int i = 0; i < kChunkVecs; ++i) {
    transpose(square[i]);
    for (int j = 0; j < kLanes && i * kLanes + j < columns; ++j) {
      store(panel + (i * kLanes + j) * kPanelRows, square[i][j]);
    }
  }
}

PHIAL_INLINE void no_values(Vec (&out)[kChunkVecs]) {
  for (int i = 0; i < kChunkVecs; ++i) out[i] = zero();
}

// Rows [r0, r0 + kLanes) of the panel, of which the first `rows` exist, chunk by chunk.
template <class Codes>
static void unpack_chunks(const uint8_t* codes, int64_t row_stride, int64_t rows, int64_t k,
                          float* panel) {
  for (int64_t c = 0; c < k; c += kChunk, codes += Codes::kChunkBytes) {
    const int64_t columns = k - c < kChunk ? k - c : kChunk;
    unpack_square(
        [&](int r, Vec(&out)[kChunkVecs]) {
          if (r >= rows) {
            no_values(out);
          } else if (Codes::kValueBytes == 0 || columns == kChunk) {
            Codes::load(codes + r * row_stride, out);
          } else {
            load_part<Codes>(codes + r * row_stride, columns, out);
          }
        },
        columns, panel + c * kPanelRows);
  }
}

// The same where a block is a batch of chunks.
template <class Codes>
static void unpack_batches(const uint8_t* codes, int64_t row_stride, int64_t rows, int64_t k,
                           float* panel) {
  for (int64_t c = 0; c < k; c += Codes::kBatch * kChunk, codes += Codes::kBatchBytes) {
    typename Codes::Scales scales[kLanes];
    for (int r = 0; r < kLanes && r < rows; ++r) {
      Codes::load_scales(codes + r * row_stride, scales[r]);
    }
    for (int b = 0; b < Codes::kBatch; ++b) {
      unpack_square(
          [&](int r, Vec(&out)[kChunkVecs]) {
            if (r >= rows) {
              no_values(out);
            } else {
              Codes::load(codes + r * row_stride, scales[r], b, out);
            }
          },
          kChunk, panel + (c + b * kChunk) * kPanelRows);
    }
  }
}

template <class Codes>
static void unpack(const UnpackArgs& args) {
  for (int64_t r0 = 0; r0 < kPanelRows; r0 += kLanes) {
    const uint8_t* codes = args.weights + (args.row_begin + r0) * args.row_stride;
    if constexpr (Codes::kWholeBatches) {
      codes += args.column_begin / (Codes::kBatch * kChunk) * Codes::kBatchBytes;
      unpack_batches<Codes>(codes, args.row_stride, args.n - r0, args.k, args.panel + r0);
    } else {
      codes += args.column_begin / kChunk * Codes::kChunkBytes;
      if constexpr (Codes::kValueBytes > 0) {
        codes += args.column_begin % kChunk * Codes::kValueBytes;
      }
      unpack_chunks<Codes>(codes, args.row_stride, args.n - r0, args.k, args.panel + r0);
    }
  }
}

// What all loops over panels have in common.

// By how much a number of `unit` columns is shifted to be that of its group of `columns`.
PHIAL_INLINE int32_t shift_of(int64_t columns, int64_t unit) {
  int32_t shift = 0;
  while (unit << shift < columns && shift < 8) ++shift;
  return shift;
}

// y of one panel and `rows` rows of inputs, from the results of its slabs.
template <class Args>
PHIAL_INLINE void put_rows(const Args& args, int32_t rows, int64_t panel, const float* sums) {
  const int64_t row = panel * kPackedRows;
  const int64_t left = args.weights->rows - row;
  for (int32_t m = 0; m < rows; ++m, sums += kPackedRows) {
    float* y = args.y + m * args.y_stride + row - args.y_row;
    for (int64_t r = 0; r < kPackedRows && r < left; r += kLanes) {
      if (left - r >= kLanes) {
        store(y + r, load(sums + r));
      } else {
        store_first(y + r, load(sums + r), left - r);
      }
    }
  }
}

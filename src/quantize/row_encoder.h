// Encoding rows of float32 into any stored grid, by rounding or by a search for scales.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/search.h"
#include "quantize/convert.h"
#include "quantize/stored_grid.h"

namespace phial {

// One for each thread. Results depend on the arguments alone: not on the table of searches.
class RowEncoder {
 public:
  RowEncoder(const SearchTable& search, Effort effort);
  ~RowEncoder();
  RowEncoder(const RowEncoder&) = delete;
  RowEncoder& operator=(const RowEncoder&) = delete;

  // Encodes `rows` rows of `columns` finite values. `importance` [columns] is what the squared
  // error of each column counts; null: all the same. planes[i] receives plane i (one for blocks;
  // else codes, scales and biases), row by row without gaps.
  //   fast      round to nearest: as ggml does it (legacy blocks, mxfp4), as mlx does it (planes);
  //             K blocks, iq4_nl and iq4_xs by a short search
  //   balanced  a search, but for plain numbers and codes of 8 bits, where rounding loses nothing
  //             to speak of
  // REQUIRES: columns is a multiple of grid.block_columns()
  void encode(const StoredGrid& grid, const float* values, int64_t rows, int64_t columns,
              const float* importance, uint8_t* const* planes);

  // Whether encoding into `grid` at `effort` goes by importance enough to estimate it where nobody
  // has measured it.
  static bool weighs(const StoredGrid& grid, Effort effort);

  // The values that readers of the planes see.
  static void decode(const StoredGrid& grid, const uint8_t* const* planes, int64_t rows,
                     int64_t columns, float* out);

 private:
  struct Batch;
  void encode_by_search(const StoredGrid& grid, const float* values, int64_t rows, int64_t columns,
                        const float* importance, uint8_t* const* planes);

  const SearchTable& search_;
  const Effort effort_;
  const std::unique_ptr<Batch> batch_;
};

}  // namespace phial

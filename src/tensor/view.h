// Views of tensors that lie, unaligned, in bytes owned by someone else (a mapped file). Copying a
// view copies no data; it is valid as long as its owner lives.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/affine.h"
#include "tensor/grid.h"
#include "tensor/packed_matrix.h"

namespace phial {

// Shape is slowest axis first, as Hugging Face and NumPy write it: a linear layer's weight is
// [out_features, in_features]. Blocks of a grid run along the last axis.
struct TensorView {
  Grid grid = Grid::f32;
  std::vector<int64_t> shape;  // empty: a scalar
  std::span<const uint8_t> bytes;

  int64_t elements() const {
    int64_t n = 1;
    for (const int64_t extent : shape) n *= extent;
    return n;
  }
};

// How the rows of a matrix lie in the file.
enum class RowOrder : uint8_t {
  natural,  // Hugging Face's order
  // GGUF's order for q and k of llama-like families: within each head of d rows, file row 2i + h
  // is Hugging Face's row i + h * d/2 (h = 0, 1; i < d/2).
  interleaved_heads,
};

// A matrix of weights: `rows` outputs times `columns` inputs. Each row is a run of whole blocks of
// `grid`, or lies in the planes of `affine`, or the matrix is in panels, which were made of either.
struct MatrixView {
  Grid grid = Grid::f32;
  RowOrder row_order = RowOrder::natural;
  int64_t rows = 0;        // out_features
  int64_t columns = 0;     // in_features
  int64_t row_stride = 0;  // bytes from one row to the next
  int64_t head_rows = 0;   // rows of one head; used by interleaved_heads only
  const uint8_t* data = nullptr;
  AffineMatrix affine;  // with codes: holds the rows instead of grid, row_stride and data
  // With data: holds the rows, in the natural order, instead of row_stride, data and the planes.
  // What was packed is `grid`, or affine.grid where `was_affine`.
  PackedMatrix packed;
  bool was_affine = false;

  bool empty() const { return rows == 0; }
  bool is_affine() const { return affine.codes != nullptr; }
  bool is_packed() const { return packed.data != nullptr; }
  // Whether affine.grid says what the codes mean, wherever they lie; else `grid` does.
  bool has_affine_grid() const { return is_affine() || was_affine; }
  // REQUIRES: !is_affine(), !is_packed()
  const uint8_t* row(int64_t r) const { return data + r * row_stride; }
  // All columns of row `r` of the file.
  void decode(int64_t r, float* out) const {
    if (is_packed()) return decode_packed_row(packed, r, out);
    if (is_affine()) return decode_affine(affine, r, 0, columns, out);
    decode_row(grid, row(r), columns, out);
  }
  // Rows [begin, begin + count) as a view of their own.
  // REQUIRES: !is_packed(); with interleaved_heads, begin and count are multiples of head_rows.
  MatrixView row_range(int64_t begin, int64_t count) const {
    MatrixView part = *this;
    part.rows = count;
    if (is_affine()) {
      part.affine.first_row += begin;
    } else {
      part.data = row(begin);
    }
    return part;
  }
};

// Where Hugging Face's row `r` of one head of `head_rows` rows lies in an interleaved file.
constexpr int64_t interleaved_row(int64_t r, int64_t head_rows) {
  const int64_t half = head_rows / 2;
  return r < half ? 2 * r : 2 * (r - half) + 1;
}

}  // namespace phial

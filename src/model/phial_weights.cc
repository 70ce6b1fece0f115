#include "model/phial_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tensor/packed.h"

namespace phial {
namespace {

std::string place_of(const NamedTensor& tensor) { return tensor.file + ": " + tensor.name; }

MatrixView view_of(const NamedTensor& tensor, const PhialMatrix& matrix) {
  MatrixView view;
  view.rows = matrix.rows;
  view.columns = matrix.columns;
  view.grid = matrix.grid;
  if (!matrix.in_panels) {
    view.row_stride = row_bytes(matrix.grid, matrix.columns);
    view.data = tensor.view.bytes.data();
    return view;
  }
  view.packed = {*layout_of(matrix), matrix.rows, tensor.view.bytes.data()};
  if (matrix.affine) {
    view.was_affine = true;
    view.affine.grid = *matrix.affine;
    view.affine.code_row_bits = 8 * affine_row_bytes(*matrix.affine, matrix.columns).codes;
  }
  return view;
}

}  // namespace

bool is_described(const NamedTensor& tensor) { return !tensor.description.empty(); }

bool is_packed_file(const Checkpoint& checkpoint) {
  return std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(), is_described);
}

Result<PhialMatrix> phial_matrix(const NamedTensor& tensor) {
  const std::string place = place_of(tensor);
  PHIAL_ASSIGN(const PhialMatrix matrix, parse_description(tensor.description, place));
  PHIAL_ASSIGN(const SafetensorsTensor expected, phial_tensor(tensor.name, matrix));
  if (tensor.view.grid != expected.grid || tensor.view.shape != expected.shape) {
    return damaged(place, fmt::format("expected U8 [{}] as it is described, found {} [{}]",
                                      fmt::join(expected.shape, ", "), tensor.dtype,
                                      fmt::join(tensor.view.shape, ", ")));
  }
  return matrix;
}

Result<MatrixView> bind_phial_weight(const NamedTensor& tensor, int64_t rows, int64_t columns) {
  PHIAL_ASSIGN(const PhialMatrix matrix, phial_matrix(tensor));
  if (matrix.rows != rows || matrix.columns != columns) {
    return damaged(place_of(tensor),
                   fmt::format("shape: expected [{}, {}] from the configuration, found [{}, {}]",
                               rows, columns, matrix.rows, matrix.columns));
  }
  return view_of(tensor, matrix);
}

Status check_finite_phial_weight(const NamedTensor& tensor) {
  PHIAL_ASSIGN(const PhialMatrix matrix, phial_matrix(tensor));
  const MatrixView view = view_of(tensor, matrix);
  std::vector<float> row(static_cast<size_t>(view.columns));
  for (int64_t r = 0; r < view.rows; ++r) {
    view.decode(r, row.data());
    for (const float value : row) {
      if (!std::isfinite(value)) {
        return damaged(place_of(tensor), fmt::format("row {} holds NaN or infinity", r));
      }
    }
  }
  return {};
}

}  // namespace phial

// Which grid each matrix gets, so that a model of at most so many bytes loses least.
//
// The loss of a model is taken to be a sum over its matrices: how much the model suffers from an
// error of the matrix, times the squared error that rounding to the grid makes, over the square of
// the values. Matrices of one kind suffer alike, whatever their layer and size.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/model_spec.h"
#include "model/target.h"
#include "quantize/stored_grid.h"

namespace phial {

// What a model loses by a matrix whose squared error is all of its square, in units of what it
// loses by its head. Measured on one small model by putting one kind of matrix at a time back to
// what it was (docs/quantization.md); of the matrices in layers 1 / layers of the sum is each
// one's.
double sensitivity(const TargetTensor& tensor, const ModelSpec& spec);

// The squared error of normally distributed values at effort balanced, over their square. Nothing
// for grids that no mix has a use for: ternary ones, of models that were trained for them, and
// numbers wider than float32.
std::optional<double> rounding_error(const StoredGrid& grid);

// What one matrix may become.
struct GridOption {
  StoredGrid grid;
  uint64_t bytes = 0;
  double loss = 0;
};

// The option of each matrix, by number. Steps from the smallest options on to larger ones where a
// byte saves most, earlier matrices first where it saves as much, until nothing fits. Nothing when
// the smallest are more than `bytes` together.
// REQUIRES: every matrix has an option
std::optional<std::vector<size_t>> allocate_grids(
    const std::vector<std::vector<GridOption>>& matrices, uint64_t bytes);

}  // namespace phial

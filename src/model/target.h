// What a converted model is made of, before any of it is written: tensors under the names, in the
// order of rows and fused as a target format wants them, with views of where their values are. One
// maker per format fills in a list of these from a Model; src/quantize chooses a grid for each and
// streams them to a writer of src/formats.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/roles.h"
#include "tensor/view.h"

namespace phial {

// Rows of a source matrix, to be written in `order`.
struct TargetRows {
  MatrixView view;  // of the source, in the order that view.row_order says
  RowOrder order = RowOrder::natural;
  int64_t head_rows = 0;  // rows of one head, where view.row_order or order is interleaved_heads

  // Which row of `view` holds row `r` of the target. REQUIRES: 0 <= r < view.rows
  int64_t source_row(int64_t r) const;
};

// A matrix (rows of all `pieces` one after another) or a short list of numbers.
struct TargetTensor {
  std::string name;            // as the target spells it, with ".weight" or ".bias"
  std::vector<int64_t> shape;  // slowest axis first
  Role role = Role::token_embedding;
  bool is_rope = false;            // factors of frequencies, which have no role
  int64_t layer = -1;              // -1: of the whole model
  std::vector<TargetRows> pieces;  // a matrix: may be quantized; all have shape[1] columns
  std::vector<float> values;       // norms, biases, factors of frequencies: instead of pieces

  bool is_matrix() const { return !pieces.empty(); }
};

// A file that stands beside the weights (config.json, tokenizer.json ...).
struct TargetFile {
  std::string name;
  std::string bytes;
};

}  // namespace phial

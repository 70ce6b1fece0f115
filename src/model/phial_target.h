// Packed files, phial's own: a folder in Hugging Face's layout (model/hf_target.h) whose matrices
// lie in its model.safetensors as the kernels read them (tensor/packed_matrix.h), so that a model
// is mapped and runs, without anything being read, copied or rearranged before.
//
//   __metadata__        {"format": "phial", "phial.NAME": DESCRIPTION, ...}
//   NAME, in panels     U8 [ceil(rows / 64), bytes of a panel]
//   NAME, in rows       U8 [rows, bytes of a row]: grids that panels do not hold
//   any other tensor    as in other files: BF16, F16 or F32
//
// Every tensor begins at a multiple of 64 bytes in the file. q, k, v, gate and up are matrices of
// their own, rows in their natural order. A description is a JSON object as text:
//
//   {"layout": "panels-1", "grid": "q4_0", "shape": [3072, 8192]}
//   {"layout": "panels-1", "grid": {"codes": "unsigned", "bits": 4, "group": 64, "scale": "bf16",
//                                   "offset": "minimum"}, "shape": [3072, 8192]}
//   {"layout": "rows-1", "grid": "iq2_s", "shape": [3072, 8192]}
//
// "shape" is the matrix's, "grid" what was packed: a name of the grid table, or the members of
// AffineGrid. Other members are passed over: what changes the meaning of the bytes changes the
// name of the layout. docs/packed.md is the description for users.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "formats/safetensors_writer.h"
#include "tensor/affine.h"
#include "tensor/grid.h"
#include "tensor/packed_matrix.h"

namespace phial {

// A matrix of a packed file.
struct PhialMatrix {
  // What its codes mean: `affine`, or else `grid`.
  std::optional<AffineGrid> affine;
  Grid grid = Grid::q4_0;
  int64_t rows = 0, columns = 0;
  bool in_panels = true;
};

// The layout of its panels, or nothing where panels do not hold it.
std::optional<PackedLayout> layout_of(const PhialMatrix& matrix);

// The tensor that holds it.  REQUIRES: in_panels: layout_of() gives one; else `affine` is empty
Result<SafetensorsTensor> phial_tensor(std::string_view name, const PhialMatrix& matrix);

// The description, and what it says. Errors, at `where`: damaged (no JSON, a member missing or of
// another kind), unsupported (a layout, grid or combination that this version does not have).
std::string to_text(const PhialMatrix& matrix);
Result<PhialMatrix> parse_description(std::string_view text, const std::string& where);

// "q4_0", "int4 g64".
std::string grid_name(const PhialMatrix& matrix);

}  // namespace phial

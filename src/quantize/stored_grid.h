// What a tensor of a converted model is stored in: plain numbers, blocks, or planes of their own
// for codes, scales and biases, as MLX has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/affine.h"
#include "tensor/grid.h"

namespace phial {

struct StoredGrid {
  // Plain numbers or blocks; of planes with `bits` 0, mxfp4.
  Grid grid = Grid::f32;
  // Planes (MLX): 0 for everything else.
  int32_t group_columns = 0;          // columns that share a scale
  int32_t bits = 0;                   // of an affine code: 2, 3, 4, 5, 6, 8; 0: mxfp4
  ScaleKind scale = ScaleKind::bf16;  // of scales and biases; mxfp4 has e8m0

  bool has_planes() const { return group_columns != 0; }
  bool is_number() const { return !has_planes() && grid_info(grid).block_values == 1; }
  // "q4_0", "bf16"; of planes "int4 g64" or "mxfp4 g32".
  std::string name() const;
  // What a row must be a multiple of.
  int32_t block_columns() const;
  // Of a row in each plane: one, or codes, scales and (affine) biases.
  // REQUIRES: columns is a multiple of block_columns()
  std::vector<int64_t> plane_row_bytes(int64_t columns) const;
  int64_t row_bytes(int64_t columns) const;  // of all planes
  // The planes' description for encode_affine_row and decode_affine. REQUIRES: has_planes()
  AffineGrid affine() const;
  // Of the planes of scales and biases. REQUIRES: bits != 0
  Grid scale_grid() const;

  bool operator==(const StoredGrid&) const = default;
};

}  // namespace phial

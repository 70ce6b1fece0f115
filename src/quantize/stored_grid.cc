#include "quantize/stored_grid.h"

#include "tensor/block_codebook.h"

namespace phial {

std::string StoredGrid::name() const {
  if (!has_planes()) return grid_info(grid).name;
  const std::string codes = bits != 0 ? "int" + std::to_string(bits) : grid_info(grid).name;
  return codes + " g" + std::to_string(group_columns);
}

int32_t StoredGrid::block_columns() const {
  return has_planes() ? group_columns : grid_info(grid).block_values;
}

std::vector<int64_t> StoredGrid::plane_row_bytes(int64_t columns) const {
  if (!has_planes()) return {phial::row_bytes(grid, columns)};
  const int64_t groups = columns / group_columns;
  if (bits == 0) return {columns / 2, groups};
  const int64_t scales = groups * scale_bytes(scale);
  return {columns * bits / 8, scales, scales};
}

int64_t StoredGrid::row_bytes(int64_t columns) const {
  int64_t sum = 0;
  for (const int64_t bytes : plane_row_bytes(columns)) sum += bytes;
  return sum;
}

AffineGrid StoredGrid::affine() const {
  if (bits == 0) {
    return {.codes = CodeKind::f4_e2m1, .group_columns = group_columns, .scale = ScaleKind::e8m0};
  }
  return {
      .bits = bits, .group_columns = group_columns, .scale = scale, .offset = OffsetKind::minimum};
}

Grid StoredGrid::scale_grid() const {
  switch (scale) {
    case ScaleKind::f32:
      return Grid::f32;
    case ScaleKind::f16:
      return Grid::f16;
    default:
      return Grid::bf16;
  }
}

}  // namespace phial

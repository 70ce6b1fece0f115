// Packing weights into panels (tensor/packed_matrix.h has the layout) and reading them one by one:
// the plain definitions that kernels must agree with.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "tensor/packed_matrix.h"
#include "tensor/view.h"

namespace phial {

// The layout of `matrix`, of which only the kind and the columns count; nothing where it cannot be
// packed and has to be computed with as it is: f32, f64, 8-bit floats, the lattice grids, tq1_0,
// q8_k, zero points of other than 4 and 8 bits, groups of several rows, groups that neither divide
// 256 columns into equal parts of 16 or more nor are a multiple of 256 nor the whole row, and
// groups of 16 codes of 5 or 8 bits. The grid alone (and the columns) says how a file of panels is
// to be read.
std::optional<PackedLayout> packed_layout(Grid grid, int64_t columns);
std::optional<PackedLayout> packed_layout(const AffineGrid& grid, int64_t columns);
std::optional<PackedLayout> packed_layout(const MatrixView& matrix);

// Bytes of the panels of `rows` rows; nothing where that overflows.
std::optional<int64_t> packed_bytes(const PackedLayout& layout, int64_t rows);

// A row of a matrix, counted in the file's order.
struct SourceRow {
  const MatrixView* matrix = nullptr;
  int64_t row = 0;
};

// Writes one panel, layout.panel_bytes at `out` (aligned as bytes are): `rows` in that order, then
// empty rows. The rows may be those of several matrices of one grid. Calls for different panels are
// independent; nothing is allocated.
// REQUIRES: rows.size() <= 64; packed_layout() of every row's matrix is `layout`
void pack_panel(const PackedLayout& layout, std::span<const SourceRow> rows, uint8_t* out);

// Panel `panel` of `matrix` alone, rows in the natural order (RowOrder::natural).
// REQUIRES: packed_layout(matrix) == layout, panel < ceil(matrix.rows / 64)
void pack_panel(const PackedLayout& layout, const MatrixView& matrix, int64_t panel, uint8_t* out);

// What the codes of one row and one group mean: scale * (code - zero) + minimum, where at most one
// of zero (beside PackedLayout::zero) and minimum is not 0. The numbers are those of decode_row and
// decode_affine.
struct PackedGroup {
  float scale = 0;
  float zero = 0;
  float minimum = 0;
};
PackedGroup packed_group(const PackedLayout& layout, const uint8_t* panel, int row, int64_t column);

// The code of a row and column as it is stored, 0 ... 255; for PackedCodes::bf16 and f16 the bits.
uint32_t packed_code(const PackedLayout& layout, const uint8_t* panel, int row, int64_t column);
// What the code stands for before its scale: code - zero, or the table's number.
int32_t packed_level(const PackedLayout& layout, uint32_t code);

// The value of a level in its group.
inline float packed_number(const PackedLayout& layout, const PackedGroup& group, float level) {
  return layout.offsets == PackedOffsets::minimum ? group.scale * level + group.minimum
                                                  : (level - group.zero) * group.scale;
}

// The value: bit for bit what decode_row (decode_affine) gives for the source.
float packed_value(const PackedLayout& layout, const uint8_t* panel, int row, int64_t column);

// Row `row` as the source had it, bit for bit: blocks of `grid`, row_bytes(grid, columns) at `out`.
// REQUIRES: packed_layout(grid, columns) is matrix.layout
void restore_row(const PackedMatrix& matrix, Grid grid, int64_t row, uint8_t* out);

// The same in planes, of this one row each: codes (and offsets that are codes) as a stream of bits,
// filled up with 0 to whole bytes; scales, and offsets that are numbers, in `grid.scale`. `offsets`
// is not touched where the grid has none. REQUIRES: packed_layout(grid, columns) is matrix.layout
void restore_row(const PackedMatrix& matrix, const AffineGrid& grid, int64_t row, uint8_t* codes,
                 uint8_t* scales, uint8_t* offsets);
// Bytes of these planes for one row.
struct AffineRowBytes {
  int64_t codes = 0, scales = 0, offsets = 0;
};
AffineRowBytes affine_row_bytes(const AffineGrid& grid, int64_t columns);

}  // namespace phial

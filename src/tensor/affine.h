// Affine grids: codes, scales and zero points in tensors of their own, as MLX, ONNX (MatMulNBits),
// OpenVINO and FP8 checkpoints have them. A description of plain data: a reader of such a format
// fills in an AffineMatrix, and the kernels for it are there.
//
//   value[r][c] = scale[r / group_rows][c / group_columns] * (code[r][c] - zero)     or
//   value[r][c] = scale * code + minimum
//
// | format      | codes            | bits         | group       | scale          | offset      |
// |-------------|------------------|--------------|-------------|----------------|-------------|
// | MatMulNBits | unsigned         | 4, 8         | 16 ... 256  | f32, f16       | not minimum |
// | OpenVINO    | unsigned, signed | 4, 8         | any, row    | f16            | codes, none |
// | MLX affine  | unsigned         | 2 ... 6, 8   | 32, 64, 128 | f16, bf16, f32 | minimum     |
// | MLX mxfp4   | f4_e2m1          | 4            | 32          | e8m0           | none        |
// | MLX mxfp8   | f8_e4m3          | 8            | 32          | e8m0           | none        |
// | FP8         | f8_e4m3, f8_e5m2 | 8            | 2D or row   | f32, f16, bf16 | none        |
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "tensor/grid.h"

namespace phial {

enum class CodeKind : uint8_t {
  unsigned_bits,
  signed_bits,  // two's complement
  f4_e2m1,      // sign, two bits of exponent, one of mantissa: 0, 1/2, 1, 3/2, 2, 3, 4, 6
  f8_e4m3,
  f8_e5m2,
};

enum class ScaleKind : uint8_t { f32, f16, bf16, e8m0 };

enum class OffsetKind : uint8_t {
  none,     // zero is 0
  middle,   // zero is 2^(bits - 1)
  codes,    // unsigned integers of `bits` bits, one per scale
  real,     // numbers of the scale's kind that are subtracted from codes, one per scale
  minimum,  // numbers of the scale's kind that are added to scale * code, one per scale
};

struct AffineGrid {
  CodeKind codes = CodeKind::unsigned_bits;
  int32_t bits = 4;  // 1 ... 8; that of the float
  int32_t group_columns =
      32;                  // consecutive columns that share a scale; the last group may be short
  int32_t group_rows = 1;  // consecutive rows that share a scale
  ScaleKind scale = ScaleKind::f16;
  OffsetKind offset = OffsetKind::none;
};

// A matrix in an affine grid. Codes of `bits` bits lie in one little-endian stream of bits per row,
// the first in the lowest bits: in nibbles, column 0 is the low one of byte 0. (MLX's words of 32
// bits are the same stream.) All pointers may be unaligned; views into bytes of someone else.
struct AffineMatrix {
  AffineGrid grid;
  const uint8_t* codes = nullptr;
  int64_t code_row_bits = 0;  // from a row's first code to the next row's
  const uint8_t* scales = nullptr;
  int64_t scale_row = 0;             // scales from one row of groups to the next
  const uint8_t* offsets = nullptr;  // null for `none` and `middle`
  int64_t offset_row =
      0;  // from one row of groups to the next: in bits for `codes`, else in numbers
  int64_t first_row = 0;  // row 0 of this matrix is that row of the planes
};

// Whether the members make sense together: bits, groups, kinds of codes and offset.
Status check_affine(const AffineGrid& grid);

// Columns [column, column + count) of row `row`: the code less its zero (rounded for `real`, else
// exact), times the scale; for `minimum` the code times the scale, rounded, plus the minimum.
void decode_affine(const AffineMatrix& matrix, int64_t row, int64_t column, int64_t count,
                   float* out);

// Encodes one row of `columns` values: codes, then one scale and one offset per group, each plane
// from its first byte on. Bits and numbers that are not touched stay.
//   none      signed: NNCF's symmetric scheme, the value of largest magnitude becomes -2^(bits -
//   1);
//             unsigned: the largest value becomes 2^bits - 1, negative ones 0; floats: the largest
//             magnitude becomes the largest number
//   middle    the value of largest magnitude becomes code 0 (MatMulNBits, symmetric)
//   codes     a range that holds 0, and its nearest integer zero point (MatMulNBits, asymmetric)
//   real      the same range, and its exact zero point
//   minimum   MLX: the edge of the range that is farther from 0 becomes a multiple of the scale
// Codes are chosen with the float32 scale, which is then rounded to its kind. E8M0 has the next
// power of two above the magnitude of the scale, before codes are chosen; 1 for zeros. f4_e2m1 is
// rounded to nearest, ties towards 0. So MLX's CPU quantizers have the same bytes for
// affine, mxfp4 and mxfp8. REQUIRES: check_affine(grid).ok(), grid.group_rows == 1, values are
// finite
void encode_affine_row(const AffineGrid& grid, const float* values, int64_t columns, uint8_t* codes,
                       uint8_t* scales, uint8_t* offsets);

// The kind of scales that are stored as f32, f16 or bf16; nothing for other grids.
std::optional<ScaleKind> scale_kind_of(Grid grid);

// "int4 g64", as reports say it.
std::string affine_grid_name(const AffineGrid& grid);

// Bytes of one scale (and of one offset that is a number).
int scale_bytes(ScaleKind kind);

}  // namespace phial

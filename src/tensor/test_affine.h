// Matrices in affine grids, for tests of all rooms.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "tensor/affine.h"
#include "tensor/numbers.h"

namespace phial::test {

// The planes of a matrix: rows of codes and of zero points begin at whole bytes.
struct AffinePlanes {
  AffinePlanes(const AffineGrid& grid_arg, int64_t rows_arg, int64_t columns_arg)
      : grid(grid_arg),
        rows(rows_arg),
        columns(columns_arg),
        groups((columns + grid.group_columns - 1) / grid.group_columns),
        code_bytes((columns * grid.bits + 7) / 8),
        offset_bytes(grid.offset == OffsetKind::codes ? (groups * grid.bits + 7) / 8
                                                      : groups * scale_bytes(grid.scale)),
        codes(static_cast<size_t>(rows * code_bytes)),
        scales(static_cast<size_t>(rows * groups * scale_bytes(grid.scale))),
        offsets(static_cast<size_t>(rows * offset_bytes)) {}

  void encode_row(int64_t row, const float* values) {
    encode_affine_row(grid, values, columns, codes.data() + row * code_bytes,
                      scales.data() + row * groups * scale_bytes(grid.scale),
                      offsets.data() + row * offset_bytes);
  }
  AffineMatrix matrix() const {
    return {.grid = grid,
            .codes = codes.data(),
            .code_row_bits = code_bytes * 8,
            .scales = scales.data(),
            .scale_row = groups,
            .offsets = offsets.data(),
            .offset_row = grid.offset == OffsetKind::codes ? offset_bytes * 8 : groups};
  }
  std::vector<float> decode_row(int64_t row) const {
    std::vector<float> out(static_cast<size_t>(columns));
    decode_affine(matrix(), row, 0, columns, out.data());
    return out;
  }

  AffineGrid grid;
  int64_t rows, columns, groups, code_bytes, offset_bytes;
  std::vector<uint8_t> codes, scales, offsets;
};

// All sensible descriptions, with groups of 32 columns.
inline std::vector<AffineGrid> affine_grids() {
  std::vector<AffineGrid> grids;
  for (const CodeKind codes : {CodeKind::unsigned_bits, CodeKind::signed_bits, CodeKind::f4_e2m1,
                               CodeKind::f8_e4m3, CodeKind::f8_e5m2}) {
    for (int bits = 2; bits <= 8; ++bits) {
      for (const ScaleKind scale :
           {ScaleKind::f32, ScaleKind::f16, ScaleKind::bf16, ScaleKind::e8m0}) {
        for (const OffsetKind offset : {OffsetKind::none, OffsetKind::middle, OffsetKind::codes,
                                        OffsetKind::real, OffsetKind::minimum}) {
          const AffineGrid grid{.codes = codes, .bits = bits, .scale = scale, .offset = offset};
          const bool with_zero = codes == CodeKind::unsigned_bits || offset == OffsetKind::none;
          if (with_zero && check_affine(grid).ok()) grids.push_back(grid);
        }
      }
    }
  }
  return grids;
}

inline std::string affine_name(const AffineGrid& grid) {
  return "codes " + std::to_string(static_cast<int>(grid.codes)) + ", bits " +
         std::to_string(grid.bits) + ", scale " + std::to_string(static_cast<int>(grid.scale)) +
         ", offset " + std::to_string(static_cast<int>(grid.offset));
}

}  // namespace phial::test

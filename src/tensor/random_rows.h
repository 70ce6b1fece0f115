// Rows of codes for benchmarks and tests, made of random numbers: of every grid, also of those that
// phial cannot encode, and with scales of choice.
#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "tensor/grid.h"

namespace phial {

// Where a block of `grid` has its float16 scales; empty for grids without, and for the three whose
// scales are of another kind (q8_k, mxfp4, iq1_m).
inline std::vector<int> f16_scale_offsets(Grid grid) {
  switch (grid) {
    case Grid::q4_1:
    case Grid::q5_1:
    case Grid::q4_k:
    case Grid::q5_k:
      return {0, 2};
    case Grid::q4_0:
    case Grid::q5_0:
    case Grid::q8_0:
    case Grid::iq4_nl:
    case Grid::iq4_xs:
    case Grid::iq1_s:
    case Grid::iq2_xxs:
    case Grid::iq2_xs:
    case Grid::iq2_s:
    case Grid::iq3_xxs:
    case Grid::iq3_s:
      return {0};
    case Grid::q2_k:
      return {80, 82};
    case Grid::q3_k:
      return {108};
    case Grid::q6_k:
      return {208};
    case Grid::tq1_0:
      return {52};
    case Grid::tq2_0:
      return {64};
    default:
      return {};
  }
}

// Gives all scales of the block the float16 `bits`, or what comes nearest to it in mxfp4 (whose
// 8 bits are an exponent: NaN stands for infinity too). Plain numbers stay as they are.
inline void set_scales(Grid grid, uint16_t bits, uint8_t* block) {
  for (const int offset : f16_scale_offsets(grid)) store_number<uint16_t>(bits, block + offset);
  if (grid == Grid::q8_k) store_number<float>(f16_to_f32(bits), block);
  if (grid == Grid::mxfp4) {
    const int exponent = bits >> 10 & 31;
    block[0] = static_cast<uint8_t>(exponent == 31 ? 255 : exponent + 112);
  }
  if (grid == Grid::iq1_m) {
    for (int i = 0; i < 4; ++i) {
      uint8_t& upper = block[49 + 2 * i];
      upper = static_cast<uint8_t>((upper & 15) | (bits >> 4 * i & 15) << 4);
    }
  }
}

// `columns` values of about `size` or less at `codes`: encoded from random values where phial can,
// else random codes with scales that fit. REQUIRES: columns is a multiple of the grid's block
inline void fill_row(Grid grid, Rng& rng, int64_t columns, double size, uint8_t* codes) {
  const GridInfo& info = grid_info(grid);
  if (info.can_encode) {
    std::vector<float> values(static_cast<size_t>(columns));
    for (float& value : values) value = static_cast<float>(size * (2 * rng.uniform() - 1));
    static_cast<void>(encode_row(grid, values.data(), columns, codes).ok());
    return;
  }
  for (int64_t i = 0; i < row_bytes(grid, columns); ++i) {
    codes[i] = static_cast<uint8_t>(rng.next());
  }
  // The iq1, iq2 and iq3 types multiply d by up to 15, 168 and 961.
  const uint16_t scale = f32_to_f16(static_cast<float>(size / 256));
  for (int64_t block = 0; block < columns / info.block_values; ++block) {
    set_scales(grid, scale, codes + block * info.block_bytes);
  }
}

}  // namespace phial

// Where the parts of quantized rows lie (kernels/packed.h); for units of all instruction sets:
// these functions are of internal linkage in each of them.
#pragma once

#include <cstdint>

#include "kernels/packed.h"

namespace phial {
namespace {

// One tile of rows in one slab, as pointers.
struct SlabTile {
  const int8_t* codes;        // words [columns / 4][rows]
  const int32_t* sums;        // [columns / 16][rows]
  const int32_t* group_sums;  // [groups][rows]
  const float* scales;        // [groups][rows]
};

__attribute__((unused)) constexpr int32_t tile_count(const QuantizedRows& x) {
  return (x.rows + x.tile_rows - 1) / x.tile_rows;
}
__attribute__((unused)) constexpr int32_t tile_begin(const QuantizedRows& x, int32_t tile) {
  const int32_t tiles = tile_count(x), rest = x.rows % tiles;
  return x.rows / tiles * tile + (tile < rest ? tile : rest);
}
// Columns of a slab, rounded up to whole chunks, and its groups.
__attribute__((unused)) constexpr int64_t quantized_columns(const QuantizedRows& x, int64_t slab) {
  const int64_t left = x.columns - slab * kSlabColumns;
  return left >= kSlabColumns ? kSlabColumns
                              : (left + kChunkColumns - 1) / kChunkColumns * kChunkColumns;
}
__attribute__((unused)) constexpr int64_t quantized_groups(const QuantizedRows& x, int64_t slab) {
  return (quantized_columns(x, slab) + x.group - 1) / x.group;
}
__attribute__((unused)) constexpr SlabTile slab_tile(const QuantizedRows& x, int64_t slab,
                                                     int32_t first_row) {
  const int64_t columns = quantized_columns(x, slab);
  const int64_t sums = slab * (kSlabColumns / 16) * x.rows + first_row * (columns / 16);
  const int64_t groups =
      slab * (kSlabColumns / x.group) * x.rows + first_row * quantized_groups(x, slab);
  return {x.codes + slab * kSlabColumns * x.rows + first_row * columns, x.sums + sums,
          x.group_sums + groups, x.scales + groups};
}

}  // namespace
}  // namespace phial

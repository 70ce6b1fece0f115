// Where the parts of quantized rows lie (kernels/packed.h); for units of all instruction sets:
// these functions are of internal linkage in each of them.
#pragma once

#include <cstdint>

#include "kernels/packed.h"

namespace phial {
namespace {

// One tile of rows in one slab, as pointers.
struct SlabTile {
  int8_t* codes;
  int32_t *sums, *chunk_sums;
  float* scales;
  HighChunk* high;
  uint8_t* high_rows;  // [chunks of a slab]
};

__attribute__((unused)) constexpr int32_t tile_count(const QuantizedRows& x) {
  return (x.rows + x.tile.rows - 1) / x.tile.rows;
}

// How rows lie in tiles: the divisions that it takes, done once.
struct Tiling {
  constexpr explicit Tiling(const QuantizedRows& x)
      : tiles(tile_count(x)), least(x.rows / tiles), rest(x.rows % tiles) {}
  constexpr int32_t rows(int32_t tile) const { return least + (tile < rest ? 1 : 0); }
  constexpr int32_t begin(int32_t tile) const { return least * tile + (tile < rest ? tile : rest); }
  int32_t tiles, least, rest;
};
__attribute__((unused)) constexpr int32_t tile_begin(const QuantizedRows& x, int32_t tile) {
  return Tiling(x).begin(tile);
}
// The tile that begins with a row, or behind the last one tile_count(x).
__attribute__((unused)) constexpr int32_t tile_of(const QuantizedRows& x, int32_t first_row) {
  const Tiling t(x);
  const int32_t taller = t.rest * (t.least + 1);  // rows of the tiles that have one more
  return first_row <= taller ? first_row / (t.least + 1) : t.rest + (first_row - taller) / t.least;
}
__attribute__((unused)) constexpr int64_t slab_count(const QuantizedRows& x) {
  return (x.columns + kSlabColumns - 1) / kSlabColumns;
}
// Columns of a slab, rounded up to whole chunks.
__attribute__((unused)) constexpr int64_t quantized_columns(const QuantizedRows& x, int64_t slab) {
  const int64_t left = x.columns - slab * kSlabColumns;
  return left >= kSlabColumns ? kSlabColumns
                              : (left + kChunkColumns - 1) / kChunkColumns * kChunkColumns;
}
// The same as a tile has room for them.
__attribute__((unused)) constexpr int64_t placed_columns(const QuantizedRows& x, int64_t slab) {
  const int64_t step = x.tile.paired ? 2 * kChunkColumns : kChunkColumns;
  return (quantized_columns(x, slab) + step - 1) / step * step;
}
// Number i of chunk c and row m of a tile of so many rows, where a chunk has `count` of them.
__attribute__((unused)) constexpr int64_t place_in_tile(const TileForm& form, int64_t rows,
                                                        int64_t c, int64_t count, int64_t i,
                                                        int64_t m) {
  if (!form.paired) return (c * count + i) * rows + m;
  return ((c / 2 * count + i) * rows + m) * 2 + c % 2;
}
__attribute__((unused)) constexpr SlabTile slab_tile(const QuantizedRows& x, const Tiling& tiling,
                                                     int64_t slab, int32_t tile) {
  const int64_t columns = placed_columns(x, slab), first = tiling.begin(tile);
  const int64_t codes = slab * kSlabColumns * x.rows + first * columns;
  const int64_t chunks = codes / kChunkColumns;
  return {x.codes + codes,       x.sums + 2 * chunks,
          x.chunk_sums + chunks, x.scales + slab * x.rows + first,
          x.high + chunks,       x.high_rows + (slab * tiling.tiles + tile) * kSlabChunks};
}
__attribute__((unused)) constexpr SlabTile slab_tile(const QuantizedRows& x, int64_t slab,
                                                     int32_t tile) {
  return slab_tile(x, Tiling(x), slab, tile);
}

// From one tile of a slab to the next: without the divisions that finding it would take. `columns`:
// placed_columns().
__attribute__((unused)) constexpr void advance(SlabTile& tile, int64_t columns, int32_t rows) {
  tile.codes += columns * rows;
  tile.sums += columns / 16 * rows;
  tile.chunk_sums += columns / kChunkColumns * rows;
  tile.scales += rows;
  tile.high += columns / kChunkColumns * rows;
  tile.high_rows += kSlabChunks;
}

}  // namespace
}  // namespace phial

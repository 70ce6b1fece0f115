// Grids: what the stored codes of a tensor mean. A grid says how many values make a block, how many
// bytes a block takes and how to decode it; import is lossless and kernels are written per grid.
//
// The plain decoder here is the definition of each grid; kernels must agree with it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/status.h"

namespace phial {

enum class Grid : uint8_t {
  f32,
  f16,
  bf16,
  q4_1,  // GGUF Q4_1: 32 codes of 4 bits, f16 scale and f16 minimum
  q8_0,  // GGUF Q8_0: 32 codes of 8 bits, f16 scale
};
inline constexpr int kGridCount = 5;

struct GridInfo {
  Grid grid;
  const char* name;      // "f32", "q4_1" ... as `phial info` prints it
  int32_t block_values;  // values per block along a row; 1 for plain numbers
  int32_t block_bytes;   // bytes per block
  double bits_per_weight() const { return 8.0 * block_bytes / block_values; }
};

std::span<const GridInfo> grid_table();  // in the order of the enum
const GridInfo& grid_info(Grid grid);

// Bytes of a row of `columns` values. REQUIRES: columns is a multiple of block_values.
int64_t row_bytes(Grid grid, int64_t columns);

// Decodes `values` values that start at a block boundary. `codes` may be unaligned.
// REQUIRES: values is a multiple of block_values.
void decode_row(Grid grid, const uint8_t* codes, int64_t values, float* out);

// Encodes by round to nearest as the grid's home defines it (ggml's reference quantizers for q4_1
// and q8_0). REQUIRES: values is a multiple of block_values; values are finite.
void encode_row(Grid grid, const float* values, int64_t count, uint8_t* codes);

// IEEE half and bfloat16; both exact when widening, round to nearest even when narrowing.
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);

}  // namespace phial

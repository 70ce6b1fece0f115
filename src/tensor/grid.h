// Grids: what the stored codes of a tensor mean. A grid says how many values make a block, how many
// bytes a block takes and how to decode it; import is lossless and kernels are written per grid.
//
// The plain decoder here is the definition of each grid; kernels must agree with it. Grids whose
// codes, scales and zero points lie in tensors of their own are described by AffineGrid
// (tensor/affine.h) instead.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "tensor/numbers.h"

namespace phial {

// The names of the blocks are those of GGUF's tensor types (ggml-common.h), in lower case.
enum class Grid : uint8_t {
  // Plain numbers.
  f32,
  f64,
  f16,
  bf16,
  f8_e4m3,
  f8_e5m2,
  // Blocks of 32 values (tensor/block_legacy.h).
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  // Superblocks of 256 values (tensor/block_k.h).
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  q8_k,
  // Blocks whose codes are places in a codebook (tensor/block_codebook.h, tensor/block_lattice.h).
  iq4_nl,
  iq4_xs,
  mxfp4,
  iq1_s,
  iq1_m,
  iq2_xxs,
  iq2_xs,
  iq2_s,
  iq3_xxs,
  iq3_s,
  // -1, 0 and 1 times a scale (tensor/block_ternary.h).
  tq1_0,
  tq2_0,
  // Integers: tensors to look at, or the codes of a scheme that other tensors complete; no weights
  // by themselves.
  boolean,
  i8,
  u8,
  i16,
  u16,
  i32,
  u32,
  i64,
  u64,
};
inline constexpr int kGridCount = static_cast<int>(Grid::u64) + 1;

// Values of the largest block.
inline constexpr int kMaxBlockValues = 256;

struct GridInfo {
  Grid grid = Grid::f32;
  const char* name = "";     // "f32", "q4_1" ... as `phial info` prints it
  int32_t block_values = 1;  // values per block along a row; 1 for plain numbers
  int32_t block_bytes = 0;   // bytes per block
  bool is_integer = false;   // no weights by themselves
  bool can_encode = false;   // whether encode_row knows it
  double bits_per_weight() const { return 8.0 * block_bytes / block_values; }
};

std::span<const GridInfo> grid_table();  // in the order of the enum
const GridInfo& grid_info(Grid grid);

// Bytes of a row of `columns` values. REQUIRES: columns is a multiple of block_values.
int64_t row_bytes(Grid grid, int64_t columns);

// Decodes `values` values that start at a block boundary. `codes` may be unaligned. Numbers that
// float32 cannot hold (f64, large integers) are rounded to it.
// REQUIRES: values is a multiple of block_values.
void decode_row(Grid grid, const uint8_t* codes, int64_t values, float* out);

// Encodes by round to nearest: as ggml's reference quantizers do where those are plain (legacy
// blocks, mxfp4, tq1_0, tq2_0), else as the header of the block says. Nothing is written and the
// error is `unsupported` for grids without an encoder (GridInfo::can_encode).
// REQUIRES: count is a multiple of block_values; values are finite.
Status encode_row(Grid grid, const float* values, int64_t count, uint8_t* codes);

}  // namespace phial

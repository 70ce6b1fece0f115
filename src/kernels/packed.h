// Products with packed weights (tensor/packed.h) in small integers: inputs are rounded to int8 with
// a scale per group of columns, products are summed in int32, groups in float32.
//
// Every result is defined to the bit, and the plain reference, the kernels of every instruction set
// and their emulation give the same bits: sums of integers are exact, and each float32 operation
// below is one correctly rounded operation in the order that is written. A row of the result
// depends on its own input row alone, not on how many rows there are, how they are tiled, nor on
// which panels a call covers.
//
// Kernels allocate nothing, know no threads and write nothing but what is said. A NaN or infinity
// in a group of inputs makes the scale of that group NaN or infinite, and so all results of its row
// NaN; one in a weight's scale makes the results of its weight row NaN or infinite.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/kernels.h"
#include "tensor/packed.h"

namespace phial {

// Rows of at least this many inputs are worth unpacking a slab of weights for: `gemm`; below it
// `direct`.
inline constexpr int32_t kMinPackedGemmRows = 32;

// Inputs as the kernels read them, in tiles of rows of nearly equal height. Tile t of n = ceil(rows
// / tile_rows) has rows / n rows, and one more in the first rows % n tiles. A slab of 256 columns
// of all tiles comes before the next slab; in it, tile after tile:
//   codes    [columns / 4][rows of the tile] words of 4 columns
//   sums     [columns / 16][rows of the tile], of 16 columns each
//   scales, group_sums   [ceil(columns / group)][rows of the tile]
// where `columns` are those of the slab, rounded up to 32; codes beyond the last column are 0.
struct QuantizedRows {
  int32_t rows = 0;
  int32_t tile_rows = 0;  // most rows of a tile
  int32_t group = 32;     // columns that share a scale: 32, 64, 128 or 256
  int64_t columns = 0;    // of the matrix
  int8_t* codes = nullptr;
  int32_t* sums = nullptr;
  int32_t* group_sums = nullptr;
  float* scales = nullptr;
};

// Bytes of memory for all of it (to be 64-byte aligned), and the same with the pointers set.
int64_t quantized_bytes(const QuantizedRows& shape);
QuantizedRows place_quantized(const QuantizedRows& shape, void* memory);

struct QuantizeArgs {
  const float* x = nullptr;  // [rows, x_stride]
  int64_t x_stride = 0;
  int32_t row_begin = 0, row_end = 0;  // rows to do: threads may share the work, best by tiles
  QuantizedRows out;
};

// How weights count in `gemm`.
enum class PanelScales : uint8_t {
  exact,      // as they are
  regrouped,  // rounded to int8 once more, with one scale for each group of the inputs
};

struct PackedProductArgs {
  const PackedMatrix* weights = nullptr;
  int64_t panel_begin = 0, panel_end = 0;
  QuantizedRows x;                          // of weights->columns() columns
  PanelScales scales = PanelScales::exact;  // for gemm
  float* y = nullptr;  // [x.rows, y_stride]: y[m][r] for the weight rows r of those panels
  int64_t y_stride = 0;
  void* scratch = nullptr;  // for gemm: gemm_scratch_bytes(x.rows), 64-byte aligned, one per thread
};
int64_t gemm_scratch_bytes(int32_t rows);

// panel[c][r] in float32, c in [0, k), r in [0, 64): columns [column_begin, column_begin + k) of
// one panel, bit for bit as decode_packed_row gives them (of a NaN that arithmetic made, the
// payload may differ). Rows beyond the matrix are 0 or -0. REQUIRES: column_begin is a multiple of
// 32; so is k, or it ends at the last column.
struct PackedUnpackArgs {
  const PackedMatrix* weights = nullptr;
  int64_t panel_index = 0;
  int64_t column_begin = 0, k = 0;
  float* panel = nullptr;  // [k, kPackedRows]
};

struct PackedKernels {
  const char* isa;  // "reference", "avx2", "avxvnni", "avx512vnni"

  // Most rows of a tile for `direct`, and for `gemm`: QuantizedRows::tile_rows of their inputs.
  int32_t direct_tile_rows;
  int32_t gemm_tile_rows;

  // For each row and group, with amax the largest magnitude in the group:
  //   scale = amax / 127;  code = nearest(x * (127 / amax)), ties to even; sums are of codes.
  // Where amax < 2^-100, or not finite, codes are 0. (Columns beyond the last count as 0.)
  void (*quantize)(const QuantizeArgs& args);

  // y from +0, over 32 columns after the other (16 where layout.group is 16):
  //   y = fma(float(sum of level * code), scale * x.scale, y)
  //   y = fma(minimum - zero * scale, x.scale * float(sum of code), y)      with offsets only
  // where level is packed_level(), and minimum - zero * scale is the one that there is, rounded.
  // REQUIRES: weights->layout.is_integer(); x.tile_rows <= direct_tile_rows
  void (*direct)(const PackedProductArgs& args);

  // y from +0, over the groups of the inputs. PanelScales::exact, over their parts that share a
  // weight scale, from part = +0:
  //   part = fma(float(sum of level * code), scale, part)
  //   part = fma(minimum - zero * scale, float(sum of code), part)          with offsets only
  // PanelScales::regrouped, with W from regroup() below:
  //   part = float(sum of W * code) * W's scale
  // and then, for either, y = fma(part, x.scale, y).
  // REQUIRES: weights->layout.is_integer(); x.tile_rows <= gemm_tile_rows
  void (*gemm)(const PackedProductArgs& args);

  void (*unpack)(const PackedUnpackArgs& args);

  // What is faster here and as true as int8 allows: regrouped for codes of up to 5 bits where a
  // product of bytes is summed in one instruction, else exact.
  PanelScales (*gemm_scales)(const PackedLayout& layout);
};

// Weights with a scale for `group` columns of a slab rounded to int8 with one scale. For every part
// of the columns that shares a weight scale: low = fma(scale, -zero', offset), high = fma(scale,
// top - zero', offset), with zero' = layout.zero, offset = minimum - zero * scale (0 without) and
// top the largest code; of a table, low and high are its ends times the scale. With bound the
// largest magnitude of those ends (NaN counts as infinite), W's scale is bound / 127 and
//   factor = nearest(scale * (32512 / bound)), start = nearest(offset * (32512 / bound))
//   W = (factor * (code - zero') + start + 128) >> 8, in 16 bits;
// of a table:
//   ratio = min(32767, nearest(scale * (32768 / bound)))
//   W = (boost * level * ratio + 2^14) >> 15
// with bound the largest magnitude of the scales, W's scale bound / boost, and boost what brings
// the table's levels near to 127: 1 for iq4, 8 for mxfp4. Where bound < 2^-100 or is not finite, W
// is 0 and its scale as it is said.
constexpr int book_boost(PackedBook book) { return book == PackedBook::mxfp4 ? 8 : 1; }

// The reference, then what this build has.
std::span<const PackedKernels* const> packed_tables();
bool is_supported(const PackedKernels& kernels);

// Those that belong to `table`: of its instruction set, and with the integer instructions that this
// processor has beside it.
const PackedKernels& packed_kernels(const KernelTable& table);

}  // namespace phial

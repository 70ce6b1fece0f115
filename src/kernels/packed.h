// Products with packed weights (tensor/packed.h): in float32, or in small integers. There, inputs
// are rounded to multiples of a scale per 256 columns, mostly to int8 and where a few of them are
// large to 16 bits; products are summed in int32 over 32 columns, of `int_scales` over 256, and
// then in float32.
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
inline constexpr int32_t kMinPackedGemmRows = 16;
inline constexpr int32_t kMostTileRows = 8;
// And of at least this many, for making integers of its scales: `int_scales`.
inline constexpr int32_t kMinIntScalesRows = 64;

// Inputs as the kernels read them, in tiles of rows of nearly equal height. Tile t of n = ceil(rows
// / tile.rows) has rows / n rows, and one more in the first rows % n tiles. A slab of 256 columns
// of all tiles comes before the next slab; in it, tile after tile:
//   codes    [columns / 4][rows of the tile] words of 4 columns
//   sums     [columns / 16][rows of the tile], of 16 columns each; chunk_sums: of 32
//   scales   [rows of the tile]
//   high     [rows of the tile][columns / 32]
// where `columns` are those of the slab, rounded up to 32; codes beyond the last column are 0.
// Where a tile is `paired`, `columns` are rounded up to 64, and numbers of two neighbouring chunks
// alternate, those of the first before those of the second:
//   codes    [columns / 64][8][rows of the tile][2] words
//   sums     [columns / 64][2][rows of the tile][2]; chunk_sums [columns / 64][rows of the tile][2]
//
// An input is scale * (254 * high + low), with low codes in `codes`. High ones are there for the
// chunks of 32 columns in which a row needs them; elsewhere their memory holds anything.
inline constexpr int32_t kHighStep = 254;
struct alignas(64) HighChunk {
  int8_t codes[kChunkColumns];
  int32_t sums[2];  // of 16 columns each
  int32_t chunk_sum;
  float scale;     // 254 * the row's
  uint32_t steps;  // bit s: one of columns 4 s ... 4 s + 3 has a code other than 0
  int32_t row;     // in lists
};

// How the rows of a tile lie.
struct TileForm {
  int32_t rows = 0;  // the most, up to kMostTileRows
  bool paired = false;
};

struct QuantizedRows {
  int32_t rows = 0;
  TileForm tile;
  int64_t columns = 0;  // of the matrix
  int8_t* codes = nullptr;
  int32_t* sums = nullptr;
  int32_t* chunk_sums = nullptr;
  float* scales = nullptr;
  HighChunk* high = nullptr;
  uint8_t* high_rows = nullptr;  // [slabs][tiles][chunks of a slab]: bit m for row m of the tile
  // For products with many rows, list_high(): [slabs][chunks of a slab * rows], the high codes of
  // all tiles, those of the first chunk before those of the second one, and how many of each.
  HighChunk* high_list = nullptr;
  int32_t* high_counts = nullptr;  // [slabs][chunks of a slab]
};

// Bytes of memory for all of it (to be 64-byte aligned), and the same with the pointers set.
int64_t quantized_bytes(const QuantizedRows& shape);
QuantizedRows place_quantized(const QuantizedRows& shape, void* memory);

// Which inputs have high codes.
enum class InputCodes : uint8_t {
  as_needed,  // those in company of much smaller ones
  wide,       // all
};

struct QuantizeArgs {
  const float* x = nullptr;  // [rows, x_stride], columns from the first of slab_begin on
  int64_t x_stride = 0;
  int32_t tile_begin = 0, tile_end = 0;  // tiles to do: threads may share the work,
  int64_t slab_begin = 0, slab_end = 0;  // by slabs as well
  InputCodes codes = InputCodes::as_needed;
  QuantizedRows out;
};

// Lists high codes as `gemm` and `int_scales` read them for every panel of weights, when all tiles
// of the slabs [slab_begin, slab_end) are quantized.
void list_high(const QuantizedRows& x, int64_t slab_begin, int64_t slab_end);

struct PackedProductArgs {
  const PackedMatrix* weights = nullptr;
  int64_t panel_begin = 0, panel_end = 0;
  QuantizedRows x;     // of weights->columns() columns; with a list, but for `direct`
  float* y = nullptr;  // [x.rows, y_stride]: y[m][r - y_row] for the weight rows r of those panels
  int64_t y_stride = 0;
  int64_t y_row = 0;
  void* scratch = nullptr;  // for gemm: gemm_scratch_bytes(x.rows), 64-byte aligned, one per thread
};
// Float32 results of one panel, and what a slab of its weights becomes: bytes, scales of groups and
// what else goes with them.
inline constexpr int64_t kGemmScratchBytes = 48 << 10;
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

// A few rows of inputs in float32, as they are.
struct PackedFloatArgs {
  const PackedMatrix* weights = nullptr;
  int64_t panel_begin = 0, panel_end = 0;
  const float* x = nullptr;  // [rows, x_stride], weights->columns() of each
  int64_t x_stride = 0;
  int32_t rows = 0;    // 1 ... kMaxGemvRows
  float* y = nullptr;  // as in PackedProductArgs
  int64_t y_stride = 0;
  int64_t y_row = 0;
};
using PackedFloatFn = void (*)(const PackedFloatArgs& args);
using PackedProductFn = void (*)(const PackedProductArgs& args);

// Codes of at most 4 bits that stand for themselves, with one scale for a chunk: counted from the
// middle of their range, the sum of a chunk's products fits 16 bits.
inline bool has_int_scales(const PackedLayout& layout) {
  return layout.book == PackedBook::linear && layout.codes <= PackedCodes::bits4 &&
         layout.group != 16;
}

struct PackedKernels {
  const char* isa;  // "reference", "avx2", "avxvnni", "avx512vnni", "neon", "dotprod", "i8mm"

  // QuantizedRows::tile of what `direct` reads, and of what `gemm` and `int_scales` do.
  TileForm direct_tile;
  TileForm gemm_tile;

  // For each row and slab, with amax[c] the largest magnitude in chunk c of its n chunks (columns
  // beyond the last count as 0), most the largest of them and middle the one of rank (n - 1) / 2
  // from below:
  //   top = the largest amax[c] that is at most 1.3 * middle, or 0; at least most / 254
  //   scale = top / 127
  //   q = nearest(x * (127 / top)), high = nearest(q * (1 / 254)), low = q - 254 * high
  // with ties to even. Chunks with amax[c] <= top are of low codes alone, high = 0. With
  // InputCodes::wide, top = most / 254. Where most < 2^-100, or is not finite, all codes are 0 and
  // scale = most / 127.
  void (*quantize)(const QuantizeArgs& args);

  // y from +0, slab after slab. In a slab, from part = +0, over 32 columns after the other (halves
  // of them where layout.group is 16):
  //   part = fma(float(sum of level * low), scale, part)
  //   part = fma(minimum - zero * scale, float(sum of low), part)           with offsets only
  // and then y = fma(part, x.scale, y). For each of those 32 columns in which the row has high
  // codes, one after the other, the same of them alone, from part = +0, and
  // y = fma(part, 254 * x.scale, y). Here level is packed_level(), and minimum - zero * scale is
  // the one that there is, rounded.
  // Both give the same bits; `gemm` is for many rows.
  // REQUIRES: weights->layout.is_integer(); x.tile is direct_tile, gemm_tile, or has fewer rows
  PackedProductFn direct;
  PackedProductFn gemm;

  // As those for high codes; but of low ones the sums of a slab's chunks are added as integers,
  // with scales that are multiples of one unit: a processor with instructions for that does less
  // work. Null where there are none. For each row of weights and slab, with middle = 2, 4, 8 for
  // codes of 2, 3, 4 bits and base = fma(scale, middle - layout.zero, offset) what the middle code
  // of a group stands for, where offset is the minimum - zero * scale above, or 0:
  //   bound = the largest magnitude of a scale, or of base / 8, in all groups
  //   k = nearest(scale * (4095 / bound)), b = nearest(base * (4095 / bound)), of each group
  //   total = sum over the chunks of k * (sum of (code - middle) * low) + b * (sum of low)
  //   y = fma(float(total) * (bound / 4095), x.scale, y)
  // with ties to even; no total leaves int32, as low codes are at most 127. Where bound < 2^-100,
  // or is not finite, all k and b are 0. A scale is off by
  // at most the 8190th part of the largest: no more than binary16 may be of a quarter of it.
  // REQUIRES: has_int_scales(weights->layout), x.tile is gemm_tile or has fewer rows
  PackedProductFn int_scales;

  void (*unpack)(const PackedUnpackArgs& args);

  // y[m][r] from +0 by y = fma(weight, x, y), column after column, of the weights that unpack
  // gives: the bits of KernelTable::gemm with unpacked panels, of whatever layout, for however many
  // rows.
  PackedFloatFn direct_floats;
};

// The reference, then what this build has.
std::span<const PackedKernels* const> packed_tables();
bool is_supported(const PackedKernels& kernels);

// Those that belong to `table`: of its instruction set, and with the integer instructions that this
// processor has beside it.
const PackedKernels& packed_kernels(const KernelTable& table);

}  // namespace phial

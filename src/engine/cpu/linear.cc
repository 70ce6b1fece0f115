#include "engine/cpu/linear.h"

#include <algorithm>

#include "base/checked.h"

namespace phial {
namespace {

void apply_direct(const KernelTable& kernels, const MatrixView& w, const LinearInput& input,
                  int64_t row_begin, int64_t row_end, const LinearOutput& output) {
  GemvArgs args;
  args.weights = w.data;
  args.row_stride = w.row_stride;
  args.columns = w.columns;
  args.row_begin = row_begin;
  args.row_end = row_end;
  args.x = input.x;
  args.x_stride = input.width;
  args.x_rows = static_cast<int32_t>(input.rows);
  args.y = output.y;
  args.y_stride = output.stride;
  args.affine = &w.affine;
  (w.is_affine() ? kernels.gemv_affine : kernels.gemv[static_cast<size_t>(w.grid)])(args);
}

void apply_int8(const PackedKernels& packed, const PackedMatrix& panels, const LinearInput& input,
                int64_t row_begin, int64_t row_end, const LinearOutput& output,
                LinearScratch& scratch) {
  PackedProductArgs args;
  args.weights = &panels;
  args.panel_begin = row_begin / kPackedRows;
  args.panel_end = ceil_div<int64_t>(row_end, kPackedRows);
  args.x = input.quantized;
  args.y = output.y;
  args.y_stride = output.stride;
  args.y_row = output.first_row;
  if (input.rows < kMinPackedGemmRows) return packed.direct(args);
  scratch.gemm.resize(lines_of(gemm_scratch_bytes(args.x.rows)));
  args.scratch = scratch.gemm.data();
  const bool int_scales = packed.int_scales != nullptr && input.rows >= kMinIntScalesRows &&
                          has_int_scales(panels.layout);
  (int_scales ? packed.int_scales : packed.gemm)(args);
}

void apply_direct_floats(const PackedKernels& packed, const PackedMatrix& panels,
                         const LinearInput& input, int64_t row_begin, int64_t row_end,
                         const LinearOutput& output) {
  PackedFloatArgs args;
  args.weights = &panels;
  args.panel_begin = row_begin / kPackedRows;
  args.panel_end = ceil_div<int64_t>(row_end, kPackedRows);
  args.x = input.x;
  args.x_stride = input.width;
  args.rows = static_cast<int32_t>(input.rows);
  args.y = output.y;
  args.y_stride = output.stride;
  args.y_row = output.first_row;
  packed.direct_floats(args);
}

// Whether pairs of a matrix' columns are words in the file already.
bool has_pairs(const MatrixView& w) {
  return !w.is_affine() && !w.is_packed() && w.grid == Grid::bf16 && w.columns % 2 == 0;
}

// Columns [column, column + k) of the panel of weight rows from `row` on, in scratch.panel.
void unpack_floats(const LinearKernels& kernels, const CpuLinear& linear, int64_t row, int64_t n,
                   int64_t column, int64_t k, float* panel) {
  if (linear.is_packed()) {
    static_assert(kPanelRows == kPackedRows && kPanelColumns % kChunkColumns == 0);
    return kernels.packed.unpack({&linear.panels, row / kPackedRows, column, k, panel});
  }
  // Whole blocks of every grid fit a panel: kPanelColumns is a multiple of all block sizes.
  const MatrixView& w = linear.layer->weight;
  const UnpackArgs args{w.data, w.row_stride, row,      static_cast<int32_t>(n), column,
                        k,      panel,        &w.affine};
  (w.is_affine() ? kernels.floats.unpack_affine
                 : kernels.floats.unpack[static_cast<size_t>(w.grid)])(args);
}

// The same as pairs of bfloat16: in scratch.pairs, or where panels hold them.
const uint32_t* unpack_pairs(const LinearKernels& kernels, const CpuLinear& linear, int64_t row,
                             int64_t n, int64_t column, int64_t k, LinearScratch& scratch) {
  const MatrixView& w = linear.layer->weight;
  const PackedMatrix& panels = linear.panels;
  if (linear.is_packed() && panels.layout.codes == PackedCodes::bf16) {
    static_assert(kPanelColumns % kSlabColumns == 0);
    return reinterpret_cast<const uint32_t*>(
        panels.panel(row / kPackedRows) + slab_parts(panels.layout, column / kSlabColumns).chunks);
  }
  auto* pairs = reinterpret_cast<uint32_t*>(scratch.pairs.data());
  if (!linear.is_packed() && has_pairs(w)) {
    // Words that are moved and nothing else, so they may as well be float32.
    kernels.floats.unpack[static_cast<size_t>(Grid::f32)]({w.data, w.row_stride, row,
                                                           static_cast<int32_t>(n), column / 2,
                                                           k / 2, reinterpret_cast<float*>(pairs)});
  } else {
    unpack_floats(kernels, linear, row, n, column, k, scratch.panel.data());
    kernels.bf16->round_panel(k, scratch.panel.data(), pairs);
  }
  return pairs;
}

void apply_panels(const LinearKernels& kernels, const CpuLinear& linear, const LinearInput& input,
                  int64_t row_begin, int64_t row_end, const LinearOutput& output,
                  LinearScratch& scratch) {
  const int64_t columns = input.width;
  const bool bf16 = linear.bf16 && linear.rounds(input.rows);
  scratch.panel.resize(static_cast<size_t>(kPanelColumns * kPanelRows));
  if (bf16) scratch.pairs.resize(lines_of(kPanelPairs * kPanelRows * kPairBytes));
  for (int64_t row = row_begin; row < row_end; row += kPanelRows) {
    const int64_t n = std::min<int64_t>(kPanelRows, row_end - row);
    for (int64_t column = 0; column < columns; column += kPanelColumns) {
      const int64_t k = std::min(kPanelColumns, columns - column);
      if (bf16) {
        const uint32_t* pairs = unpack_pairs(kernels, linear, row, n, column, k, scratch);
        kernels.bf16->gemm(input.rows, n, bf16_pairs(k), input.bf16 + column / 2,
                           bf16_pairs(columns), pairs, kPanelRows, output.at(row), output.stride,
                           column > 0);
      } else {
        unpack_floats(kernels, linear, row, n, column, k, scratch.panel.data());
        kernels.floats.gemm(input.rows, n, k, input.x + column, columns, scratch.panel.data(),
                            kPanelRows, output.at(row), output.stride, column > 0);
      }
    }
  }
}

}  // namespace

QuantizedRows quantized_shape(const PackedKernels& kernels, int64_t rows, int64_t width) {
  QuantizedRows shape;
  shape.rows = static_cast<int32_t>(rows);
  const bool direct = rows < kMinPackedGemmRows;
  shape.tile = direct ? kernels.direct_tile : kernels.gemm_tile;
  shape.columns = width;
  return shape;
}

void apply_linear(const LinearKernels& kernels, const CpuLinear& linear, const LinearInput& input,
                  int64_t row_begin, int64_t row_end, const LinearOutput& output,
                  LinearScratch& scratch) {
  if (row_begin >= row_end) return;
  if (linear.int8) {
    apply_int8(kernels.packed, linear.panels, input, row_begin, row_end, output, scratch);
  } else if (input.rows <= kMaxGemvRows && linear.is_packed()) {
    apply_direct_floats(kernels.packed, linear.panels, input, row_begin, row_end, output);
  } else if (input.rows <= kMaxGemvRows) {
    apply_direct(kernels.floats, linear.layer->weight, input, row_begin, row_end, output);
  } else {
    apply_panels(kernels, linear, input, row_begin, row_end, output, scratch);
  }
  if (!linear.bias.empty()) {
    for (int64_t m = 0; m < input.rows; ++m) {
      kernels.floats.add(row_end - row_begin, linear.bias.data() + row_begin,
                         output.at(row_begin) + m * output.stride);
    }
  }
}

}  // namespace phial

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

void apply_panels(const KernelTable& kernels, const MatrixView& w, const LinearInput& input,
                  int64_t row_begin, int64_t row_end, const LinearOutput& output,
                  LinearScratch& scratch) {
  // Whole blocks of every grid fit a panel: kPanelColumns is a multiple of all block sizes.
  scratch.panel.resize(static_cast<size_t>(kPanelColumns * kPanelRows));
  const UnpackFn unpack_fn =
      w.is_affine() ? kernels.unpack_affine : kernels.unpack[static_cast<size_t>(w.grid)];
  for (int64_t row = row_begin; row < row_end; row += kPanelRows) {
    UnpackArgs unpack;
    unpack.affine = &w.affine;
    unpack.weights = w.data;
    unpack.row_stride = w.row_stride;
    unpack.row_begin = row;
    unpack.n = static_cast<int32_t>(std::min<int64_t>(kPanelRows, row_end - row));
    unpack.panel = scratch.panel.data();
    for (int64_t column = 0; column < w.columns; column += kPanelColumns) {
      unpack.column_begin = column;
      unpack.k = std::min(kPanelColumns, w.columns - column);
      unpack_fn(unpack);
      kernels.gemm(input.rows, unpack.n, unpack.k, input.x + column, input.width,
                   scratch.panel.data(), kPanelRows, output.at(row), output.stride, column > 0);
    }
  }
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
  packed.gemm(args);
}

void apply_unpacked(const KernelTable& kernels, const PackedKernels& packed,
                    const PackedMatrix& panels, const LinearInput& input, int64_t row_begin,
                    int64_t row_end, const LinearOutput& output, LinearScratch& scratch) {
  static_assert(kPanelRows == kPackedRows && kPanelColumns % kChunkColumns == 0);
  // Few rows read an unpacked panel once: it should not leave the first-level cache. (A sum is one
  // chain over the columns, however they are cut.)
  constexpr int64_t kFewRowsColumns = 64;
  const int64_t part = input.rows <= kMaxGemvRows ? kFewRowsColumns : kPanelColumns;
  scratch.panel.resize(static_cast<size_t>(kPanelColumns * kPanelRows));
  for (int64_t row = row_begin; row < row_end; row += kPanelRows) {
    PackedUnpackArgs unpack;
    unpack.weights = &panels;
    unpack.panel_index = row / kPackedRows;
    unpack.panel = scratch.panel.data();
    const int64_t n = std::min<int64_t>(kPanelRows, row_end - row);
    for (int64_t column = 0; column < panels.columns(); column += part) {
      unpack.column_begin = column;
      unpack.k = std::min(part, panels.columns() - column);
      packed.unpack(unpack);
      kernels.gemm(input.rows, n, unpack.k, input.x + column, input.width, scratch.panel.data(),
                   kPanelRows, output.at(row), output.stride, column > 0);
    }
  }
}

}  // namespace

QuantizedRows quantized_shape(const PackedKernels& kernels, int64_t rows, int64_t width) {
  QuantizedRows shape;
  shape.rows = static_cast<int32_t>(rows);
  const bool direct = rows < kMinPackedGemmRows;
  shape.tile_rows = direct ? kernels.direct_tile_rows : kernels.gemm_tile_rows;
  shape.columns = width;
  return shape;
}

void apply_linear(const KernelTable& kernels, const PackedKernels& packed, const CpuLinear& linear,
                  const LinearInput& input, int64_t row_begin, int64_t row_end,
                  const LinearOutput& output, LinearScratch& scratch) {
  if (row_begin >= row_end) return;
  if (linear.int8) {
    apply_int8(packed, linear.panels, input, row_begin, row_end, output, scratch);
  } else if (linear.is_packed()) {
    apply_unpacked(kernels, packed, linear.panels, input, row_begin, row_end, output, scratch);
  } else if (input.rows <= kMaxGemvRows) {
    apply_direct(kernels, linear.layer->weight, input, row_begin, row_end, output);
  } else {
    apply_panels(kernels, linear.layer->weight, input, row_begin, row_end, output, scratch);
  }
  if (!linear.bias.empty()) {
    for (int64_t m = 0; m < input.rows; ++m) {
      kernels.add(row_end - row_begin, linear.bias.data() + row_begin,
                  output.at(row_begin) + m * output.stride);
    }
  }
}

}  // namespace phial

#include "engine/cpu/linear.h"

#include <algorithm>

namespace phial {
namespace {

void apply_direct(const KernelTable& kernels, const MatrixView& w, const LinearInput& input,
                  int64_t row_begin, int64_t row_end, float* y, int64_t y_stride) {
  GemvArgs args;
  args.weights = w.data;
  args.row_stride = w.row_stride;
  args.columns = w.columns;
  args.row_begin = row_begin;
  args.row_end = row_end;
  args.x = input.x;
  args.x_stride = input.width;
  args.x_rows = static_cast<int32_t>(input.rows);
  args.y = y;
  args.y_stride = y_stride;
  args.affine = &w.affine;
  (w.is_affine() ? kernels.gemv_affine : kernels.gemv[static_cast<size_t>(w.grid)])(args);
}

void apply_panels(const KernelTable& kernels, const MatrixView& w, const LinearInput& input,
                  int64_t row_begin, int64_t row_end, float* y, int64_t y_stride,
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
                   scratch.panel.data(), kPanelRows, y + row, y_stride, column > 0);
    }
  }
}

}  // namespace

void apply_linear(const KernelTable& kernels, const Linear& layer, const LinearInput& input,
                  int64_t row_begin, int64_t row_end, float* y, int64_t y_stride,
                  LinearScratch& scratch) {
  if (row_begin >= row_end) return;
  if (input.rows <= kMaxGemvRows) {
    apply_direct(kernels, layer.weight, input, row_begin, row_end, y, y_stride);
  } else {
    apply_panels(kernels, layer.weight, input, row_begin, row_end, y, y_stride, scratch);
  }
  if (!layer.bias.empty()) {
    for (int64_t m = 0; m < input.rows; ++m) {
      kernels.add(row_end - row_begin, layer.bias.data() + row_begin, y + m * y_stride + row_begin);
    }
  }
}

}  // namespace phial

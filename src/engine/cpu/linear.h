// y = W x (+ bias) for many rows, the share of one worker: direct kernels for few rows, unpacked
// panels and a GEMM for many.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "model/weights.h"

namespace phial {

// Columns of a panel that are unpacked at a time: 64 rows of 512 float32 are 128 KB, which stays in
// the second-level cache beside the rows they meet.
inline constexpr int64_t kPanelColumns = 512;

// Memory of one worker; grows to what it needs and stays.
struct LinearScratch {
  std::vector<float> panel;  // [kPanelColumns, kPanelRows]
};

// The input of one or more linear layers: float32 [rows, width].
struct LinearInput {
  const float* x = nullptr;
  int64_t rows = 0;
  int64_t width = 0;
};

// y[m][r] = W x (+ bias) for weight rows r in [row_begin, row_end), in the order of the file. y is
// [rows, y_stride] and holds row r at column r.
void apply_linear(const KernelTable& kernels, const Linear& layer, const LinearInput& input,
                  int64_t row_begin, int64_t row_end, float* y, int64_t y_stride,
                  LinearScratch& scratch);

}  // namespace phial

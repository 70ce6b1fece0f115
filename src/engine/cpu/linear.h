// y = W x (+ bias) for many rows, the share of one worker. Weights lie as in the file, and are
// multiplied by direct kernels for few rows and unpacked panels and a GEMM for many; or in panels
// (tensor/packed.h), and inputs are then rounded to int8; or taken as they are, straight from the
// codes for few rows, while for many panels are unpacked. Unpacked panels meet their inputs in
// float32 or, both rounded, in bfloat16.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "model/weights.h"

namespace phial {

// Columns of a panel that are unpacked at a time: 64 rows of 512 float32 are 128 KB, which stays in
// the second-level cache beside the rows they meet.
inline constexpr int64_t kPanelColumns = 512;
inline constexpr int64_t kPanelPairs = kPanelColumns / 2;

// A linear layer as it is computed.
struct CpuLinear {
  const Linear* layer = nullptr;  // whose rows count, unless there are panels
  PackedMatrix panels;            // data null: none
  bool int8 = false;              // panels meet inputs as int8
  bool bf16 = false;              // if not int8: more than kMaxGemvRows inputs, as bfloat16
  std::vector<float> bias;        // in the order of the rows that count; or empty

  bool empty() const { return layer == nullptr || layer->weight.empty(); }
  bool is_packed() const { return panels.data != nullptr; }
  // Whether `rows` inputs are rounded for it (LinearInput).
  bool rounds(int64_t rows) const { return int8 || (bf16 && rows > kMaxGemvRows); }
  int64_t rows() const { return layer->weight.rows; }
};

// Memory for anything, aligned to cache lines.
struct alignas(64) CacheLine {
  uint8_t bytes[64];
};
using CacheLines = std::vector<CacheLine>;
inline size_t lines_of(int64_t bytes) { return static_cast<size_t>((bytes + 63) / 64); }

// Memory of one worker; grows to what it needs and stays.
struct LinearScratch {
  std::vector<float> panel;  // [kPanelColumns, kPanelRows]
  CacheLines pairs;          // [kPanelPairs, kPanelRows] words of bfloat16
  CacheLines gemm;           // gemm_scratch_bytes(rows)
};

// The input of one or more linear layers: [rows, width], in float32 and, if some of the layers
// round it, as int8 or bfloat16 as well.
struct LinearInput {
  const float* x = nullptr;
  int64_t rows = 0;
  int64_t width = 0;
  QuantizedRows quantized = {};
  uint32_t* bf16 = nullptr;  // [rows, bf16_pairs(width)]
};
inline int64_t bf16_pairs(int64_t columns) { return (columns + 1) / 2; }
inline constexpr int64_t kPairBytes = sizeof(uint32_t);

// The kernels that a linear layer may need.
struct LinearKernels {
  const KernelTable& floats;
  const PackedKernels& packed;
  const Bf16Kernels* bf16;  // null where the processor has none: no layer is bf16 then
};

// Where results go: [rows, stride], of weight row r at column r - first_row, which is 0 but for
// int8 layers.
struct LinearOutput {
  float* y = nullptr;
  int64_t stride = 0;
  int64_t first_row = 0;

  // Of the first input and weight row r.
  float* at(int64_t r) const { return y + (r - first_row); }
};

// Where and how `rows` rows of `width` columns are quantized, without memory.
QuantizedRows quantized_shape(const PackedKernels& kernels, int64_t rows, int64_t width);

// y[m][r] = W x (+ bias) for weight rows r in [row_begin, row_end): of panels in the natural order,
// else in the order of the file.
// REQUIRES: of panels, row_begin is a multiple of kPackedRows, and so is row_end, or the last row
void apply_linear(const LinearKernels& kernels, const CpuLinear& linear, const LinearInput& input,
                  int64_t row_begin, int64_t row_end, const LinearOutput& output,
                  LinearScratch& scratch);

}  // namespace phial

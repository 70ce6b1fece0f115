// Weights that need no rounding: bytes copied, or codes and scales put into another grid that can
// hold the same values.
//
// | from | into |
// |---|---|
// | any grid of GGUF | itself |
// | f16, bf16 | f32 (by decoding, which is exact) |
// | q4_0 | q4_1, q5_0, q5_1, q8_0; 4, 5, 6 and 8 bits in groups of 32 |
// | q5_0 | q5_1, q8_0; 5, 6 and 8 bits in groups of 32 |
// | q8_0, iq4_nl | q8_0; 8 bits in groups of 32 |
// | q4_1 | q5_1; 4, 5, 6 and 8 bits in groups of 32 |
// | q5_1 | 5, 6 and 8 bits in groups of 32 |
// | n bits, f16 scales | as many or more bits in groups that divide its own; q4_1, q5_1 likewise |
// | mxfp4 | mxfp4 of the other format |
// | n bits | q4_0, q4_1, q5_0, q5_1, q8_0, where holds_data() finds that they fit |
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "model/mlx_target.h"
#include "model/target.h"
#include "quantize/convert.h"
#include "quantize/stored_grid.h"

namespace phial {

// "q4_0", "int4 g64".
std::string source_grid_name(const MatrixView& view);

// Whether every value of `view` is one of `grid`, whatever the values are. Plain numbers that are
// wide enough count.
bool holds_exactly(const MatrixView& view, const StoredGrid& grid);

// Whether codes of planes with minimums can be carried over into blocks of GGUF, which the data
// decide: their scales are numbers of float16, and, for a grid without minimums, each minimum is a
// whole multiple of its scale. Looks at all of them, and at codes where need be.
bool holds_data(const MatrixView& view, const StoredGrid& grid);

// The grid of `format` that is nearest to what the source has and holds it exactly.
StoredGrid kept_grid(TargetFormat format, const TargetTensor& tensor);

Transfer transfer_of(const TargetTensor& tensor, const StoredGrid& grid);

// Row `row` of `view` into the planes' rows (one for blocks, else codes, scales and biases, which
// begin as zeros). unsupported for a scale whose minimum f16 cannot hold: the caller names the
// tensor. REQUIRES: transfer_of gave copied or recoded
Status recode_row(const MatrixView& view, int64_t row, const StoredGrid& grid,
                  uint8_t* const* planes);

// As mlx-lm says it; nothing for plain numbers.
std::optional<MlxQuantization> mlx_quantization(const StoredGrid& grid);

}  // namespace phial

// Weights in 8-bit floats with scales beside them, as FP8 checkpoints have them: `NAME.weight` in
// F8_E4M3 or F8_E5M2, and `NAME.weight_scale` or `NAME.weight_scale_inv` in F32, F16 or BF16. Both
// are factors (the "inv" is the inverse of what the values were multiplied by before rounding).
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "tensor/affine.h"

namespace phial {

struct F8Weight {
  AffineMatrix matrix;  // without codes where the weight has no scales
  // Tensors that belong to the weight: its scales, and the scale of its input that static schemes
  // store. phial keeps activations in float32 and needs none for them.
  std::vector<const NamedTensor*> companions;
};

// The scales of `weight`, [rows, columns] in an 8-bit float. One for all (shape [] or [1]), one per
// row ([rows] or [rows, 1]), or one per block of config.json's
// quantization_config.weight_block_size
// ([ceil(rows / height), ceil(columns / width)]; 128 x 128 when it says nothing).
// Errors: damaged (scales of another shape), unsupported (scales of another kind).
Result<F8Weight> bind_f8_weight(const Checkpoint& checkpoint, const NamedTensor& weight,
                                int64_t rows, int64_t columns);

}  // namespace phial

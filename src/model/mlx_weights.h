// Quantized matrices of MLX folders (mlx_target.h has the layout), taken over as they are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "model/mlx_target.h"
#include "tensor/affine.h"

namespace phial {

// Whether `checkpoint` is what mlx-lm writes with quantized weights: config.json has
// "quantization".
bool is_mlx_quantized(const Checkpoint& checkpoint);

// What config.json says of `module` ("model.layers.0.mlp.down_proj"): its own entry, else the entry
// for all; nothing when its own is `false`. What an entry leaves out is mlx-lm's default: affine, 4
// bits in groups of 64; 32 in the other modes. Errors: damaged (an entry of another kind),
// unsupported (modes, bits and groups that phial does not read).
Result<std::optional<MlxQuantization>> mlx_quantization_of(const Checkpoint& checkpoint,
                                                           std::string_view module);

struct MlxWeight {
  AffineMatrix matrix;                         // without codes where the weight is not quantized
  std::vector<const NamedTensor*> companions;  // its scales and biases
};
// `weight` is MODULE.weight of a matrix of `rows` x `columns`. A module without scales is not
// quantized, as in mlx-lm. Errors: damaged (planes of another shape or kind, missing scales or
// biases), unsupported; each names the tensor, what was expected and what was found.
// REQUIRES: is_mlx_quantized(checkpoint)
Result<MlxWeight> bind_mlx_weight(const Checkpoint& checkpoint, const NamedTensor& weight,
                                  int64_t rows, int64_t columns);

// What `tensor` holds, for reports; nothing for tensors that are not planes of a quantized matrix.
// Scales and biases belong to the grid of their codes and have no weights of their own.
struct MlxPart {
  std::string grid;     // "4-bit g64"
  int64_t weights = 0;  // values that its codes stand for
};
std::optional<MlxPart> mlx_part(const Checkpoint& checkpoint, const NamedTensor& tensor);

}  // namespace phial

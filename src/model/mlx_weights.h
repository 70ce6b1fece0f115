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

// Whether `checkpoint` is a folder that mlx-lm wrote with quantized weights: config.json has
// "quantization".
bool is_mlx_quantized(const Checkpoint& checkpoint);

// What config.json says of `module` ("model.layers.0.mlp.down_proj"): its own entry, else the entry
// for all; nothing when that is `false`. Errors: damaged (an entry of another kind), unsupported
// (modes, bits and groups that phial does not read).
Result<std::optional<MlxQuantization>> mlx_quantization_of(const Checkpoint& checkpoint,
                                                           std::string_view module);

struct MlxWeight {
  AffineMatrix matrix;                         // without codes where the weight is not quantized
  std::vector<const NamedTensor*> companions;  // its scales and biases
};
// `weight` is MODULE.weight of a matrix of `rows` x `columns`. As in mlx-lm, a module without
// scales is not quantized. Errors: damaged (planes of another shape or kind, missing biases),
// unsupported; each names the tensor, what was expected and what was found.
Result<MlxWeight> bind_mlx_weight(const Checkpoint& checkpoint, const NamedTensor& weight,
                                  int64_t rows, int64_t columns);

// For `phial info`: "4-bit g64", "4-bit g64 mixed"; nothing when not quantized.
std::optional<std::string> mlx_quantization_text(const Checkpoint& checkpoint);

}  // namespace phial

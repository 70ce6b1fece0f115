// MLX folders: Hugging Face's layout and names (those of mlx-lm for all families that phial has),
// quantized matrices in planes of their own:
//
//   MODULE.weight   U32 [rows, columns * bits / 32]   the codes (affine.h)
//   MODULE.scales   F16, BF16 or F32 [rows, columns / group]; U8 (E8M0) in mxfp4 and mxfp8
//   MODULE.biases   likewise, in affine mode only
//
// and config.json says how, for all matrices and for those that differ:
//
//   "quantization": {"group_size": 64, "bits": 4, "mode": "affine",
//                    "model.layers.0.mlp.down_proj": {"group_size": 64, "bits": 6, ...}}
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "formats/safetensors_writer.h"
#include "model/target.h"
#include "tensor/affine.h"

namespace phial {

// How mlx-lm describes a grid.
struct MlxQuantization {
  std::string mode = "affine";  // or mxfp4, mxfp8
  int32_t bits = 4;             // affine: 2, 3, 4, 5, 6, 8; mxfp4: 4; mxfp8: 8
  int32_t group_size = 64;      // affine: 32, 64, 128; mxfp4 and mxfp8: 32

  bool operator==(const MlxQuantization&) const = default;
};

// The grid of planes that this describes; `scale` is the type of scales and biases (f16, bf16, f32)
// and not looked at in the other modes. unsupported names what MLX does not have.
Result<AffineGrid> mlx_grid(const MlxQuantization& quantization, ScaleKind scale);

// "4-bit g64", "mxfp4"
std::string to_text(const MlxQuantization& quantization);

// "model.norm" of "model.norm.weight": how mlx-lm calls a module.
std::string_view mlx_module(std::string_view weight);

// The tensors that `tensor` becomes, in the order in which they are written: weight, scales,
// biases; for a matrix that is not quantized and for vectors one, in `float_grid`. usage, naming
// the tensor and the group sizes that would do, when the group does not divide the columns.
Result<std::vector<SafetensorsTensor>> mlx_tensors(
    const TargetTensor& tensor, const std::optional<MlxQuantization>& quantization,
    Grid float_grid);

// Bytes of a matrix's planes.
struct MlxPlanes {
  std::vector<uint8_t> weight, scales, biases;
};
// Rows of `values` [rows, columns] by encode_affine_row(), which follows mlx's CPU quantizer.
// REQUIRES: grid is of mlx_grid(), values are finite, columns % grid.group_columns == 0
MlxPlanes encode_mlx_rows(const AffineGrid& grid, std::span<const float> values, int64_t columns);

// What was chosen for a matrix: nothing when it stays in floats.
struct MlxChoice {
  std::string tensor;  // "model.layers.0.mlp.down_proj.weight"
  std::optional<MlxQuantization> quantization;
};
// `config` (HfTarget's) with "quantization" and "quantization_config" as mlx-lm writes them: keys
// sorted, the most frequent choice for all and an entry for every matrix that differs. As it is
// when no matrix is quantized.
Json mlx_config(const Json& config, std::span<const MlxChoice> choices);

}  // namespace phial

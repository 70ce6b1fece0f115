// What a folder in Hugging Face's layout holds, made of a model in any format: tensors under
// transformers' names, config.json, and the files of tokenizer, template and generation. MLX
// folders are the same but for quantized matrices (mlx_target.h).
#pragma once

#include <span>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "model/model.h"
#include "model/target.h"
#include "sys/files.h"

namespace phial {

// Whether q, k, v and gate, up are one matrix each.
enum class Fusing : uint8_t {
  as_family,  // where transformers has them so
  apart,      // never
};

struct HfTarget {
  // In the order of the model: embedding, layers, final norm, head (not when it is the embedding).
  // Rows in their natural order.
  std::vector<TargetTensor> tensors;
  // config.json, without what says how the source's weights were quantized.
  Json config;
  // Files beside it: tokenizer.json, tokenizer_config.json, special_tokens_map.json,
  // generation_config.json, chat_template.jinja, tokenizer.model ...
  std::vector<TargetFile> files;
};

// From a folder of Hugging Face or MLX the files beside the weights are those of the folder, byte
// for byte, read through `files`. From a GGUF file they are made: config.json from the metadata by
// config_to_hf(), tokenizer.json from the vocabulary by hf_tokenizer_files(); both are absent where
// the GGUF holds no vocabulary.
// Errors: unsupported for what a folder cannot say (named); those of reading.
Result<HfTarget> hf_target(const Files& files, const Model& model,
                           Fusing fusing = Fusing::as_family);

// The grid of floats that holds all of `values` exactly: bf16, else f16, else f32. So a vector
// survives any chain of conversions bit for bit.
Grid exact_float_grid(std::span<const float> values);

// config.json as text, as transformers writes it, with `dtype` for "torch_dtype" (f32, f16, bf16).
TargetFile config_file(const Json& config, Grid dtype);

}  // namespace phial

// Inside: the parts that gguf_target() puts together. Use gguf_target.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/gguf_writer.h"
#include "model/gguf_target.h"
#include "model/model.h"
#include "model/target.h"

namespace phial {

// What llama.cpp makes of an architecture, as far as it decides what a file may hold.
struct GgufArchitecture {
  std::string_view family;    // Family::name
  const char* name = "";      // general.architecture
  bool fuses = false;         // q, k, v are one matrix, gate and up another
  bool always_tied = false;   // has no output matrix
  bool freq_factors = false;  // reads rope_freqs
  bool longrope = false;      // reads rope_factors_long and _short
  BiasSpec biases = {};       // those that it reads
};

// unsupported when llama.cpp has none for this family, or the model has what the architecture of
// its family has not.
Result<const GgufArchitecture*> gguf_architecture(const ModelSpec& spec);

// In the order: embedding, factors of frequencies, layers, final norm, output.
Result<std::vector<TargetTensor>> gguf_target_tensors(const Model& model,
                                                      const GgufArchitecture& architecture);

// Keys of the architecture: shape, norms, windows, caps, scales, rope.
Result<std::vector<GgufPair>> gguf_model_pairs(const Model& model,
                                               const GgufArchitecture& architecture);

// Keys of the tokenizer and of chat templates. `rows`: of the embedding, to which the vocabulary is
// padded; nothing when there is no model.
Result<std::vector<GgufPair>> gguf_text_pairs(const Checkpoint& checkpoint,
                                              std::optional<int64_t> rows,
                                              const GgufTargetOptions& options);

}  // namespace phial

// A model as a GGUF file that llama.cpp runs: tensors under its names and in its layouts, and all
// keys that it reads - shape, rope, tokenizer, chat templates. What each key means is in
// llama.cpp's docs and in gguf-py's constants; which of them a family has and how they come from a
// Hugging Face configuration is what convert_hf_to_gguf.py does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/gguf_writer.h"
#include "model/model.h"
#include "model/target.h"

namespace phial {

struct GgufTarget {
  // Matrices may be stored in any grid that gguf_can_hold; `values` are F32 in every file.
  std::vector<TargetTensor> tensors;
  std::vector<GgufPair> pairs;  // complete, but for what set_file_type adds
};

struct GgufTargetOptions {
  // tokenizer.ggml.pre, llama.cpp's name of how text is cut into words; empty: found out from the
  // tokenizer, or as a GGUF source has it. For those whose name phial does not know.
  std::string pre_tokenizer;
};

// Of a GGUF source the pairs stay as they are and the tensors keep names, order of rows and what is
// fused. Errors: unsupported (what GGUF cannot say: dynamic rope scaling, windows in some layers
// only; a tokenizer that llama.cpp has no model or pre-tokenizer for); damaged (a tokenizer or
// template that cannot be read; more tokens than the embedding has rows). A source without a
// tokenizer gives a file without one ("no_vocab"). The views live as long as the model.
Result<GgufTarget> gguf_target(const Model& model, const GgufTargetOptions& options = {});

// The pairs of a file that holds a vocabulary and no weights: of a source that has only a
// tokenizer.
Result<std::vector<GgufPair>> gguf_vocabulary_pairs(const Checkpoint& checkpoint,
                                                    const GgufTargetOptions& options = {});

// What general.file_type says: llama.cpp's number (enum llama_ftype) of a way to quantize.
// "f16", "q8_0", "q4_k_m" ...: nothing for a name that has no number.
std::optional<uint32_t> gguf_file_type(std::string_view scheme);

// Sets general.file_type and general.quantization_version. A file whose mix has no number of its
// own says that of the grid which most of its weights have.
void set_file_type(std::vector<GgufPair>& pairs, uint32_t file_type);

}  // namespace phial

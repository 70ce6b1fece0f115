// Qwen2 and Qwen2.5: a Llama block with biases on q, k and v; the layers from max_window_layers on
// may have a sliding window. Source: modeling_qwen2.py of transformers.
#include "model/family.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"qwen2"};

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config));
  PHIAL_TRY(read_llama_block(config, 1e-6, spec));
  spec.bias.qkv = true;
  PHIAL_TRY(read_upper_windows(config, spec));
  PHIAL_TRY(read_rope(config, {}, spec));
  return spec;
}

}  // namespace

const Family kQwen2Family = {
    .name = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = false,
    .make_spec = make_spec,
};

}  // namespace phial

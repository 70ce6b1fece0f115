// Llama 1, 2, 3, 3.1 and 3.2 (text), TinyLlama, SmolLM2: serial blocks, RMSNorm, gated SiLU.
// Source: modeling_llama.py of transformers.
#include "model/family.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"llama"};

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config));
  PHIAL_TRY(read_llama_block(config, 1e-6, spec));
  PHIAL_TRY(read_llama_biases(config, spec));
  PHIAL_TRY(read_rope(config, {}, spec));
  return spec;
}

}  // namespace

const Family kLlamaFamily = {
    .name = "llama",
    .architecture = "LlamaForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = true,
    .make_spec = make_spec,
};

}  // namespace phial

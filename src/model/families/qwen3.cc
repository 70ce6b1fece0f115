// Qwen3 (dense): a Llama block with an RMSNorm over each head of q and k before they turn; heads
// need not add up to the hidden size. Source: modeling_qwen3.py of transformers.
#include "model/family.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"qwen3"};

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config));
  PHIAL_TRY(read_llama_block(config, 1e-6, spec));
  PHIAL_TRY(read_llama_biases(config, spec));
  spec.attention.qk_norm = true;
  PHIAL_TRY(read_upper_windows(config, spec));
  PHIAL_TRY(read_rope(config, {}, spec));
  return spec;
}

}  // namespace

const Family kQwen3Family = {
    .name = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = false,
    .make_spec = make_spec,
};

}  // namespace phial

// Mistral 7B: a Llama block with, in its first version, a sliding window in every layer.
// Source: modeling_mistral.py of transformers. GGUF files call it "llama"; one that names a window
// is a Mistral (gguf_config.cc).
#include "model/family.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"mistral"};

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config));
  PHIAL_TRY(read_llama_block(config, 1e-6, spec));
  PHIAL_TRY(read_window(config, 4096, spec));
  PHIAL_TRY(read_rope(config, {}, spec));
  return spec;
}

}  // namespace

const Family kMistralFamily = {
    .name = "mistral",
    .architecture = "MistralForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = true,
    .make_spec = make_spec,
};

}  // namespace phial

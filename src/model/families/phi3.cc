// Phi-3 (mini and medium, 4k and 128k), Phi-3.5-mini, Phi-4 and Phi-4-mini: a Llama block whose
// q, k, v and gate, up are fused, with a sliding window (4k) or LongRoPE (128k); in Phi-4-mini part
// of each head turns and the embedding is the head. Source: modeling_phi3.py of transformers.
#include "model/family.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr const char* kModelTypes[] = {"phi3"};

Result<ModelSpec> make_spec(const ConfigReader& config) {
  PHIAL_ASSIGN(ModelSpec spec, read_common(config));
  PHIAL_TRY(read_llama_block(config, 1e-5, spec));
  PHIAL_TRY(read_window(config, 0, spec));
  PHIAL_TRY(read_rope(config, {.partial = true, .su_is_longrope = true}, spec));
  return spec;
}

}  // namespace

const Family kPhi3Family = {
    .name = "phi3",
    .architecture = "Phi3ForCausalLM",
    .model_types = kModelTypes,
    .gguf_interleaves_heads = false,
    .fused = true,
    .make_spec = make_spec,
};

}  // namespace phial

// A family: one file that reads a configuration into a ModelSpec and says what is peculiar about
// its files. families/*.cc define one each; registry.cc lists them.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "base/status.h"
#include "model/config_reader.h"
#include "model/model_spec.h"
#include "model/roles.h"

namespace phial {

// A buffer that older versions of transformers wrote beside the weights.
inline constexpr const char* kRotaryBuffers[] = {"model.layers.#.self_attn.rotary_emb.inv_freq"};

struct Family {
  const char* name;
  const char* architecture;  // Hugging Face's class name
  // config.json's model_type.
  std::span<const char* const> model_types;
  // GGUF files of this family hold q and k with interleaved heads (see RowOrder).
  bool gguf_interleaves_heads;
  // Hugging Face's files hold the weight of an RMSNorm minus 1 (GGUF files hold it whole).
  bool norm_weights_minus_one = false;
  // Hugging Face's files hold q, k, v and gate, up as one matrix each.
  bool fused = false;
  // Roles that go by the second of their Hugging Face names (roles.h).
  std::span<const Role> second_names = {};
  // Hugging Face tensor names that may be there and are not needed ('#' stands for a number).
  std::span<const char* const> ignored_tensors = kRotaryBuffers;
  // Fills everything but family and architecture.
  Result<ModelSpec> (*make_spec)(const ConfigReader& config);
};

extern const Family kLlamaFamily;
extern const Family kMistralFamily;
extern const Family kPhi3Family;
extern const Family kPhiFamily;
extern const Family kQwen2Family;
extern const Family kQwen3Family;
extern const Family kGemma2Family;
extern const Family kGraniteFamily;
extern const Family kSmolLm3Family;

std::span<const Family* const> families();

// By model_type. unsupported for an unknown one, with the list of known ones.
Result<const Family*> find_family(const ConfigReader& config);

// ---- What several families share ----------------------------------------------------------------
// Rope is shared too: rope.h.

// hidden, layers, intermediate, vocabulary, context, heads, kv_heads, head_dim, scale, tied
// embeddings: the keys that all families spell alike. Layers are of one kind: no window, all turn.
// `tied` is the family's default of tie_word_embeddings.
Result<ModelSpec> read_common(const ConfigReader& config, bool tied = false);

// What a Llama block adds to that: RMSNorm of `default_eps`, gated SiLU.
Status read_llama_block(const ConfigReader& config, double default_eps, ModelSpec& spec);

// attention_bias (q, k, v and the output) and mlp_bias, false by default.
Status read_llama_biases(const ConfigReader& config, ModelSpec& spec);

// sliding_window for every layer; 0 and null mean none, a missing key `default_window`. A query q
// sees the positions p with q - window < p <= q.
Status read_window(const ConfigReader& config, int64_t default_window, ModelSpec& spec);

// The window of read_window for the layers that `layer_types` calls "sliding_attention", the others
// are "full_attention"; where that key is missing, for the layers i with `slides(i)`. damaged for a
// list of another length, unsupported for another word.
Status read_layer_types(const ConfigReader& config, int64_t default_window,
                        const std::function<bool(int64_t)>& slides, ModelSpec& spec);

// Qwen's way: only with use_sliding_window, and then for the layers from max_window_layers on.
Status read_upper_windows(const ConfigReader& config, ModelSpec& spec);

// unsupported unless config's `key` is one of `accepted` (missing: the first).
Status check_activation(const ConfigReader& config,
                        std::initializer_list<std::string_view> accepted,
                        std::string_view key = "hidden_act");

}  // namespace phial

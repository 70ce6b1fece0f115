#include "model/roles.h"

namespace phial {
namespace {

// Hugging Face: modeling_llama.py, modeling_phi3.py, modeling_phi.py, modeling_qwen3.py,
// modeling_gemma2.py of transformers. GGUF: gguf-py's tensor_mapping; its phi3 stores gate_up under
// the name that others use for up.
constexpr std::array<RoleNames, 18> kRoles = {{
    {Role::token_embedding, {"model.embed_tokens", nullptr}, "token_embd"},
    {Role::attention_norm, {"model.layers.#.input_layernorm", nullptr}, "blk.#.attn_norm"},
    {Role::q_norm, {"model.layers.#.self_attn.q_norm", nullptr}, "blk.#.attn_q_norm"},
    {Role::k_norm, {"model.layers.#.self_attn.k_norm", nullptr}, "blk.#.attn_k_norm"},
    {Role::q, {"model.layers.#.self_attn.q_proj", nullptr}, "blk.#.attn_q"},
    {Role::k, {"model.layers.#.self_attn.k_proj", nullptr}, "blk.#.attn_k"},
    {Role::v, {"model.layers.#.self_attn.v_proj", nullptr}, "blk.#.attn_v"},
    {Role::qkv, {"model.layers.#.self_attn.qkv_proj", nullptr}, "blk.#.attn_qkv"},
    {Role::attention_out,
     {"model.layers.#.self_attn.o_proj", "model.layers.#.self_attn.dense"},
     "blk.#.attn_output"},
    {Role::attention_post_norm,
     {"model.layers.#.post_attention_layernorm", nullptr},
     "blk.#.post_attention_norm"},
    {Role::mlp_norm,
     {"model.layers.#.post_attention_layernorm", "model.layers.#.pre_feedforward_layernorm"},
     "blk.#.ffn_norm"},
    {Role::gate, {"model.layers.#.mlp.gate_proj", nullptr}, "blk.#.ffn_gate"},
    {Role::up, {"model.layers.#.mlp.up_proj", "model.layers.#.mlp.fc1"}, "blk.#.ffn_up"},
    {Role::gate_up, {"model.layers.#.mlp.gate_up_proj", nullptr}, "blk.#.ffn_up"},
    {Role::down, {"model.layers.#.mlp.down_proj", "model.layers.#.mlp.fc2"}, "blk.#.ffn_down"},
    {Role::mlp_post_norm,
     {"model.layers.#.post_feedforward_layernorm", nullptr},
     "blk.#.post_ffw_norm"},
    {Role::final_norm, {"model.norm", "model.final_layernorm"}, "output_norm"},
    {Role::lm_head, {"lm_head", nullptr}, "output"},
}};

std::string fill_in(const char* pattern, int64_t layer, std::string_view ending) {
  std::string name;
  for (const char* c = pattern; *c != '\0'; ++c) {
    if (*c == '#') {
      name += std::to_string(layer);
    } else {
      name += *c;
    }
  }
  name += ending;
  return name;
}

const RoleNames& names_of(Role role) { return kRoles[static_cast<size_t>(role)]; }

}  // namespace

std::span<const RoleNames> role_table() { return kRoles; }

const NamedTensor* find_role(const Checkpoint& checkpoint, Role role, int64_t layer,
                             std::string_view ending) {
  const RoleNames& names = names_of(role);
  if (checkpoint.format == Checkpoint::Format::gguf) {
    return checkpoint.find(fill_in(names.gguf, layer, ending));
  }
  for (auto pattern = names.hugging_face.rbegin(); pattern != names.hugging_face.rend();
       ++pattern) {
    if (*pattern == nullptr) continue;
    if (const NamedTensor* tensor = checkpoint.find(fill_in(*pattern, layer, ending))) {
      return tensor;
    }
  }
  return nullptr;
}

std::string role_name(const Checkpoint& checkpoint, Role role, int64_t layer,
                      std::string_view ending) {
  const RoleNames& names = names_of(role);
  const bool gguf = checkpoint.format == Checkpoint::Format::gguf;
  return fill_in(gguf ? names.gguf : names.hugging_face[0], layer, ending);
}

std::string gguf_role_name(Role role, int64_t layer, std::string_view ending) {
  return fill_in(names_of(role).gguf, layer, ending);
}

std::string hugging_face_name(Role role, bool second, int64_t layer, std::string_view ending) {
  return fill_in(names_of(role).hugging_face[second ? 1 : 0], layer, ending);
}

bool matches_name(std::string_view pattern, std::string_view name) {
  size_t at = 0;
  for (const char c : pattern) {
    if (c == '#') {
      const size_t begin = at;
      while (at < name.size() && name[at] >= '0' && name[at] <= '9') ++at;
      if (at == begin) return false;
    } else {
      if (at >= name.size() || name[at] != c) return false;
      ++at;
    }
  }
  return at == name.size();
}

}  // namespace phial

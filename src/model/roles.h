// Roles: the part each tensor plays in a decoder-only transformer, and its names in the files.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "formats/checkpoint.h"

namespace phial {

enum class Role : uint8_t {
  token_embedding,
  attention_norm,
  q_norm,
  k_norm,
  q,
  k,
  v,
  qkv,  // q, k and v as one matrix, in this order of rows
  attention_out,
  attention_post_norm,  // of what attention adds
  mlp_norm,
  gate,
  up,
  gate_up,  // gate and up as one matrix, in this order of rows
  down,
  mlp_post_norm,  // of what the mlp adds
  final_norm,
  lm_head,
};

// Names without the ending ".weight" or ".bias"; '#' stands for the layer's number.
struct RoleNames {
  Role role;
  std::array<const char*, 2> hugging_face;  // families differ; null: no second name. The second
                                            // wins where a file has both
  const char* gguf;
};

// In the order of the enum. Hugging Face's post_attention_layernorm is the mlp's norm, but in
// Gemma 2, which has pre_feedforward_layernorm for that, the norm of what attention adds.
std::span<const RoleNames> role_table();

// The name of the tensor that plays `role` in layer `layer`, among those a file of this format may
// use; null when the checkpoint has none. `ending` is ".weight" or ".bias".
const NamedTensor* find_role(const Checkpoint& checkpoint, Role role, int64_t layer,
                             std::string_view ending);

// The first of the names in the table, for messages.
std::string role_name(const Checkpoint& checkpoint, Role role, int64_t layer,
                      std::string_view ending);

// As a GGUF file names it.
std::string gguf_role_name(Role role, int64_t layer, std::string_view ending);
// The name that files of Hugging Face have for it; `second`: the second of its names.
std::string hugging_face_name(Role role, bool second, int64_t layer, std::string_view ending);

// Whether `name` matches `pattern`, in which '#' stands for one or more digits.
bool matches_name(std::string_view pattern, std::string_view name);

}  // namespace phial

// Plan: the flat list of fused steps that one pass of a model takes, made from its ModelSpec.
//
// Every step reads the rows' state and leaves it for the next; between two steps the whole state is
// `hidden` (the residual stream), plus `normed` between attention and mlp of a parallel block.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_spec.h"

namespace phial {

enum class PlanOp : uint8_t {
  embed,             // tokens -> hidden
  attention_input,   // norm; q, k, v; norms of their heads; rope; k and v into the cache
  attention,         // softmax(q k) v over the cache
  attention_output,  // hidden += o_proj(attention), normed where the model norms it
  mlp_input,         // norm (unless the block is parallel); up, gate; activation
  mlp_output,        // hidden += down(mlp), likewise
  head,              // final norm; logits of the rows that want them, scaled and capped
};

struct PlanStep {
  PlanOp op;
  int32_t layer;             // -1 for embed and head
  bool reuses_norm = false;  // mlp_input of a parallel block reads what attention_input normed
};

using Plan = std::vector<PlanStep>;

Plan make_plan(const ModelSpec& spec);

}  // namespace phial

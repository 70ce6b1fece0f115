// Weights: views of a checkpoint's tensors by the part they play in a ModelSpec. Matrices stay in
// the mapped file; norms and biases (small) are decoded into float32.
#pragma once

#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "model/family.h"
#include "model/model_spec.h"
#include "tensor/view.h"

namespace phial {

// y = W x + bias
struct Linear {
  MatrixView weight;
  std::vector<float> bias;  // [weight.rows] or empty; in the order that weight.row_order says
};

struct NormWeights {
  std::vector<float> weight;  // [hidden] unless said otherwise
  std::vector<float> bias;    // likewise; LayerNorm only
};

// q, k, v, gate and up are separate row ranges, also where the file holds them fused.
struct LayerWeights {
  NormWeights attention_norm;
  NormWeights q_norm, k_norm;       // [head_dim]; with attention.qk_norm only
  Linear q;                         // [heads * head_dim, hidden]
  Linear k;                         // [kv_heads * head_dim, hidden]
  Linear v;                         // [kv_heads * head_dim, hidden]
  Linear attention_out;             // [hidden, heads * head_dim]
  NormWeights attention_post_norm;  // with NormPlace::before_and_after only
  NormWeights mlp_norm;             // serial blocks only
  Linear gate;                      // [intermediate, hidden], gated mlps only
  Linear up;                        // [intermediate, hidden]
  Linear down;                      // [hidden, intermediate]
  NormWeights mlp_post_norm;        // with NormPlace::before_and_after only
};

struct Weights {
  MatrixView embedding;  // [vocabulary, hidden]
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  Linear lm_head;  // [vocabulary, hidden]; the embedding's matrix when tied
};

// Finds every tensor that `spec` asks for under its Hugging Face or GGUF name. Strict: shapes
// equal, every tensor of the checkpoint used or on the family's list of those it ignores. Errors
// name the tensor: damaged (missing, wrong shape), unsupported (left over). The views live as long
// as `checkpoint`'s mappings.
Result<Weights> bind_weights(const Checkpoint& checkpoint, const ModelSpec& spec,
                             const Family& family);

// The first tensor that holds NaN or infinity (for block grids: in a scale), as a `damaged` error;
// ok when all are finite. Reads every weight: meant for finding out why logits are not numbers.
Status check_finite(const Checkpoint& checkpoint);

}  // namespace phial

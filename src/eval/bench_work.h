// What reading a prompt and making tokens ask of a machine, by formula: the numerators of every
// share that `phial bench` reports. docs/performance.md explains them to users.
#pragma once

#include <cstdint>
#include <string>

#include "engine/numerics.h"
#include "eval/probes.h"
#include "model/model.h"

namespace phial {

struct ModelWork {
  int64_t layer_parameters = 0;  // of the linear layers in all blocks, without biases
  int64_t head_parameters = 0;   // of the lm_head
  // Bytes of both as the model's own grids store them, scales and offsets included: what one pass
  // reads at least, however an engine packs them. (Of the embedding a pass reads a few rows.)
  double weight_bytes = 0;

  // Operations of the linear layers for `tokens` tokens of a prompt, of which the last alone gets
  // logits: 2 * layer_parameters * tokens. Attention and the head are not counted, so a share of
  // the peak is a lower bound.
  double prefill_operations(int64_t tokens) const;
  // Operations of a pass over `tokens` tokens that all get logits.
  double pass_operations(int64_t tokens) const;
};

ModelWork work_of(const Model& model);

// Bytes of keys and values that a token reads which finds `depth` positions before it: those and
// its own, in every layer, or as many as the layer's window shows.
double kv_read_bytes(const ModelSpec& spec, KvType kv, int64_t depth);

// The arithmetic that bounds products of this model: fma for float32 compute and for float32 and
// float16 weights, bf16 (where there is such a probe) for bfloat16, int8 for codes of at most 4
// bits and int8_wide for wider ones. Of several grids that of most parameters counts.
Probe arithmetic_probe(const Model& model, Compute compute, bool has_bf16);

// The grid of most parameters in the layers: its name, or "4-bit g64" for scales beside the codes
// ("8-bit f8 ..." for 8-bit floats).
std::string main_grid(const Model& model);

}  // namespace phial

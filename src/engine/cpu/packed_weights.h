// The weights of a model as the CPU computes with them: packed into panels (tensor/packed.h) where
// the numerics ask for it, otherwise as they lie in the file.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/cpu/linear.h"
#include "engine/numerics.h"
#include "engine/runtime.h"
#include "model/model.h"
#include "sys/memory.h"
#include "sys/memory_budget.h"

namespace phial {

// The matrices of LayerWeights.
struct CpuLayer {
  CpuLinear q, k, v, attention_out, gate, up, down;
};

struct CpuWeights {
  std::vector<CpuLayer> layers;
  CpuLinear lm_head;
  // Panels of which the embedding's rows are gathered: a tied head's, or those of a packed file.
  // Null: the model's embedding, row by row.
  const PackedMatrix* embedding = nullptr;

  PageBuffer panels;  // of what was packed here
  MemoryLease lease;  // on the runtime's budget, for `panels`
};

// Anonymous memory that make_cpu_weights takes. Saturates at INT64_MAX.
int64_t packed_weight_bytes(const Model& model, Compute compute);

// Whether Compute::int8 computes with integers anywhere in the model.
bool has_integer_weights(const Model& model);

// With Compute::int8 all matrices whose codes are integers are packed, by all threads, and what was
// read of the file is let go as they go along, so that weights are in memory once. Those that a
// packed file holds are used where they lie, whatever the numerics, or copied if they lie askew.
// The result refers to `model`. Errors: out_of_memory; over_limit when the runtime's budget has too
// little.
Result<std::shared_ptr<const CpuWeights>> make_cpu_weights(const Runtime& runtime,
                                                           const Model& model, Compute compute);

}  // namespace phial

// The CPU executor runs ranges of a Plan's steps on rows of hidden state, all threads together.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/cpu/packed_weights.h"
#include "engine/kv_cache.h"
#include "engine/plan.h"
#include "engine/runtime.h"
#include "model/model.h"

namespace phial {

// Consecutive rows of one sequence: positions first_position, first_position + 1 ...; the cache
// must have room for them.
struct RowSegment {
  const KvCache* cache = nullptr;
  int64_t first_row = 0;
  int64_t rows = 0;
  int64_t first_position = 0;
  // [rotary / 2] frequencies by which these rows turn; null: the spec's inv_freq.
  const float* inv_freq = nullptr;
};

// The rows of one pass.
struct RowBatch {
  int64_t rows = 0;
  // Of each row: a token, or -1 where an embedding row is given instead.
  std::vector<int32_t> tokens;
  std::vector<const float*> embeddings;  // [hidden] of the rows without token; else null
  std::vector<RowSegment> segments;      // cover all rows, in order
  // Rows whose logits are wanted, and where they go: [logits_rows.size(), vocabulary].
  std::vector<int64_t> logits_rows;
  float* logits = nullptr;

  // As a new one, but for the memory it holds.
  void clear() {
    rows = 0;
    tokens.clear();
    embeddings.clear();
    segments.clear();
    logits_rows.clear();
    logits = nullptr;
  }
};

// What the matrices of a step read: float32 [rows, width], valid during the call. Called on the
// thread that called run(), in the order of the steps; steps without matrices are not shown.
using StepObserver =
    std::function<void(const PlanStep& step, const float* input, int64_t rows, int64_t width)>;

// Not thread safe: one run at a time.
class CpuExecutor {
 public:
  // `weights` are those of `model`.
  CpuExecutor(std::shared_ptr<const Runtime> runtime, std::shared_ptr<const Model> model,
              std::shared_ptr<const CpuWeights> weights);
  ~CpuExecutor();

  const Plan& plan() const;

  // Runs steps [begin, end) of the plan over `batch`. `hidden` is [rows, hidden]: read unless the
  // first step is `embed`, and left as the last step made it. `observer` may be empty.
  // cancelled when `cancel` (may be null) is set at the beginning of a layer; hidden and the
  // cache's reserved positions then hold anything.
  Status run(size_t begin, size_t end, const RowBatch& batch, float* hidden,
             const StepObserver& observer, const CancelFlag* cancel);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace phial

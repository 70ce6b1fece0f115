// What the executor's steps share: the state of a pass and how rows are dealt out. The steps stand
// in executor.cc (embedding, head, what all have in common), executor_attention.cc and
// executor_mlp.cc.
#pragma once

#include <algorithm>
#include <deque>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "engine/cpu/attention.h"
#include "engine/cpu/executor.h"
#include "engine/cpu/linear.h"
#include "engine/cpu/rope_table.h"
#include "kernels/packed_layout.h"

namespace phial {

// Up to this many rows every worker norms all of them for itself: that takes less time than waiting
// for the others.
inline constexpr int64_t kOwnRows = 2;

// A line of its own: workers write the sizes in it.
struct alignas(64) WorkerScratch {
  LinearScratch linear;
  std::vector<float> head;    // [head_dim]
  std::vector<float> normed;  // [kOwnRows, hidden]
  CacheLines rounded_normed;  // [kOwnRows, hidden]
  CacheLines rounded_input;   // [kOwnRows, q_width or intermediate]
  std::vector<float> gate;    // [rows, kSlabColumns]
  std::vector<float> up;      // [rows, kPackedRows]
};

struct CpuExecutor::Impl {
  std::shared_ptr<const Runtime> runtime;
  std::shared_ptr<const Model> model;
  std::shared_ptr<const CpuWeights> matrices;
  const KernelTable& kernels;
  const PackedKernels& packed;
  const Bf16Kernels* const bf16;  // null: no layer is
  const ModelSpec& spec;
  const int64_t q_width;
  const int64_t kv_width;
  const Plan plan;
  bool any_int8 = false;  // layers
  bool any_bf16 = false;

  // State of the rows of one pass, [rows, width] each.
  std::vector<float> normed;      // hidden
  std::vector<float> q, k, v;     // q_width, kv_width, kv_width
  std::vector<float> attention;   // q_width
  std::vector<float> gate, up;    // intermediate
  std::vector<float> projected;   // hidden; what attention and mlp add to the residual stream
  std::vector<float> head_input;  // hidden, of the rows that want logits
  CacheLines rounded_normed;      // what int8 and bf16 layers read instead
  CacheLines rounded_input;
  RopeTable rope;
  std::vector<WorkerScratch> workers;
  Attention attender;
  std::deque<Deal> deals;  // one for each step of the plan

  // The pass that runs now.
  const RowBatch* batch = nullptr;
  float* hidden = nullptr;
  const StepObserver* observer = nullptr;
  const CancelFlag* cancel = nullptr;
  bool stop = false;  // written by worker 0 before a barrier

  Impl(std::shared_ptr<const Runtime> r, std::shared_ptr<const Model> m,
       std::shared_ptr<const CpuWeights> w)
      : runtime(std::move(r)),
        model(std::move(m)),
        matrices(std::move(w)),
        kernels(*runtime->kernels),
        packed(packed_kernels(kernels)),
        bf16(bf16_kernels(kernels)),
        spec(model->spec),
        q_width(spec.attention.heads * spec.attention.head_dim),
        kv_width(spec.attention.kv_heads * spec.attention.head_dim),
        plan(make_plan(spec)),
        rope(spec.rope),
        attender(kernels, spec, runtime->threads->size()) {
    for (size_t i = 0; i < plan.size(); ++i) deals.emplace_back(size());
    const auto look_at = [this](const CpuLinear& linear) {
      any_int8 = any_int8 || linear.int8;
      any_bf16 = any_bf16 || (linear.bf16 && !linear.int8);
    };
    for (const CpuLayer& l : matrices->layers) {
      for (const CpuLinear* linear :
           {&l.q, &l.k, &l.v, &l.attention_out, &l.gate, &l.up, &l.down}) {
        look_at(*linear);
      }
    }
    look_at(matrices->lm_head);
  }

  int size() const { return runtime->threads->size(); }
  void barrier() const { runtime->threads->barrier(); }
  Share share(int64_t count, int64_t grain, int worker) const {
    return share_of(count, grain, worker, size());
  }
  const LayerWeights& weights(const PlanStep& step) const {
    return model->weights.layers[static_cast<size_t>(step.layer)];
  }
  const CpuLayer& layer_of(const PlanStep& step) const {
    return matrices->layers[static_cast<size_t>(step.layer)];
  }
  // REQUIRES: a step of `plan`
  Deal& deal(const PlanStep& step) { return deals[static_cast<size_t>(&step - plan.data())]; }
  // Weight rows that are dealt out at once, so that no two workers write into one cache line of a
  // row of y: whole panels where there are any, and where there are plenty.
  int64_t unit_rows(std::span<const CpuLinear* const> linears, int64_t input_rows) const {
    int64_t rows = 0;
    for (const CpuLinear* linear : linears) {
      if (linear->is_packed()) return kPackedRows;
      rows += linear->rows();
    }
    return input_rows > kMaxGemvRows || rows >= 16 * kPanelRows * size() ? kPanelRows : 16;
  }
  // Whether one of `linears` rounds the rows of this pass.
  bool any_rounds(std::initializer_list<const CpuLinear*> linears) const {
    return std::any_of(linears.begin(), linears.end(),
                       [this](const CpuLinear* linear) { return linear->rounds(batch->rows); });
  }
  // Calls fn(begin, end) for parts of a range of columns, so small that results are in a cache
  // still when something is done with them: panels where there are many rows.
  template <class Fn>
  void by_panels(int64_t begin, int64_t end, const Fn& fn) const {
    const int64_t step = batch->rows >= kMinPackedGemmRows ? kPackedRows : end - begin;
    for (; begin < end; begin += step) fn(begin, std::min(end, begin + step));
  }
  // Calls fn(index of one of `linears`, begin, end) for the ranges of weight rows that `worker`
  // takes of all of them, which are dealt out together.
  template <class Fn>
  void take_rows(const PlanStep& step, std::span<const CpuLinear* const> linears, int64_t unit,
                 int worker, const Fn& fn) {
    int64_t units = 0;
    for (const CpuLinear* linear : linears) units += ceil_div(linear->rows(), unit);
    deal(step).take(units, worker, size(), [&](int64_t begin, int64_t end) {
      for (size_t i = 0; i < linears.size() && end > 0; ++i) {
        const int64_t rows = linears[i]->rows();
        if (begin * unit < rows) fn(i, begin * unit, std::min(end * unit, rows));
        begin = std::max<int64_t>(0, begin - ceil_div(rows, unit));
        end -= ceil_div(rows, unit);
      }
    });
  }
  void apply(const CpuLinear& linear, const LinearInput& input, int64_t begin, int64_t end,
             const LinearOutput& output, int worker) {
    apply_linear({kernels, packed, bf16}, linear, input, begin, end, output,
                 workers[static_cast<size_t>(worker)].linear);
  }

  void prepare(size_t begin, size_t end);
  void run_worker(size_t begin, size_t end, int worker);
  void run_step(const PlanStep& step, int worker);

  void observe(const PlanStep& step, int worker, const float* input, int64_t rows, int64_t width);
  void norm_row(const NormWeights& norm, const float* x, float* out) const;
  LinearInput input_of(const float* x, int64_t rows, int64_t width, CacheLines* rounded) const;
  Share share_rows(const LinearInput& input, int worker) const;
  void round(const LinearInput& input, Share rows, InputCodes codes) const;
  void meet_rounded(const LinearInput& input, int worker) const;
  LinearInput normed_rows(bool rounded, int worker);
  void norm_rows(const NormWeights& norm, bool rounded, int worker);
  LinearInput read_rows(const float* x, int64_t rows, int64_t width, bool rounded, int worker,
                        InputCodes codes = InputCodes::as_needed);
  void add_projected(const PlanStep& step, const CpuLinear& linear, const NormWeights& post_norm,
                     const float* input, int worker);
  void add_to_hidden(int64_t row, int64_t begin, int64_t count);
  void turn_and_store(const PlanStep& step, const RowSegment& segment, int64_t row, int64_t kv_head,
                      int worker);
  void turn_and_store_all(const PlanStep& step, int worker);
  void attend(const PlanStep& step, int worker);

  void embed(int worker);
  void attention_input(const PlanStep& step, int worker);
  void mlp_input(const PlanStep& step, int worker);
  void activate(int64_t count, float* gate_values, float* up_values) const;
  bool gates_by_slabs(const PlanStep& step) const;
  void gate_slab(const CpuLayer& layer, const LinearInput& input, int64_t slab, int worker);
  void head(const PlanStep& step, int worker);
};

}  // namespace phial

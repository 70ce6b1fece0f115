#include "engine/cpu/executor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/cpu/attention.h"
#include "engine/cpu/linear.h"

namespace phial {
namespace {

// Weight rows are handed to workers in multiples of this, so that no two workers write into one
// cache line of a row of y and the panel kernels get whole vectors.
constexpr int64_t kRowGrain = 16;

// Undoes RowOrder::interleaved_heads for one head's values.
void restore_head_order(float* x, int64_t head_dim, float* scratch) {
  for (int64_t i = 0; i < head_dim; ++i) scratch[i] = x[interleaved_row(i, head_dim)];
  std::memcpy(x, scratch, static_cast<size_t>(head_dim) * sizeof(float));
}

struct WorkerScratch {
  LinearScratch linear;
  std::vector<float> head;  // [head_dim]
};

}  // namespace

struct CpuExecutor::Impl {
  std::shared_ptr<const Runtime> runtime;
  std::shared_ptr<const Model> model;
  const KernelTable& kernels;
  const ModelSpec& spec;
  const int64_t q_width;
  const int64_t kv_width;
  const Plan plan;

  // State of the rows of one pass, [rows, width] each.
  std::vector<float> normed;      // hidden
  std::vector<float> q, k, v;     // q_width, kv_width, kv_width
  std::vector<float> attention;   // q_width
  std::vector<float> gate, up;    // intermediate
  std::vector<float> projected;   // hidden; what attention and mlp add to the residual stream
  std::vector<float> cos, sin;    // rotary / 2
  std::vector<float> head_input;  // hidden, of the rows that want logits
  std::vector<WorkerScratch> workers;
  Attention attender;

  // The pass that runs now.
  const RowBatch* batch = nullptr;
  float* hidden = nullptr;
  const StepObserver* observer = nullptr;
  bool stop = false;  // written by worker 0 before a barrier

  Impl(std::shared_ptr<const Runtime> r, std::shared_ptr<const Model> m)
      : runtime(std::move(r)),
        model(std::move(m)),
        kernels(*runtime->kernels),
        spec(model->spec),
        q_width(spec.attention.heads * spec.attention.head_dim),
        kv_width(spec.attention.kv_heads * spec.attention.head_dim),
        plan(make_plan(spec)),
        attender(kernels, spec, runtime->threads->size()) {}

  int size() const { return runtime->threads->size(); }
  void barrier() const { runtime->threads->barrier(); }
  Share share(int64_t count, int64_t grain, int worker) const {
    return share_of(count, grain, worker, size());
  }
  const LayerWeights& weights(const PlanStep& step) const {
    return model->weights.layers[static_cast<size_t>(step.layer)];
  }

  void prepare(size_t begin, size_t end);
  void make_rope_table();
  void run_worker(size_t begin, size_t end, int worker, const CancelFlag* cancel);
  void run_step(const PlanStep& step, int worker);

  void observe(const PlanStep& step, int worker, const float* input, int64_t rows, int64_t width);
  void norm_row(const NormWeights& norm, const float* x, float* out) const;
  void norm_rows(const NormWeights& norm, int worker);
  void add_projected(const PlanStep& step, const Linear& layer, const NormWeights& post_norm,
                     const float* input, int64_t width, int worker);
  void add_to_hidden(int64_t row, int64_t begin, int64_t count);
  void rope_and_store(const PlanStep& step, int worker);

  void embed(int worker);
  void attention_input(const PlanStep& step, int worker);
  void attend(const PlanStep& step, int worker);
  void mlp_input(const PlanStep& step, int worker);
  void head(const PlanStep& step, int worker);
};

CpuExecutor::CpuExecutor(std::shared_ptr<const Runtime> runtime, std::shared_ptr<const Model> model)
    : impl_(std::make_unique<Impl>(std::move(runtime), std::move(model))) {}

CpuExecutor::~CpuExecutor() = default;

const Plan& CpuExecutor::plan() const { return impl_->plan; }

Status CpuExecutor::run(size_t begin, size_t end, const RowBatch& batch, float* hidden,
                        const StepObserver& observer, const CancelFlag* cancel) {
  Impl& impl = *impl_;
  impl.batch = &batch;
  impl.hidden = hidden;
  impl.observer = observer ? &observer : nullptr;
  impl.stop = false;
  impl.prepare(begin, end);
  impl.runtime->threads->run([&](int worker) { impl.run_worker(begin, end, worker, cancel); });
  if (impl.stop) return cancelled("forward");
  return {};
}

// All memory that the workers will touch is made here: they must not allocate.
void CpuExecutor::Impl::prepare(size_t begin, size_t end) {
  const auto rows = static_cast<size_t>(batch->rows);
  const auto fit = [rows](std::vector<float>& buffer, int64_t width) {
    const size_t floats = rows * static_cast<size_t>(width);
    if (buffer.size() < floats) buffer.resize(floats);
  };
  fit(normed, spec.hidden);
  fit(projected, spec.hidden);
  fit(q, q_width);
  fit(attention, q_width);
  fit(k, kv_width);
  fit(v, kv_width);
  if (is_gated(spec.mlp)) fit(gate, spec.intermediate);
  fit(up, spec.intermediate);
  head_input.resize(batch->logits_rows.size() * static_cast<size_t>(spec.hidden));

  workers.resize(static_cast<size_t>(size()));
  for (WorkerScratch& w : workers) {
    if (batch->rows > kMaxGemvRows || batch->logits_rows.size() > kMaxGemvRows) {
      w.linear.panel.reserve(static_cast<size_t>(kPanelColumns * kPanelRows));
    }
    w.head.resize(static_cast<size_t>(spec.attention.head_dim));
  }
  const bool attends =
      std::any_of(plan.begin() + static_cast<int64_t>(begin),
                  plan.begin() + static_cast<int64_t>(end), [](const PlanStep& s) {
                    return s.op == PlanOp::attention_input || s.op == PlanOp::attention;
                  });
  if (attends) {
    make_rope_table();
    attender.prepare(batch->segments);
  }
}

// Angles are float32 products, as in Hugging Face; so are mscale's.
void CpuExecutor::Impl::make_rope_table() {
  const auto half = static_cast<size_t>(spec.rope.rotary / 2);
  const size_t floats = static_cast<size_t>(batch->rows) * half;
  cos.resize(std::max(cos.size(), floats));
  sin.resize(std::max(sin.size(), floats));
  for (const RowSegment& segment : batch->segments) {
    const float* inv_freq =
        segment.inv_freq != nullptr ? segment.inv_freq : spec.rope.inv_freq.data();
    for (int64_t r = 0; r < segment.rows; ++r) {
      const auto position = static_cast<float>(segment.first_position + r);
      const size_t at = static_cast<size_t>(segment.first_row + r) * half;
      for (size_t i = 0; i < half; ++i) {
        const float angle = position * inv_freq[i];
        cos[at + i] = std::cos(angle) * spec.rope.mscale;
        sin[at + i] = std::sin(angle) * spec.rope.mscale;
      }
    }
  }
}

void CpuExecutor::Impl::run_worker(size_t begin, size_t end, int worker, const CancelFlag* cancel) {
  for (size_t i = begin; i < end; ++i) {
    const PlanStep& step = plan[i];
    if (step.op == PlanOp::attention_input && cancel != nullptr) {
      if (worker == 0) stop = cancel->requested();
      barrier();
      if (stop) return;
    }
    run_step(step, worker);
  }
}

// Each step ends behind a barrier: all rows are done when the next begins.
void CpuExecutor::Impl::run_step(const PlanStep& step, int worker) {
  switch (step.op) {
    case PlanOp::embed:
      embed(worker);
      break;
    case PlanOp::attention_input:
      attention_input(step, worker);
      break;
    case PlanOp::attention:
      attend(step, worker);
      break;
    case PlanOp::attention_output:
      add_projected(step, weights(step).attention_out, weights(step).attention_post_norm,
                    attention.data(), q_width, worker);
      break;
    case PlanOp::mlp_input:
      mlp_input(step, worker);
      break;
    case PlanOp::mlp_output:
      add_projected(step, weights(step).down, weights(step).mlp_post_norm,
                    is_gated(spec.mlp) ? gate.data() : up.data(), spec.intermediate, worker);
      break;
    case PlanOp::head:
      head(step, worker);
      break;
  }
  barrier();
}

void CpuExecutor::Impl::observe(const PlanStep& step, int worker, const float* input, int64_t rows,
                                int64_t width) {
  if (observer == nullptr) return;
  if (worker == 0) (*observer)(step, input, rows, width);
  barrier();
}

void CpuExecutor::Impl::embed(int worker) {
  const MatrixView& table = model->weights.embedding;
  const Share mine = share(batch->rows, 1, worker);
  for (int64_t r = mine.begin; r < mine.end; ++r) {
    const auto row = static_cast<size_t>(r);
    float* out = hidden + r * spec.hidden;
    if (batch->tokens[row] >= 0) {
      table.decode(batch->tokens[row], out);
      if (spec.scales.embedding != 1) kernels.scale(spec.hidden, spec.scales.embedding, out);
    } else {
      std::memcpy(out, batch->embeddings[row], static_cast<size_t>(spec.hidden) * sizeof(float));
    }
  }
}

void CpuExecutor::Impl::norm_row(const NormWeights& norm, const float* x, float* out) const {
  if (spec.norm == NormKind::rms) {
    kernels.rms_norm(spec.hidden, x, norm.weight.data(), spec.norm_eps, out);
  } else {
    kernels.layer_norm(spec.hidden, x, norm.weight.data(), norm.bias.data(), spec.norm_eps, out);
  }
}

void CpuExecutor::Impl::norm_rows(const NormWeights& norm, int worker) {
  const Share mine = share(batch->rows, 1, worker);
  for (int64_t r = mine.begin; r < mine.end; ++r) {
    norm_row(norm, hidden + r * spec.hidden, normed.data() + r * spec.hidden);
  }
  barrier();
}

void CpuExecutor::Impl::attention_input(const PlanStep& step, int worker) {
  const LayerWeights& w = weights(step);
  if (worker == 0) attender.start();
  norm_rows(w.attention_norm, worker);
  observe(step, worker, normed.data(), batch->rows, spec.hidden);

  LinearScratch& scratch = workers[static_cast<size_t>(worker)].linear;
  const LinearInput input{normed.data(), batch->rows, spec.hidden};
  // One range over the rows of q, k and v together, so that the workers' shares are even.
  const Share mine = share(q_width + 2 * kv_width, kRowGrain, worker);
  const auto apply = [&](const Linear& layer, int64_t first, int64_t rows, std::vector<float>& y) {
    apply_linear(kernels, layer, input, std::clamp<int64_t>(mine.begin - first, 0, rows),
                 std::clamp<int64_t>(mine.end - first, 0, rows), y.data(), rows, scratch);
  };
  apply(w.q, 0, q_width, q);
  apply(w.k, q_width, kv_width, k);
  apply(w.v, q_width + kv_width, kv_width, v);
  barrier();
  rope_and_store(step, worker);
}

void CpuExecutor::Impl::rope_and_store(const PlanStep& step, int worker) {
  const LayerWeights& w = weights(step);
  const AttentionSpec& attn = spec.attention;
  const int64_t half = spec.rope.rotary / 2;
  const bool rotates = spec.layer_kinds[static_cast<size_t>(step.layer)].rotates;
  float* scratch = workers[static_cast<size_t>(worker)].head.data();
  const auto turn = [&](const MatrixView& weight, const NormWeights& norm, int64_t row, float* x) {
    if (weight.row_order == RowOrder::interleaved_heads) {
      restore_head_order(x, attn.head_dim, scratch);
    }
    if (attn.qk_norm) {
      kernels.rms_norm(attn.head_dim, x, norm.weight.data(), spec.norm_eps, x);
    }
    if (!rotates) return;
    kernels.rope(1, attn.head_dim, spec.rope.rotary, cos.data() + row * half,
                 sin.data() + row * half, x);
  };
  const int64_t units = attn.heads + attn.kv_heads;  // per row
  const Share mine = share(batch->rows * units, 1, worker);
  size_t s = 0;
  for (int64_t item = mine.begin; item < mine.end; ++item) {
    const int64_t row = item / units;
    const int64_t unit = item % units;
    while (row >= batch->segments[s].first_row + batch->segments[s].rows) ++s;
    if (unit < attn.heads) {
      turn(w.q.weight, w.q_norm, row, q.data() + row * q_width + unit * attn.head_dim);
    } else {
      const int64_t kv_head = unit - attn.heads;
      const int64_t at = row * kv_width + kv_head * attn.head_dim;
      turn(w.k.weight, w.k_norm, row, k.data() + at);
      attender.store(worker, step.layer, batch->segments[s], row, kv_head, k.data() + at,
                     v.data() + at);
    }
  }
}

void CpuExecutor::Impl::attend(const PlanStep& step, int worker) {
  attender.attend(worker, step.layer, q.data(), attention.data());
}

void CpuExecutor::Impl::add_to_hidden(int64_t row, int64_t begin, int64_t count) {
  float* addend = projected.data() + row * spec.hidden + begin;
  if (spec.scales.residual != 1) kernels.scale(count, spec.scales.residual, addend);
  kernels.add(count, addend, hidden + row * spec.hidden + begin);
}

// hidden += layer(input), each worker for its own columns of hidden; with a norm in between, which
// needs whole rows, for its own rows.
void CpuExecutor::Impl::add_projected(const PlanStep& step, const Linear& layer,
                                      const NormWeights& post_norm, const float* x, int64_t width,
                                      int worker) {
  observe(step, worker, x, batch->rows, width);
  LinearScratch& scratch = workers[static_cast<size_t>(worker)].linear;
  const LinearInput input{x, batch->rows, width};
  const Share mine = share(spec.hidden, kRowGrain, worker);
  apply_linear(kernels, layer, input, mine.begin, mine.end, projected.data(), spec.hidden, scratch);
  if (spec.norm_place == NormPlace::before) {
    if (mine.begin >= mine.end) return;
    for (int64_t r = 0; r < batch->rows; ++r) add_to_hidden(r, mine.begin, mine.end - mine.begin);
    return;
  }
  barrier();
  const Share rows = share(batch->rows, 1, worker);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    float* row = projected.data() + r * spec.hidden;
    norm_row(post_norm, row, row);
    add_to_hidden(r, 0, spec.hidden);
  }
}

void CpuExecutor::Impl::mlp_input(const PlanStep& step, int worker) {
  const LayerWeights& w = weights(step);
  if (!step.reuses_norm) norm_rows(w.mlp_norm, worker);
  observe(step, worker, normed.data(), batch->rows, spec.hidden);
  LinearScratch& scratch = workers[static_cast<size_t>(worker)].linear;
  const LinearInput input{normed.data(), batch->rows, spec.hidden};
  const Share mine = share(spec.intermediate, kRowGrain, worker);
  const int64_t count = mine.end - mine.begin;
  if (count <= 0) return;
  const bool gated = is_gated(spec.mlp);
  apply_linear(kernels, w.up, input, mine.begin, mine.end, up.data(), spec.intermediate, scratch);
  if (gated) {
    apply_linear(kernels, w.gate, input, mine.begin, mine.end, gate.data(), spec.intermediate,
                 scratch);
  }
  for (int64_t r = 0; r < batch->rows; ++r) {
    const int64_t at = r * spec.intermediate + mine.begin;
    switch (spec.mlp) {
      case MlpKind::silu_gated:
        kernels.silu_mul(count, gate.data() + at, up.data() + at, gate.data() + at);
        break;
      case MlpKind::gelu_tanh_gated:
        kernels.gelu_tanh_mul(count, gate.data() + at, up.data() + at, gate.data() + at);
        break;
      case MlpKind::gelu_tanh:
        kernels.gelu_tanh(count, up.data() + at);
        break;
    }
  }
}

void CpuExecutor::Impl::head(const PlanStep& step, int worker) {
  const auto wanted = static_cast<int64_t>(batch->logits_rows.size());
  if (wanted == 0) return;
  const Share rows = share(wanted, 1, worker);
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    norm_row(model->weights.final_norm,
             hidden + batch->logits_rows[static_cast<size_t>(i)] * spec.hidden,
             head_input.data() + i * spec.hidden);
  }
  barrier();
  observe(step, worker, head_input.data(), wanted, spec.hidden);
  const Linear& layer = model->weights.lm_head;
  LinearScratch& scratch = workers[static_cast<size_t>(worker)].linear;
  const LinearInput input{head_input.data(), wanted, spec.hidden};
  const Share mine = share(spec.vocabulary, kRowGrain, worker);
  apply_linear(kernels, layer, input, mine.begin, mine.end, batch->logits, spec.vocabulary,
               scratch);
  if (mine.begin >= mine.end) return;
  for (int64_t i = 0; i < wanted; ++i) {
    float* logits = batch->logits + i * spec.vocabulary + mine.begin;
    const int64_t count = mine.end - mine.begin;
    if (spec.logits_softcap > 0) {
      kernels.softcap(count, spec.scales.logits, spec.logits_softcap, logits);
    } else if (spec.scales.logits != 1) {
      kernels.scale(count, spec.scales.logits, logits);
    }
  }
}

}  // namespace phial

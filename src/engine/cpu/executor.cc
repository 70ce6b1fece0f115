#include "engine/cpu/executor.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "base/checked.h"
#include "engine/cpu/attention.h"
#include "engine/cpu/linear.h"
#include "engine/cpu/rope_table.h"
#include "kernels/packed_layout.h"

namespace phial {
namespace {

// Up to this many rows every worker norms all of them for itself: that takes less time than waiting
// for the others.
constexpr int64_t kOwnRows = 2;

// Slabs of an mlp's inner columns per worker from which on they are shared out evenly enough.
constexpr int64_t kManySlabs = 8;

// Undoes RowOrder::interleaved_heads for one head's values.
void restore_head_order(float* x, int64_t head_dim, float* scratch) {
  for (int64_t i = 0; i < head_dim; ++i) scratch[i] = x[interleaved_row(i, head_dim)];
  std::memcpy(x, scratch, static_cast<size_t>(head_dim) * sizeof(float));
}

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

}  // namespace

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
  const std::unique_ptr<Deal[]> deals;  // one for each step of the plan

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
        attender(kernels, spec, runtime->threads->size()),
        deals(std::make_unique<Deal[]>(plan.size())) {
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
  Deal& deal(const PlanStep& step) const { return deals[static_cast<size_t>(&step - plan.data())]; }
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
                 int worker, const Fn& fn) const {
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

CpuExecutor::CpuExecutor(std::shared_ptr<const Runtime> runtime, std::shared_ptr<const Model> model,
                         std::shared_ptr<const CpuWeights> weights)
    : impl_(std::make_unique<Impl>(std::move(runtime), std::move(model), std::move(weights))) {}

CpuExecutor::~CpuExecutor() = default;

const Plan& CpuExecutor::plan() const { return impl_->plan; }

Status CpuExecutor::run(size_t begin, size_t end, const RowBatch& batch, float* hidden,
                        const StepObserver& observer, const CancelFlag* cancel) {
  Impl& impl = *impl_;
  impl.batch = &batch;
  impl.hidden = hidden;
  impl.observer = observer ? &observer : nullptr;
  impl.cancel = cancel;
  impl.stop = cancel != nullptr && cancel->requested();
  if (impl.stop) return cancelled("forward");
  impl.prepare(begin, end);
  impl.runtime->threads->run([&](int worker) { impl.run_worker(begin, end, worker); });
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
  // For up to `most_rows` rows: just below the least that `gemm` takes, a few may need more.
  const auto fit_rounded = [this](CacheLines& buffer, int64_t most_rows, int64_t width) {
    size_t lines = 0;
    for (const int64_t n : {most_rows, std::min<int64_t>(most_rows, kMinPackedGemmRows - 1)}) {
      if (!any_int8) break;
      lines = std::max(lines, lines_of(quantized_bytes(quantized_shape(packed, n, width))));
    }
    if (any_bf16) lines += lines_of(most_rows * bf16_pairs(width) * kPairBytes);
    if (buffer.size() < lines) buffer.resize(lines);
  };

  workers.resize(static_cast<size_t>(size()));
  for (WorkerScratch& w : workers) {
    if (batch->rows > kMaxGemvRows || batch->logits_rows.size() > kMaxGemvRows) {
      w.linear.panel.reserve(static_cast<size_t>(kPanelColumns * kPanelRows));
      if (any_bf16) w.linear.pairs.reserve(lines_of(kPanelPairs * kPanelRows * kPairBytes));
    }
    w.head.resize(static_cast<size_t>(spec.attention.head_dim));
    w.normed.resize(static_cast<size_t>(kOwnRows * spec.hidden));
    if (any_int8) {
      fit_rounded(w.rounded_normed, kOwnRows, spec.hidden);
      fit_rounded(w.rounded_input, kOwnRows, std::max({spec.hidden, q_width, spec.intermediate}));
      w.linear.gemm.reserve(lines_of(gemm_scratch_bytes(static_cast<int32_t>(batch->rows))));
      if (batch->rows >= kMinPackedGemmRows) {
        fit(w.gate, kSlabColumns);
        fit(w.up, kPackedRows);
      }
    }
  }
  fit_rounded(rounded_normed, batch->rows, spec.hidden);
  fit_rounded(rounded_input, batch->rows, std::max({spec.hidden, q_width, spec.intermediate}));
  for (size_t i = begin; i < end; ++i) deals[i].reset();
  const bool attends =
      std::any_of(plan.begin() + static_cast<int64_t>(begin),
                  plan.begin() + static_cast<int64_t>(end), [](const PlanStep& s) {
                    return s.op == PlanOp::attention_input || s.op == PlanOp::attention;
                  });
  if (!attends) return;
  rope.clear(batch->rows);
  for (const RowSegment& segment : batch->segments) {
    rope.add(segment.first_position, segment.rows, segment.inv_freq);
  }
  attender.prepare(batch->segments);
}

void CpuExecutor::Impl::run_worker(size_t begin, size_t end, int worker) {
  for (size_t i = begin; i < end; ++i) {
    run_step(plan[i], worker);
    const bool may_stop = plan[i].op == PlanOp::mlp_output && cancel != nullptr;
    if (may_stop && worker == 0) stop = cancel->requested();
    barrier();
    // Only here: behind another step's barrier, worker 0 may already be writing the next answer.
    if (may_stop && stop) return;
  }
}

// Between two steps is a barrier: all rows are done when the next begins.
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
      add_projected(step, layer_of(step).attention_out, weights(step).attention_post_norm,
                    attention.data(), worker);
      break;
    case PlanOp::mlp_input:
      mlp_input(step, worker);
      break;
    case PlanOp::mlp_output:
      add_projected(step, layer_of(step).down, weights(step).mlp_post_norm,
                    is_gated(spec.mlp) ? gate.data() : up.data(), worker);
      break;
    case PlanOp::head:
      head(step, worker);
      break;
  }
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
      if (matrices->embedding != nullptr) {
        decode_packed_row(*matrices->embedding, batch->tokens[row], out);
      } else {
        table.decode(batch->tokens[row], out);
      }
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

// Rows as layers read them, also as int8 or bfloat16 in `rounded` unless that is null; what is in
// there is another matter.
LinearInput CpuExecutor::Impl::input_of(const float* x, int64_t rows, int64_t width,
                                        CacheLines* rounded) const {
  LinearInput input{x, rows, width};
  if (rounded == nullptr) return input;
  size_t lines = 0;
  if (any_int8) {
    const QuantizedRows shape = quantized_shape(packed, rows, width);
    input.quantized = place_quantized(shape, rounded->data());
    lines = lines_of(quantized_bytes(shape));
  }
  if (any_bf16 && rows > kMaxGemvRows) {
    input.bf16 = reinterpret_cast<uint32_t*>(rounded->data() + lines);
  }
  return input;
}

// A worker's rows: whole tiles where they are quantized.
Share CpuExecutor::Impl::share_rows(const LinearInput& input, int worker) const {
  const QuantizedRows& tiled = input.quantized;
  if (tiled.scales == nullptr) return share(input.rows, 1, worker);
  const Share tiles = share(tile_count(tiled), 1, worker);
  return {tile_begin(tiled, static_cast<int32_t>(tiles.begin)),
          tile_begin(tiled, static_cast<int32_t>(tiles.end))};
}

// REQUIRES: rows of whole tiles where they are quantized
void CpuExecutor::Impl::round(const LinearInput& input, Share rows, InputCodes codes) const {
  for (int64_t r = rows.begin; r < rows.end && input.bf16 != nullptr; ++r) {
    bf16->round(input.width, input.x + r * input.width, input.bf16 + r * bf16_pairs(input.width));
  }
  const QuantizedRows& tiled = input.quantized;
  if (tiled.scales == nullptr) return;
  packed.quantize({input.x, input.width, tile_of(tiled, static_cast<int32_t>(rows.begin)),
                   tile_of(tiled, static_cast<int32_t>(rows.end)), 0, slab_count(tiled), codes,
                   tiled});
}

// What norm_rows made, also in a step before.
LinearInput CpuExecutor::Impl::normed_rows(bool rounded, int worker) {
  WorkerScratch& own = workers[static_cast<size_t>(worker)];
  if (batch->rows <= kOwnRows) {
    return input_of(own.normed.data(), batch->rows, spec.hidden,
                    rounded ? &own.rounded_normed : nullptr);
  }
  return input_of(normed.data(), batch->rows, spec.hidden, rounded ? &rounded_normed : nullptr);
}

void CpuExecutor::Impl::norm_rows(const NormWeights& norm, bool rounded, int worker) {
  const LinearInput input = normed_rows(rounded, worker);
  const bool own = batch->rows <= kOwnRows;
  const Share mine = own ? Share{0, batch->rows} : share_rows(input, worker);
  float* out = own ? workers[static_cast<size_t>(worker)].normed.data() : normed.data();
  for (int64_t r = mine.begin; r < mine.end; ++r) {
    norm_row(norm, hidden + r * spec.hidden, out + r * spec.hidden);
  }
  round(input, mine, InputCodes::as_needed);
  if (!own) barrier();
}

// Rows that all workers see already.
LinearInput CpuExecutor::Impl::read_rows(const float* x, int64_t rows, int64_t width, bool rounded,
                                         int worker, InputCodes codes) {
  if (!rounded) return input_of(x, rows, width, nullptr);
  const bool own = rows <= kOwnRows;
  const LinearInput input = input_of(
      x, rows, width, own ? &workers[static_cast<size_t>(worker)].rounded_input : &rounded_input);
  round(input, own ? Share{0, rows} : share_rows(input, worker), codes);
  if (!own) barrier();
  return input;
}

void CpuExecutor::Impl::attention_input(const PlanStep& step, int worker) {
  const CpuLayer& layer = layer_of(step);
  const CpuLinear* const linears[] = {&layer.q, &layer.k, &layer.v};
  std::vector<float>* const outputs[] = {&q, &k, &v};
  // A parallel block's mlp reads what is normed here as well.
  const bool rounded = any_rounds({&layer.q, &layer.k, &layer.v, &layer.up, &layer.gate});
  norm_rows(weights(step).attention_norm, rounded, worker);
  const LinearInput input = normed_rows(rounded, worker);
  observe(step, worker, input.x, batch->rows, spec.hidden);
  take_rows(
      step, linears, unit_rows(linears, batch->rows), worker,
      [&](size_t i, int64_t begin, int64_t end) {
        apply(*linears[i], input, begin, end, {outputs[i]->data(), linears[i]->rows()}, worker);
      });
  if (attender.pieces_stand_alone()) return;
  barrier();
  turn_and_store_all(step, worker);
}

// Norms and turns the k of one head of a row and the q of the heads that read it; k and v go to the
// cache.
void CpuExecutor::Impl::turn_and_store(const PlanStep& step, const RowSegment& segment, int64_t row,
                                       int64_t kv_head, int worker) {
  const CpuLayer& layer = layer_of(step);
  const LayerWeights& w = weights(step);
  const AttentionSpec& attn = spec.attention;
  const bool rotates = spec.layer_kinds[static_cast<size_t>(step.layer)].rotates;
  float* scratch = workers[static_cast<size_t>(worker)].head.data();
  const auto turn = [&](const CpuLinear& linear, const NormWeights& norm, float* x) {
    if (!linear.is_packed() && linear.layer->weight.row_order == RowOrder::interleaved_heads) {
      restore_head_order(x, attn.head_dim, scratch);
    }
    if (attn.qk_norm) {
      kernels.rms_norm(attn.head_dim, x, norm.weight.data(), spec.norm_eps, x);
    }
    if (!rotates) return;
    kernels.rope(1, attn.head_dim, spec.rope.rotary, rope.cos(row), rope.sin(row), x);
  };
  const int64_t group = attn.heads / attn.kv_heads;
  float* heads = q.data() + row * q_width + kv_head * group * attn.head_dim;
  for (int64_t h = 0; h < group; ++h) turn(layer.q, w.q_norm, heads + h * attn.head_dim);
  const int64_t at = row * kv_width + kv_head * attn.head_dim;
  turn(layer.k, w.k_norm, k.data() + at);
  attender.store(worker, step.layer, segment, row, kv_head, k.data() + at, v.data() + at);
}

void CpuExecutor::Impl::turn_and_store_all(const PlanStep& step, int worker) {
  const int64_t kv_heads = spec.attention.kv_heads;
  const Share mine = share(batch->rows * kv_heads, 1, worker);
  size_t s = 0;
  for (int64_t item = mine.begin; item < mine.end; ++item) {
    const int64_t row = item / kv_heads;
    while (row >= batch->segments[s].first_row + batch->segments[s].rows) ++s;
    turn_and_store(step, batch->segments[s], row, item % kv_heads, worker);
  }
}

// Pieces that stand alone also turn their q and k and store k and v, which nobody else in this pass
// needs.
void CpuExecutor::Impl::attend(const PlanStep& step, int worker) {
  const auto attend_to = [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; attender.pieces_stand_alone() && piece < end; ++piece) {
      const AttentionRows rows = attender.rows_of(piece);
      for (int64_t r = rows.first; r < rows.first + rows.count; ++r) {
        for (int64_t h = 0; h < rows.kv_heads; ++h) {
          turn_and_store(step, *rows.segment, r, rows.first_kv_head + h, worker);
        }
      }
    }
    attender.attend(worker, step.layer, begin, end, q.data(), attention.data());
  };
  if (attender.pieces_are_alike()) {
    deal(step).take(attender.pieces(), worker, size(), attend_to);
  } else {
    deal(step).take_each(attender.pieces(), [&](int64_t piece) { attend_to(piece, piece + 1); });
  }
}

void CpuExecutor::Impl::add_to_hidden(int64_t row, int64_t begin, int64_t count) {
  float* addend = projected.data() + row * spec.hidden + begin;
  if (spec.scales.residual != 1) kernels.scale(count, spec.scales.residual, addend);
  kernels.add(count, addend, hidden + row * spec.hidden + begin);
}

// hidden += linear(x), each worker for its own columns of hidden; with a norm in between, which
// needs whole rows, for its own rows.
void CpuExecutor::Impl::add_projected(const PlanStep& step, const CpuLinear& linear,
                                      const NormWeights& post_norm, const float* x, int worker) {
  const int64_t width = linear.layer->weight.columns;
  observe(step, worker, x, batch->rows, width);
  const LinearInput input =
      step.op == PlanOp::mlp_output && gates_by_slabs(step)
          ? input_of(nullptr, batch->rows, width, &rounded_input)
          : read_rows(x, batch->rows, width, linear.rounds(batch->rows), worker);
  const bool adds = spec.norm_place == NormPlace::before;
  const CpuLinear* const linears[] = {&linear};
  take_rows(step, linears, unit_rows(linears, batch->rows), worker,
            [&](size_t, int64_t first, int64_t last) {
              by_panels(first, last, [&](int64_t begin, int64_t end) {
                apply(linear, input, begin, end, {projected.data(), spec.hidden}, worker);
                for (int64_t r = 0; adds && r < batch->rows; ++r) {
                  add_to_hidden(r, begin, end - begin);
                }
              });
            });
  if (adds) return;
  barrier();
  const Share rows = share(batch->rows, 1, worker);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    float* row = projected.data() + r * spec.hidden;
    norm_row(post_norm, row, row);
    add_to_hidden(r, 0, spec.hidden);
  }
}

void CpuExecutor::Impl::mlp_input(const PlanStep& step, int worker) {
  const CpuLayer& layer = layer_of(step);
  const bool gated = is_gated(spec.mlp);
  const bool rounded = any_rounds({&layer.up, &layer.gate});
  if (!step.reuses_norm) norm_rows(weights(step).mlp_norm, rounded, worker);
  const LinearInput input = normed_rows(rounded, worker);
  observe(step, worker, input.x, batch->rows, spec.hidden);
  const int64_t width = spec.intermediate;
  if (gates_by_slabs(step)) {
    const int64_t slabs = ceil_div<int64_t>(width, kSlabColumns);
    deal(step).take(slabs, worker, size(), [&](int64_t begin, int64_t end) {
      for (int64_t slab = begin; slab < end; ++slab) gate_slab(layer, input, slab, worker);
    });
    return;
  }
  const CpuLinear* const linears[] = {&layer.up, gated ? &layer.gate : &layer.up};
  // Each worker has gate and up of the same columns.
  take_rows(step, std::span(linears).first(1), unit_rows(linears, batch->rows), worker,
            [&](size_t, int64_t first, int64_t last) {
              by_panels(first, last, [&](int64_t begin, int64_t end) {
                apply(layer.up, input, begin, end, {up.data(), width}, worker);
                if (gated) apply(layer.gate, input, begin, end, {gate.data(), width}, worker);
                for (int64_t r = 0; r < batch->rows; ++r) {
                  const int64_t at = r * width + begin;
                  activate(end - begin, gate.data() + (gated ? at : 0), up.data() + at);
                }
              });
            });
}

// The mlp's nonlinearity: its result replaces the gate's values, or, without a gate, those of up.
void CpuExecutor::Impl::activate(int64_t count, float* gate_values, float* up_values) const {
  switch (spec.mlp) {
    case MlpKind::silu_gated:
      kernels.silu_mul(count, gate_values, up_values, gate_values);
      break;
    case MlpKind::gelu_tanh_gated:
      kernels.gelu_tanh_mul(count, gate_values, up_values, gate_values);
      break;
    case MlpKind::gelu_tanh:
      kernels.gelu_tanh(count, up_values);
      break;
  }
}

// Whether mlp_input leaves what mlp_output reads quantized, and in no other way: with many rows,
// the floats would go to memory and come back from there.
bool CpuExecutor::Impl::gates_by_slabs(const PlanStep& step) const {
  const CpuLayer& layer = layer_of(step);
  return is_gated(spec.mlp) && observer == nullptr && batch->rows >= kMinPackedGemmRows &&
         layer.up.int8 && layer.gate.int8 && layer.down.int8 &&
         ceil_div<int64_t>(spec.intermediate, kSlabColumns) >= kManySlabs * size();
}

void CpuExecutor::Impl::gate_slab(const CpuLayer& layer, const LinearInput& input, int64_t slab,
                                  int worker) {
  WorkerScratch& own = workers[static_cast<size_t>(worker)];
  const int64_t first = slab * kSlabColumns;
  const int64_t last = std::min(first + kSlabColumns, spec.intermediate);
  by_panels(first, last, [&](int64_t begin, int64_t end) {
    float* gates = own.gate.data() + (begin - first);
    apply(layer.up, input, begin, end, {own.up.data(), kPackedRows, begin}, worker);
    apply(layer.gate, input, begin, end, {gates, kSlabColumns, begin}, worker);
    for (int64_t r = 0; r < batch->rows; ++r) {
      activate(end - begin, gates + r * kSlabColumns, own.up.data() + r * kPackedRows);
    }
  });
  const LinearInput gated = input_of(nullptr, batch->rows, spec.intermediate, &rounded_input);
  packed.quantize({own.gate.data(), kSlabColumns, 0, tile_count(gated.quantized), slab, slab + 1,
                   InputCodes::as_needed, gated.quantized});
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
  const CpuLinear& linear = matrices->lm_head;
  // Errors of logits are errors of the result: here a second plane of codes pays, and few rows get
  // that far.
  const LinearInput input = read_rows(head_input.data(), wanted, spec.hidden, linear.rounds(wanted),
                                      worker, InputCodes::wide);
  const CpuLinear* const linears[] = {&linear};
  take_rows(step, linears, unit_rows(linears, wanted), worker,
            [&](size_t, int64_t begin, int64_t end) {
              apply(linear, input, begin, end, {batch->logits, spec.vocabulary}, worker);
              for (int64_t i = 0; i < wanted; ++i) {
                float* logits = batch->logits + i * spec.vocabulary + begin;
                if (spec.logits_softcap > 0) {
                  kernels.softcap(end - begin, spec.scales.logits, spec.logits_softcap, logits);
                } else if (spec.scales.logits != 1) {
                  kernels.scale(end - begin, spec.scales.logits, logits);
                }
              }
            });
}

}  // namespace phial

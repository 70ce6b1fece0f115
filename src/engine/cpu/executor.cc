#include "engine/cpu/executor.h"

#include <algorithm>
#include <cstring>

#include "engine/cpu/executor_impl.h"

namespace phial {

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

// After all workers' round().
void CpuExecutor::Impl::meet_rounded(const LinearInput& input, int worker) const {
  barrier();
  if (input.quantized.scales == nullptr || input.rows < kMinPackedGemmRows) return;
  const Share slabs = share(slab_count(input.quantized), 1, worker);
  list_high(input.quantized, slabs.begin, slabs.end);
  barrier();
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
  if (!own) meet_rounded(input, worker);
}

// Rows that all workers see already.
LinearInput CpuExecutor::Impl::read_rows(const float* x, int64_t rows, int64_t width, bool rounded,
                                         int worker, InputCodes codes) {
  if (!rounded) return input_of(x, rows, width, nullptr);
  const bool own = rows <= kOwnRows;
  const LinearInput input = input_of(
      x, rows, width, own ? &workers[static_cast<size_t>(worker)].rounded_input : &rounded_input);
  round(input, own ? Share{0, rows} : share_rows(input, worker), codes);
  if (!own) meet_rounded(input, worker);
  return input;
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

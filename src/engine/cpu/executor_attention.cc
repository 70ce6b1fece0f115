// The steps of attention: q, k and v, and what attends.
#include <cstring>

#include "engine/cpu/executor_impl.h"

namespace phial {
namespace {

// Undoes RowOrder::interleaved_heads for one head's values.
void restore_head_order(float* x, int64_t head_dim, float* scratch) {
  for (int64_t i = 0; i < head_dim; ++i) scratch[i] = x[interleaved_row(i, head_dim)];
  std::memcpy(x, scratch, static_cast<size_t>(head_dim) * sizeof(float));
}

}  // namespace

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

}  // namespace phial

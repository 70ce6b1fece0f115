// The mlp's first step: gate and up, and the nonlinearity.
#include "engine/cpu/executor_impl.h"

namespace phial {
namespace {

// Slabs of an mlp's inner columns per worker from which on they are shared out evenly enough.
constexpr int64_t kManySlabs = 8;

}  // namespace

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
  list_high(gated.quantized, slab, slab + 1);
}

}  // namespace phial

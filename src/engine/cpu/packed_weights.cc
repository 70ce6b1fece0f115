#include "engine/cpu/packed_weights.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>

#include "base/checked.h"
#include "engine/memory_need.h"

namespace phial {
namespace {

// Panels that a worker takes at a time.
constexpr int64_t kUnitPanels = 4;

// Calls fn(linear of `weights`, linear of `cpu`) for all matrices, in the order in which a pass
// reads them.
template <class Fn>
void each_linear(const Model& model, CpuWeights& cpu, const Fn& fn) {
  const Weights& weights = model.weights;
  cpu.layers.resize(weights.layers.size());
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& from = weights.layers[i];
    CpuLayer& to = cpu.layers[i];
    fn(from.q, to.q);
    fn(from.k, to.k);
    fn(from.v, to.v);
    fn(from.attention_out, to.attention_out);
    fn(from.gate, to.gate);
    fn(from.up, to.up);
    fn(from.down, to.down);
  }
  fn(weights.lm_head, cpu.lm_head);
}

// Kernels load whole cache lines of panels, which lie as they must in every file that phial writes
// and the system maps.
bool is_aligned(const PackedMatrix& panels) {
  return reinterpret_cast<uintptr_t>(panels.data) % kPackedAlignment == 0;
}

// The layout in which `weight` is packed here; none where it is left as it is.
std::optional<PackedLayout> layout_of(const MatrixView& weight, Compute compute) {
  if (weight.is_packed() && !is_aligned(weight.packed)) return weight.packed.layout;
  if (compute != Compute::int8 || weight.empty() || weight.is_packed()) return std::nullopt;
  const std::optional<PackedLayout> layout = packed_layout(weight);
  return layout && layout->is_integer() ? layout : std::nullopt;
}

bool is_integer(const MatrixView& weight) {
  if (weight.is_packed()) return weight.packed.layout.is_integer();
  return layout_of(weight, Compute::int8).has_value();
}

// Of what is not packed, products of many rows may be taken in bfloat16; not of plain numbers with
// more bits.
bool keeps_its_bits(const MatrixView& weight) {
  if (weight.is_packed()) return weight.packed.layout.codes == PackedCodes::f16;
  return !weight.is_affine() &&
         (weight.grid == Grid::f16 || weight.grid == Grid::f32 || weight.grid == Grid::f64);
}

// Where a layer's file has the row `r` of the natural order.
size_t natural_row(const Linear& layer, size_t r) {
  const auto head_rows = static_cast<size_t>(layer.weight.head_rows);
  const size_t within = r % head_rows;
  return r - within +
         static_cast<size_t>(interleaved_row(static_cast<int64_t>(within), layer.weight.head_rows));
}

// A matrix that is being packed.
struct Job {
  const MatrixView* from;
  PackedLayout layout;
  uint8_t* to;
  int64_t panels;
  int64_t first_unit;            // of those of all jobs
  std::atomic<int64_t> left{0};  // panels that are not done yet

  Job(const MatrixView& matrix, const PackedMatrix& out, int64_t first)
      : from(&matrix),
        layout(out.layout),
        to(const_cast<uint8_t*>(out.data)),  // ours until the weights are made
        panels(out.panels()),
        first_unit(first),
        left(panels) {}
};

// The bytes of the codes, as far as they are this matrix's alone.
std::span<const uint8_t> source_bytes(const MatrixView& matrix) {
  if (matrix.is_packed()) {
    const PackedMatrix& packed = matrix.packed;
    return {packed.data, static_cast<size_t>(packed.panels() * packed.layout.panel_bytes)};
  }
  if (!matrix.is_affine()) {
    return {matrix.data, static_cast<size_t>(matrix.rows * matrix.row_stride)};
  }
  const AffineMatrix& affine = matrix.affine;
  return {affine.codes + affine.first_row * affine.code_row_bits / 8,
          static_cast<size_t>(matrix.rows * affine.code_row_bits / 8)};
}

void let_go(const Checkpoint& checkpoint, std::span<const uint8_t> bytes) {
  for (const auto& mapping : checkpoint.mappings) {
    const std::span<const uint8_t> all = mapping->bytes();
    if (std::less_equal<>()(all.data(), bytes.data()) &&
        std::less_equal<>()(bytes.data() + bytes.size(), all.data() + all.size())) {
      return mapping->release(bytes);
    }
  }
}

void run_jobs(const Runtime& runtime, const Checkpoint& checkpoint,
              std::vector<std::unique_ptr<Job>>& jobs) {
  const int64_t units = jobs.back()->first_unit + ceil_div(jobs.back()->panels, kUnitPanels);
  Deal deal;
  runtime.threads->run([&](int) {
    size_t at = 0;
    deal.take_each(units, [&](int64_t unit) {
      while (at + 1 < jobs.size() && jobs[at + 1]->first_unit <= unit) ++at;
      Job& job = *jobs[at];
      const int64_t begin = (unit - job.first_unit) * kUnitPanels;
      const int64_t end = std::min(begin + kUnitPanels, job.panels);
      for (int64_t p = begin; p < end; ++p) {
        uint8_t* to = job.to + p * job.layout.panel_bytes;
        if (job.from->is_packed()) {
          std::memcpy(to, job.from->packed.panel(p), static_cast<size_t>(job.layout.panel_bytes));
        } else {
          pack_panel(job.layout, *job.from, p, to);
        }
      }
      const int64_t done = end - begin;
      if (job.left.fetch_sub(done, std::memory_order_acq_rel) == done) {
        let_go(checkpoint, source_bytes(*job.from));
      }
    });
  });
}

}  // namespace

int64_t packed_weight_bytes(const Model& model, Compute compute) {
  int64_t sum = 0;
  CpuWeights unused;
  each_linear(model, unused, [&](const Linear& from, CpuLinear&) {
    const std::optional<PackedLayout> layout = layout_of(from.weight, compute);
    if (!layout) return;
    const auto bytes = packed_bytes(*layout, from.weight.rows);
    sum = checked_add(sum, bytes.value_or(INT64_MAX)).value_or(INT64_MAX);
  });
  return sum;
}

bool has_integer_weights(const Model& model) {
  CpuWeights unused;
  bool any = false;
  each_linear(model, unused, [&any](const Linear& from, const CpuLinear&) {
    any = any || is_integer(from.weight);
  });
  return any;
}

Result<std::shared_ptr<const CpuWeights>> make_cpu_weights(const Runtime& runtime,
                                                           const Model& model, Compute compute) {
  auto weights = std::make_shared<CpuWeights>();
  const int64_t bytes = packed_weight_bytes(model, compute);
  const bool fp32_helps =
      runtime.memory != nullptr &&
      least_bytes(model.spec, runtime.threads->size(), Numerics{}) <= runtime.memory->left();
  PHIAL_ASSIGN(weights->lease,
               take_memory(runtime.memory, bytes, "packed weights",
                           fp32_helps ? "allow more memory, or compute in fp32, which leaves "
                                        "weights in the file"
                                      : "allow more memory"));
  PHIAL_ASSIGN(weights->panels, PageBuffer::create(bytes));
  std::vector<std::unique_ptr<Job>> jobs;
  uint8_t* next = weights->panels.data();
  int64_t units = 0;
  const bool has_bf16 = compute != Compute::fp32 && bf16_kernels(*runtime.kernels) != nullptr;
  each_linear(model, *weights, [&](const Linear& from, CpuLinear& to) {
    to.layer = &from;
    to.bias = from.bias;
    const std::optional<PackedLayout> layout = layout_of(from.weight, compute);
    to.bf16 = has_bf16 && !keeps_its_bits(from.weight);
    if (from.weight.is_packed()) {
      to.panels = from.weight.packed;
      to.int8 = compute == Compute::int8 && to.panels.layout.is_integer();
    }
    if (!layout) return;
    to.panels = {*layout, from.weight.rows, next};
    to.int8 = compute == Compute::int8 && layout->is_integer();
    if (from.weight.row_order == RowOrder::interleaved_heads) {
      for (size_t r = 0; r < to.bias.size(); ++r) to.bias[r] = from.bias[natural_row(from, r)];
    }
    next += to.panels.panels() * layout->panel_bytes;
    jobs.push_back(std::make_unique<Job>(from.weight, to.panels, units));
    units += ceil_div(jobs.back()->panels, kUnitPanels);
  });
  if (!jobs.empty()) run_jobs(runtime, *model.checkpoint, jobs);
  if (model.spec.tied_embeddings && weights->lm_head.is_packed()) {
    weights->embedding = &weights->lm_head.panels;
  } else if (model.weights.embedding.is_packed()) {
    weights->embedding = &model.weights.embedding.packed;
  }
  return std::shared_ptr<const CpuWeights>(std::move(weights));
}

}  // namespace phial

#include "eval/bench_work.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>

namespace phial {
namespace {

// What a matrix is multiplied as when float32 is not asked for.
enum class Codes : uint8_t { narrow, wide, bf16, other };

Codes codes_of(const MatrixView& matrix) {
  if (matrix.has_affine_grid()) {
    const AffineGrid& grid = matrix.affine.grid;
    const bool integers =
        grid.codes == CodeKind::unsigned_bits || grid.codes == CodeKind::signed_bits;
    return !integers ? Codes::other : grid.bits <= 4 ? Codes::narrow : Codes::wide;
  }
  switch (matrix.grid) {
    case Grid::bf16:
      return Codes::bf16;
    case Grid::f16:
    case Grid::f32:
    case Grid::f64:
    case Grid::f8_e4m3:
    case Grid::f8_e5m2:
      return Codes::other;
    case Grid::q4_0:
    case Grid::q4_1:
    case Grid::q2_k:
    case Grid::q3_k:
    case Grid::q4_k:
    case Grid::mxfp4:  // levels up to 12
    case Grid::tq1_0:
    case Grid::tq2_0:
      return Codes::narrow;
    default:
      return Codes::wide;  // also codebooks, whose levels take 8 bits
  }
}

std::string grid_name(const MatrixView& matrix) {
  if (!matrix.has_affine_grid()) return grid_info(matrix.grid).name;
  const AffineGrid& grid = matrix.affine.grid;
  const bool floats = grid.codes == CodeKind::f8_e4m3 || grid.codes == CodeKind::f8_e5m2;
  const std::string group = grid.group_columns >= matrix.columns
                                ? std::string("rows")
                                : "g" + std::to_string(grid.group_columns);
  return std::to_string(grid.bits) + (floats ? "-bit f8 " : "-bit ") + group;
}

double stored_bytes(const MatrixView& matrix) {
  const auto rows = static_cast<double>(matrix.rows);
  if (!matrix.has_affine_grid())
    return rows * static_cast<double>(row_bytes(matrix.grid, matrix.columns));
  const AffineGrid& grid = matrix.affine.grid;
  const int64_t groups = (matrix.columns + grid.group_columns - 1) / grid.group_columns;
  double group_bits = 8.0 * scale_bytes(grid.scale);
  if (grid.offset == OffsetKind::codes) group_bits += grid.bits;
  if (grid.offset == OffsetKind::real || grid.offset == OffsetKind::minimum) group_bits *= 2;
  const double row_bits = static_cast<double>(matrix.columns) * grid.bits +
                          static_cast<double>(groups) * group_bits / grid.group_rows;
  return rows * row_bits / 8;
}

template <class Visit>
void for_each_layer_matrix(const Weights& weights, const Visit& visit) {
  for (const LayerWeights& layer : weights.layers) {
    for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.attention_out, &layer.gate,
                                 &layer.up, &layer.down}) {
      if (!linear->weight.empty()) visit(linear->weight);
    }
  }
}

double kv_head_bytes(KvType kv, int64_t head_dim) {
  constexpr double kScale = 2;  // bfloat16
  const auto values = static_cast<double>(head_dim);
  switch (kv) {
    case KvType::f32:
      return 4 * values;
    case KvType::f16:
    case KvType::bf16:
      return 2 * values;
    case KvType::int8:
      return values + kScale;
    case KvType::int4:
      return values / 2 + kScale;
  }
  return 0;
}

}  // namespace

double ModelWork::prefill_operations(int64_t tokens) const {
  return 2.0 * static_cast<double>(layer_parameters) * static_cast<double>(tokens);
}

double ModelWork::pass_operations(int64_t tokens) const {
  return 2.0 * static_cast<double>(layer_parameters + head_parameters) *
         static_cast<double>(tokens);
}

ModelWork work_of(const Model& model) {
  ModelWork work;
  for_each_layer_matrix(model.weights, [&](const MatrixView& matrix) {
    work.layer_parameters += matrix.rows * matrix.columns;
    work.weight_bytes += stored_bytes(matrix);
  });
  const MatrixView& head = model.weights.lm_head.weight;
  work.head_parameters = head.rows * head.columns;
  work.weight_bytes += stored_bytes(head);
  return work;
}

double kv_read_bytes(const ModelSpec& spec, KvType kv, int64_t depth) {
  double positions = 0;  // of all layers
  for (const LayerKind& kind : spec.layer_kinds) {
    positions +=
        static_cast<double>(kind.window > 0 ? std::min(depth + 1, kind.window) : depth + 1);
  }
  return positions * 2 * static_cast<double>(spec.attention.kv_heads) *
         kv_head_bytes(kv, spec.attention.head_dim);
}

std::string main_grid(const Model& model) {
  std::map<std::string, int64_t> parameters;
  for_each_layer_matrix(model.weights, [&](const MatrixView& matrix) {
    parameters[grid_name(matrix)] += matrix.rows * matrix.columns;
  });
  const auto most =
      std::max_element(parameters.begin(), parameters.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == parameters.end() ? std::string() : most->first;
}

Probe arithmetic_probe(const Model& model, Compute compute, bool has_bf16) {
  if (compute == Compute::fp32) return Probe::fma;
  std::array<int64_t, 4> parameters = {};
  for_each_layer_matrix(model.weights, [&](const MatrixView& matrix) {
    parameters[static_cast<size_t>(codes_of(matrix))] += matrix.rows * matrix.columns;
  });
  const auto most = std::max_element(parameters.begin(), parameters.end()) - parameters.begin();
  const auto codes = static_cast<Codes>(most);
  const Probe bf16 = has_bf16 ? Probe::bf16 : Probe::fma;
  if (codes == Codes::other) return Probe::fma;
  if (codes == Codes::bf16 || compute == Compute::bf16) return bf16;
  return codes == Codes::narrow ? Probe::int8 : Probe::int8_wide;
}

}  // namespace phial

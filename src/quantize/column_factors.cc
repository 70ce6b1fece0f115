#include "quantize/column_factors.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "quantize/row_encoder.h"
#include "quantize/source_rows.h"

namespace phial {
namespace {

constexpr int64_t kSampleRows = 64;  // of each matrix
// The power of importance, in thirty-seconds: after norms, and between up and down. Larger ones,
// and powers of the columns' own size besides, made the weighted error of SmolLM2-135M less by a
// few percent more, but its KL divergence larger.
constexpr int kNormPower = 5, kUpPower = 3;
constexpr float kMostFactor = 16;

using Place = ColumnFactors::Place;
using Key = std::pair<int64_t, Place>;

// After what the columns of a matrix of this role are.
std::optional<Place> place_before(Role role) {
  switch (role) {
    case Role::q:
    case Role::k:
    case Role::v:
    case Role::qkv:
      return Place::attention_norm;
    case Role::gate:
    case Role::up:
    case Role::gate_up:
      return Place::mlp_norm;
    case Role::down:
      return Place::up;
    default:
      return std::nullopt;
  }
}

std::optional<Place> place_of_norm(Role role) {
  if (role == Role::attention_norm) return Place::attention_norm;
  if (role == Role::mlp_norm) return Place::mlp_norm;
  return std::nullopt;
}

bool has_up(Role role) { return role == Role::up || role == Role::gate_up; }

// What can be divided and what reads it.
struct Readers {
  bool has_source = false, can_scale = true;
  std::vector<const PlannedTensor*> matrices;
  std::vector<const float*> importance;  // of each, [columns]
  std::vector<float> factors;            // what was chosen; empty: none
};

// Rows of one matrix, or of one of those that are fused in it.
struct Sample {
  const PlannedTensor& matrix;
  const float* importance;
  int64_t rows, columns;
  std::vector<float> values;
};

Sample sample_of(const PlannedTensor& matrix, const float* importance, int64_t first,
                 int64_t rows) {
  const int64_t columns = matrix.target.shape[1];
  Sample sample{matrix, importance, std::min(rows, kSampleRows), columns, {}};
  sample.values.resize(static_cast<size_t>(sample.rows * columns));
  for (int64_t r = 0; r < sample.rows; ++r) {
    float* const out = sample.values.data() + r * columns;
    read_rows(matrix.target, first + r * rows / sample.rows, 1, out);
  }
  return sample;
}

// REQUIRES: all matrices have the same number of columns
std::vector<Sample> samples_of(const Readers& readers, const AttentionSpec& attention) {
  std::vector<Sample> samples;
  for (size_t i = 0; i < readers.matrices.size(); ++i) {
    const PlannedTensor& matrix = *readers.matrices[i];
    const auto add = [&](int64_t first, int64_t rows) {
      samples.push_back(sample_of(matrix, readers.importance[i], first, rows));
    };
    const int64_t rows = matrix.target.shape[0];
    const int64_t values = attention.kv_heads * attention.head_dim;
    if (matrix.target.role == Role::qkv) {
      add(0, rows - 2 * values);
      add(rows - 2 * values, values);
      add(rows - values, values);
    } else if (matrix.target.role == Role::gate_up) {
      add(0, rows / 2);
      add(rows / 2, rows / 2);
    } else {
      add(0, rows);
    }
  }
  return samples;
}

// Weighted, of the columns as they were.
double error_of(const Sample& sample, const std::vector<float>& factors, RowEncoder& encoder) {
  const int64_t rows = sample.rows, columns = sample.columns;
  std::vector<float> scaled = sample.values, weighing(static_cast<size_t>(columns));
  for (size_t i = 0; i < scaled.size(); ++i) scaled[i] *= factors[i % factors.size()];
  for (size_t c = 0; c < weighing.size(); ++c) {
    weighing[c] = sample.importance[c] / (factors[c] * factors[c]);
  }
  const StoredGrid& grid = sample.matrix.grid;
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * grid.row_bytes(columns)));
  uint8_t* planes[3] = {bytes.data()};
  encoder.encode(grid, scaled.data(), rows, columns, weighing.data(), planes);
  std::vector<float> decoded(scaled.size());
  RowEncoder::decode(grid, planes, rows, columns, decoded.data());
  double error = 0;
  for (size_t i = 0; i < scaled.size(); ++i) {
    const double off = static_cast<double>(decoded[i]) - static_cast<double>(scaled[i]);
    error += static_cast<double>(weighing[i % weighing.size()]) * off * off;
  }
  return error;
}

// (value / median)^(power / 32), all 1 where the median is 0. Square roots alone: a power of the
// math library differs between machines in its last bits.
std::vector<float> powers_over_median(const float* values, size_t count, int power) {
  std::vector<float> sorted(values, values + count);
  const auto middle = sorted.begin() + static_cast<ptrdiff_t>(count / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  std::vector<float> out(count, 1.0f);
  if (!(*middle > 0)) return out;
  for (size_t c = 0; c < count; ++c) {
    float root = values[c] / *middle;
    for (int i = 0; i < 5; ++i) root = std::sqrt(root);
    for (int i = 0; i < power; ++i) out[c] *= root;
    out[c] = std::clamp(out[c], 1 / kMostFactor, kMostFactor);
  }
  return out;
}

// Takes the factors where they make the errors of the samples less, each relative to what it is
// without.
void choose_for(Readers& readers, int power, const AttentionSpec& attention, RowEncoder& encoder) {
  const std::vector<Sample> samples = samples_of(readers, attention);
  const auto columns = static_cast<size_t>(samples[0].columns);
  const std::vector<float> ones(columns, 1.0f);
  std::vector<float> factors = powers_over_median(readers.importance[0], columns, power);
  double plain = 0, scaled = 0;
  for (const Sample& sample : samples) {
    const double error = error_of(sample, ones, encoder);
    if (!(error > 0)) continue;
    plain += 1;
    scaled += error_of(sample, factors, encoder) / error;
  }
  if (std::isfinite(scaled) && scaled < plain) readers.factors = std::move(factors);
}

bool is_searched(const ConvertPlan& plan, const PlannedTensor& tensor) {
  return tensor.transfer == Transfer::encoded && RowEncoder::weighs(tensor.grid, plan.effort);
}

std::map<Key, Readers> readers_of(const ConvertPlan& plan) {
  std::map<Key, Readers> all;
  for (const PlannedTensor& tensor : plan.tensors) {
    const Role role = tensor.target.role;
    const int64_t layer = tensor.target.layer;
    if (has_up(role)) {
      // A bias would have to be divided too.
      Readers& readers = all[{layer, Place::up}];
      readers.has_source = true;
      readers.can_scale = readers.can_scale && tensor.target.is_matrix() &&
                          is_gated(plan.model->spec.mlp) && is_searched(plan, tensor);
    }
    if (!tensor.target.is_matrix()) {
      if (const auto place = place_of_norm(role)) all[{layer, *place}].has_source = true;
      continue;
    }
    const std::optional<Place> place = place_before(role);
    if (!place) continue;
    Readers& readers = all[{layer, *place}];
    const std::vector<float>* importance = importance_of(*plan.importance, tensor.target);
    readers.can_scale = readers.can_scale && importance != nullptr && is_searched(plan, tensor);
    readers.matrices.push_back(&tensor);
    readers.importance.push_back(importance != nullptr ? importance->data() : nullptr);
  }
  std::erase_if(all, [](const auto& each) {
    const Readers& readers = each.second;
    return !readers.has_source || !readers.can_scale || readers.matrices.empty();
  });
  return all;
}

}  // namespace

Result<ColumnFactors> ColumnFactors::choose(const ConvertPlan& plan, const SearchTable& search,
                                            ThreadPool& threads, const CancelFlag* cancel) {
  ColumnFactors out;
  // In parallel blocks one norm may feed attention and mlp.
  if (plan.format != TargetFormat::gguf || plan.importance == nullptr ||
      plan.effort != Effort::balanced || plan.model->spec.block_order == BlockOrder::parallel) {
    return out;
  }
  std::map<Key, Readers> all = readers_of(plan);
  std::vector<std::pair<const Key, Readers>*> work;
  for (auto& each : all) work.push_back(&each);
  Deal deal;
  threads.run([&](int) {
    RowEncoder encoder(search, plan.effort);
    deal.take_each(static_cast<int64_t>(work.size()), [&](int64_t i) {
      if (!check_cancelled(cancel, "quantize").ok()) return;
      auto& [key, readers] = *work[static_cast<size_t>(i)];
      const int power = key.second == Place::up ? kUpPower : kNormPower;
      choose_for(readers, power, plan.model->spec.attention, encoder);
    });
  });
  PHIAL_TRY(check_cancelled(cancel, "quantize"));
  for (auto& [key, readers] : all) {
    if (!readers.factors.empty()) out.factors_[key] = std::move(readers.factors);
  }
  return out;
}

void Scaling::apply(int64_t first, int64_t count, int64_t row_values, float* values) const {
  for (int64_t r = first; r < first + count; ++r, values += row_values) {
    const float divisor = rows != nullptr && r >= first_row ? rows[r - first_row] : 1.0f;
    for (int64_t c = 0; c < row_values; ++c) {
      values[c] = values[c] * (columns != nullptr ? columns[c] : 1.0f) / divisor;
    }
  }
}

void Scaling::undo(int64_t first, int64_t count, int64_t row_values, float* values) const {
  for (int64_t r = first; r < first + count; ++r, values += row_values) {
    const float factor = rows != nullptr && r >= first_row ? rows[r - first_row] : 1.0f;
    for (int64_t c = 0; c < row_values; ++c) {
      values[c] = values[c] * factor / (columns != nullptr ? columns[c] : 1.0f);
    }
  }
}

const std::vector<float>* ColumnFactors::find(int64_t layer, Place place) const {
  const auto found = factors_.find({layer, place});
  return found != factors_.end() ? &found->second : nullptr;
}

Scaling ColumnFactors::of_matrix(const TargetTensor& matrix) const {
  Scaling scaling;
  const std::optional<Place> place = place_before(matrix.role);
  const std::vector<float>* columns = place ? find(matrix.layer, *place) : nullptr;
  if (columns != nullptr) scaling.columns = columns->data();
  const std::vector<float>* rows = has_up(matrix.role) ? find(matrix.layer, Place::up) : nullptr;
  if (rows != nullptr) {
    scaling.rows = rows->data();
    scaling.first_row = matrix.shape[0] - static_cast<int64_t>(rows->size());
  }
  return scaling;
}

const std::vector<float>* ColumnFactors::of_norm(const TargetTensor& norm) const {
  const std::optional<Place> place = place_of_norm(norm.role);
  return place ? find(norm.layer, *place) : nullptr;
}

}  // namespace phial

#include "quantize/column_factors.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "quantize/row_encoder.h"
#include "quantize/source_rows.h"

namespace phial {
namespace {

constexpr int64_t kSampleRows = 64;  // of each matrix
// Importance to the power of 0, 1, 2, 3, 4 sixteenths; mean squares of columns to that of 0, -1,
// -2 eighths, for columns of large weights have the finer codes as it is.
constexpr int kPowers = 5;
constexpr int kEvenings = 3;
// What the relative error of values counts beside that of queries and keys, much of which moves all
// scores alike: about their shares of the KL divergence on SmolLM2-135M, each quantized alone.
constexpr double kValuesCount = 3;
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
  double counts;
  int64_t rows, columns;
  std::vector<float> values;
  double plain_error = 0;
};

Sample sample_of(const PlannedTensor& matrix, const float* importance, int64_t first, int64_t rows,
                 double counts) {
  const int64_t columns = matrix.target.shape[1];
  Sample sample{matrix, importance, counts, std::min(rows, kSampleRows), columns, {}};
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
    const auto add = [&](int64_t first, int64_t rows, double counts) {
      samples.push_back(sample_of(matrix, readers.importance[i], first, rows, counts));
    };
    const int64_t rows = matrix.target.shape[0];
    const int64_t values = attention.kv_heads * attention.head_dim;
    if (matrix.target.role == Role::qkv) {
      add(0, rows - 2 * values, 1);
      add(rows - 2 * values, values, 1);
      add(rows - values, values, kValuesCount);
    } else if (matrix.target.role == Role::gate_up) {
      add(0, rows / 2, 1);
      add(rows / 2, rows / 2, 1);
    } else {
      add(0, rows, matrix.target.role == Role::v ? kValuesCount : 1);
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

// (value / median)^(1 / 2^times), all 1 where the median is 0. Square roots alone: a power of the
// math library differs between machines in its last bits.
std::vector<float> roots_over_median(const std::vector<float>& values, int times) {
  std::vector<float> sorted = values;
  const auto middle = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  std::vector<float> roots(values.size(), 1.0f);
  if (!(*middle > 0)) return roots;
  for (size_t c = 0; c < values.size(); ++c) {
    roots[c] = values[c] / *middle;
    for (int i = 0; i < times; ++i) roots[c] = std::sqrt(roots[c]);
  }
  return roots;
}

// The sum of squares of each column.
std::vector<float> column_squares(const std::vector<Sample>& samples) {
  std::vector<float> squares(static_cast<size_t>(samples[0].columns));
  for (const Sample& sample : samples) {
    for (size_t i = 0; i < sample.values.size(); ++i) {
      squares[i % squares.size()] += sample.values[i] * sample.values[i];
    }
  }
  return squares;
}

void choose_for(Readers& readers, const AttentionSpec& attention, RowEncoder& encoder) {
  std::vector<Sample> samples = samples_of(readers, attention);
  const auto columns = static_cast<size_t>(samples[0].columns);
  const float* const first = readers.importance[0];
  const std::vector<float> power_roots = roots_over_median({first, first + columns}, 4);
  const std::vector<float> evening_roots = roots_over_median(column_squares(samples), 3);
  double least = 0;
  for (int power = 0; power < kPowers; ++power) {
    for (int evening = 0; evening < (power > 0 ? kEvenings : 1); ++evening) {
      std::vector<float> factors(columns, 1.0f);
      for (size_t c = 0; c < columns; ++c) {
        for (int i = 0; i < power; ++i) factors[c] *= power_roots[c];
        for (int i = 0; i < evening; ++i) factors[c] /= evening_roots[c];
        if (!(factors[c] <= kMostFactor)) factors[c] = kMostFactor;
        if (factors[c] < 1 / kMostFactor) factors[c] = 1 / kMostFactor;
      }
      double sum = 0;
      for (Sample& sample : samples) {
        const double error = error_of(sample, factors, encoder);
        if (power == 0) sample.plain_error = error;
        if (sample.plain_error > 0) sum += sample.counts * error / sample.plain_error;
      }
      if (!std::isfinite(sum)) return;
      if (power == 0) least = sum;
      if (sum < least) {
        least = sum;
        readers.factors = factors;
      }
    }
  }
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
  std::vector<Readers*> work;
  for (auto& [key, readers] : all) work.push_back(&readers);
  Deal deal;
  threads.run([&](int) {
    RowEncoder encoder(search, plan.effort);
    deal.take_each(static_cast<int64_t>(work.size()), [&](int64_t i) {
      if (check_cancelled(cancel, "quantize").ok()) {
        choose_for(*work[static_cast<size_t>(i)], plan.model->spec.attention, encoder);
      }
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

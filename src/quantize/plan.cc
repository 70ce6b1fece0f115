#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/gguf_target.h"
#include "model/hf_target.h"
#include "model/mlx_target.h"
#include "quantize/convert.h"
#include "quantize/recode.h"
#include "quantize/run_buffers.h"
#include "quantize/schemes.h"

namespace phial {
namespace {

// '*' any text, '?' any character. Linear in the product of the lengths.
bool matches_pattern(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

// Floats are multiplied as they lie in a file, and stay what other readers know.
std::optional<PackedLayout> panels_of(const StoredGrid& grid, int64_t columns) {
  const std::optional<PackedLayout> layout =
      grid.has_planes() ? packed_layout(grid.affine(), columns) : packed_layout(grid.grid, columns);
  return layout && layout->is_integer() ? layout : std::nullopt;
}

// The floats that a source computes in, which mlx-lm gives to scales and biases too; f16 for blocks
// of GGUF, whose scales are f16.
ScaleKind source_floats(const Model& model) {
  const MatrixView& matrix =
      model.weights.layers.empty() ? model.weights.embedding : model.weights.layers[0].q.weight;
  if (matrix.has_affine_grid()) {
    const ScaleKind scale = matrix.affine.grid.scale;
    return scale == ScaleKind::e8m0 ? ScaleKind::bf16 : scale;
  }
  if (matrix.grid == Grid::f32) return ScaleKind::f32;
  return matrix.grid == Grid::bf16 ? ScaleKind::bf16 : ScaleKind::f16;
}

class Planner {
 public:
  Planner(const Files& files, std::shared_ptr<const Model> model, const ConvertOptions& options)
      : files_(files), options_(options), scale_(source_floats(*model)) {
    plan_.model = std::move(model);
    plan_.format = options.format;
    plan_.effort = options.effort;
    plan_.importance = options.importance;
  }

  Result<ConvertPlan> plan() {
    PHIAL_TRY(read_rules());
    PHIAL_TRY(make_targets());
    PHIAL_TRY(check_importance());
    if (options_.scheme == "keep") {
      plan_.scheme = "keep";
      PHIAL_TRY(choose_grids(nullptr));
    } else if (options_.scheme.empty() && options_.bits_per_weight) {
      PHIAL_TRY(choose_by_bits());
    } else {
      const Scheme* scheme = &default_scheme(options_.format);
      if (!options_.scheme.empty()) {
        PHIAL_ASSIGN(scheme, find_scheme(options_.format, options_.scheme));
      }
      plan_.scheme = scheme->name;
      PHIAL_TRY(choose_grids(scheme));
    }
    PHIAL_TRY(finish());
    return std::move(plan_);
  }

 private:
  const ModelSpec& spec() const { return plan_.model->spec; }

  Status read_rules() {
    for (const TensorRule& rule : options_.rules) {
      PHIAL_ASSIGN(const StoredGrid grid, grid_by_name(options_.format, rule.grid, scale_));
      rules_.push_back(grid);
    }
    return {};
  }

  Status make_targets() {
    std::vector<TargetTensor> tensors;
    if (options_.format == TargetFormat::gguf) {
      PHIAL_ASSIGN(GgufTarget target, gguf_target(*plan_.model, options_.gguf));
      tensors = std::move(target.tensors);
      plan_.pairs = std::move(target.pairs);
    } else {
      const Fusing fusing =
          options_.format == TargetFormat::phial ? Fusing::apart : Fusing::as_family;
      PHIAL_ASSIGN(HfTarget target, hf_target(files_, *plan_.model, fusing));
      tensors = std::move(target.tensors);
      plan_.files = std::move(target.files);
      config_ = std::move(target.config);
    }
    for (TargetTensor& tensor : tensors) {
      PlannedTensor planned;
      planned.target = std::move(tensor);
      planned.source_grid = planned.target.is_matrix()
                                ? source_grid_name(planned.target.pieces[0].view)
                                : grid_info(Grid::f32).name;
      plan_.tensors.push_back(std::move(planned));
    }
    return {};
  }

  // Not the whole matrix must be known, but what is must fit.
  Status check_importance() {
    if (!options_.importance) return {};
    for (const PlannedTensor& tensor : plan_.tensors) {
      plan_.matrices += tensor.target.is_matrix() ? 1 : 0;
      const auto* found = importance_of(*options_.importance, tensor.target);
      if (found == nullptr) continue;
      ++plan_.important;
      if (static_cast<int64_t>(found->size()) != tensor.target.shape[1]) {
        return invalid_input("imatrix: " + tensor.target.name,
                             fmt::format("has {} columns, the model's matrix {}", found->size(),
                                         tensor.target.shape[1]),
                             "it was made for another model");
      }
    }
    if (plan_.important == 0) {
      return invalid_input("imatrix", "none of its names is a matrix of this model",
                           "it was made for another model");
    }
    return {};
  }

  bool is_known_important() const { return options_.importance != nullptr; }

  // Null: as the source has it.
  Status choose_grids(const Scheme* scheme) {
    std::vector<bool> used(rules_.size());
    for (PlannedTensor& tensor : plan_.tensors) {
      PHIAL_TRY(choose_grid(scheme, tensor, used));
    }
    for (size_t i = 0; i < used.size(); ++i) {
      if (used[i]) continue;
      return usage_error("tensor",
                         fmt::format("no matrix is called '{}'", options_.rules[i].pattern),
                         names_like(options_.rules[i].pattern));
    }
    count();
    return {};
  }

  // An embedding that is the head answers to the head's name, too.
  bool is_meant(const std::string& pattern, const TargetTensor& target) const {
    if (matches_pattern(pattern, target.name)) return true;
    return target.role == Role::token_embedding && spec().tied_embeddings &&
           (pattern == "output.weight" || pattern == "lm_head.weight");
  }

  std::string names_like(const std::string& pattern) const {
    const std::string within = "*" + pattern + "*";
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (tensor.target.is_matrix() && matches_pattern(within, tensor.target.name)) {
        return fmt::format("did you mean '{}'?", within);
      }
    }
    return fmt::format("such as {}", example_name());
  }

  std::string example_name() const {
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (tensor.target.is_matrix() && tensor.target.layer >= 0) return tensor.target.name;
    }
    return plan_.tensors.empty() ? "" : plan_.tensors[0].target.name;
  }

  Status choose_grid(const Scheme* scheme, PlannedTensor& tensor, std::vector<bool>& used) {
    const TargetTensor& target = tensor.target;
    if (!target.is_matrix()) {
      tensor.grid = {};
      if (options_.format != TargetFormat::gguf) tensor.grid.grid = exact_float_grid(target.values);
      return {};
    }
    const int64_t columns = target.shape[1];
    bool by_rule = false;
    for (size_t i = rules_.size(); i-- > 0;) {
      if (!is_meant(options_.rules[i].pattern, target)) continue;
      used[i] = true;
      if (!by_rule) tensor.grid = rules_[i];
      by_rule = true;
    }
    if (!by_rule && scheme == nullptr) {
      tensor.grid = kept_grid(options_.format, target);
    } else if (!by_rule) {
      PHIAL_ASSIGN(
          tensor.grid,
          grid_by_name(options_.format, scheme_grid(*scheme, target, spec(), is_known_important()),
                       scale_));
      if (!tensor.grid.has_planes()) {
        tensor.grid.grid = fallback_grid(tensor.grid.grid, columns);
      }
    }
    PHIAL_TRY(check_columns(tensor));
    tensor.transfer = transfer_of(target, tensor.grid);
    if (options_.format == TargetFormat::phial) tensor.panels = panels_of(tensor.grid, columns);
    return {};
  }

  Status check_columns(const PlannedTensor& tensor) const {
    const int64_t columns = tensor.target.shape[1];
    const int32_t block = tensor.grid.block_columns();
    if (columns % block == 0) return {};
    return usage_error(
        tensor.target.name,
        fmt::format("groups of {} do not divide its rows of {} columns", block, columns),
        fmt::format("would do: {}", known_grids(options_.format, columns)));
  }

  void count() {
    plan_.bytes = 0;
    int64_t weights = 0;
    for (PlannedTensor& tensor : plan_.tensors) {
      const int64_t rows = tensor.target.is_matrix() ? tensor.target.shape[0] : 1;
      const int64_t columns = tensor.weights() / std::max<int64_t>(rows, 1);
      tensor.bytes = static_cast<uint64_t>(
          tensor.panels ? packed_bytes(*tensor.panels, rows).value_or(INT64_MAX)
                        : rows * tensor.grid.row_bytes(columns));
      plan_.bytes += tensor.bytes;
      weights += tensor.weights();
    }
    plan_.bits_per_weight =
        weights == 0 ? 0 : 8.0 * static_cast<double>(plan_.bytes) / static_cast<double>(weights);
  }

  // What rounding costs, in units that compare schemes: the square of a step for each weight, whose
  // bits halve it. Nothing for what comes over as it is.
  double rounding_cost() const {
    double sum = 0;
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (!tensor.target.is_matrix() || tensor.transfer != Transfer::encoded) continue;
      const auto weights = static_cast<double>(tensor.weights());
      bool exact = true;
      for (const TargetRows& piece : tensor.target.pieces) {
        exact = exact && holds_exactly(piece.view, tensor.grid);
      }
      if (!exact) sum += weights * std::exp2(-16.0 * static_cast<double>(tensor.bytes) / weights);
    }
    return sum;
  }

  // The scheme that rounds least; of several that round nothing the smallest.
  Status choose_by_bits() {
    const Scheme* best = nullptr;
    double best_bits = 0, best_cost = 0, least = 0;
    Status first;  // why the first that could not be taken was not
    for (const Scheme& scheme : scheme_table()) {
      if (!has_scheme(options_.format, scheme) || !scheme.is_choice) continue;
      // Groups that do not divide are no choice.
      if (Status status = choose_grids(&scheme); !status.ok()) {
        if (first.ok()) first = std::move(status);
        continue;
      }
      const double bits = plan_.bits_per_weight;
      if (least == 0 || bits < least) least = bits;
      if (bits > *options_.bits_per_weight) continue;
      const double cost = rounding_cost();
      if (best == nullptr || cost < best_cost || (cost == best_cost && bits < best_bits)) {
        best = &scheme;
        best_bits = bits;
        best_cost = cost;
      }
    }
    if (least == 0) return first;
    if (best == nullptr) {
      return usage_error("bits-per-weight",
                         fmt::format("no scheme of {} takes {:.7g} bits or less",
                                     format_name(options_.format), *options_.bits_per_weight),
                         fmt::format("the smallest takes {:.3f}", least));
    }
    plan_.scheme = best->name;
    return choose_grids(best);
  }

  // Of the first matrix of a layer, or of its scales.
  Grid chosen_floats() const {
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (!tensor.target.is_matrix() || tensor.target.layer < 0) continue;
      if (tensor.grid.is_number()) return tensor.grid.grid;
      if (tensor.grid.bits != 0) return tensor.grid.scale_grid();
      break;
    }
    return StoredGrid{.scale = scale_}.scale_grid();
  }

  Status finish() {
    plan_.anonymous_bytes = run_buffer_bytes(plan_);
    for (const NamedTensor& tensor : plan_.model->checkpoint->tensors) {
      plan_.source_bytes += tensor.view.bytes.size();
    }
    plan_.dtype = chosen_floats();
    if (options_.format == TargetFormat::gguf) {
      if (plan_.scheme != "keep") {
        if (const auto type = gguf_file_type(plan_.scheme)) set_file_type(plan_.pairs, *type);
      } else if (plan_.model->checkpoint->format != Checkpoint::Format::gguf) {
        if (const auto type = gguf_file_type(grid_info(plan_.dtype).name)) {
          set_file_type(plan_.pairs, *type);
        }
      }
      return {};
    }
    if (options_.format == TargetFormat::mlx) config_ = mlx_config(config_, mlx_choices());
    plan_.files.push_back(config_file(config_, plan_.dtype));
    return {};
  }

  std::vector<MlxChoice> mlx_choices() const {
    std::vector<MlxChoice> choices;
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (tensor.target.is_matrix()) {
        choices.push_back({tensor.target.name, mlx_quantization(tensor.grid)});
      }
    }
    return choices;
  }

  const Files& files_;
  const ConvertOptions& options_;
  const ScaleKind scale_;
  std::vector<StoredGrid> rules_;  // grids of options_.rules
  Json config_;
  ConvertPlan plan_;
};

}  // namespace

int64_t PlannedTensor::weights() const {
  int64_t n = 1;
  for (const int64_t extent : target.shape) n *= extent;
  return n;
}

Result<ConvertPlan> plan_conversion(const Files& files, std::shared_ptr<const Model> model,
                                    const ConvertOptions& options) {
  return Planner(files, std::move(model), options).plan();
}

}  // namespace phial

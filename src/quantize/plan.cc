#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "model/gguf_target.h"
#include "model/hf_target.h"
#include "model/mlx_target.h"
#include "quantize/allocation.h"
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
    PHIAL_TRY(check_used(used));
    count();
    return {};
  }

  Status check_used(const std::vector<bool>& used) const {
    for (size_t i = 0; i < used.size(); ++i) {
      if (used[i]) continue;
      return usage_error("tensor",
                         fmt::format("no matrix is called '{}'", options_.rules[i].pattern),
                         names_like(options_.rules[i].pattern));
    }
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
      take_grid(tensor, float_grid(target));
      return {};
    }
    StoredGrid grid;
    if (const auto ordered = ordered_grid(target, used)) {
      grid = *ordered;
    } else if (scheme == nullptr) {
      grid = kept_grid(options_.format, target);
    } else {
      const char* const name =
          options_.pure ? scheme->grid : scheme_grid(*scheme, target, spec(), is_known_important());
      PHIAL_ASSIGN(grid, grid_by_name(options_.format, name, scale_));
      if (!grid.has_planes()) grid.grid = fallback_grid(grid.grid, target.shape[1]);
    }
    PHIAL_TRY(check_columns(target, grid));
    take_grid(tensor, grid);
    return {};
  }

  // Of norms, biases and factors.
  StoredGrid float_grid(const TargetTensor& target) const {
    if (options_.format == TargetFormat::gguf) return {};
    return {.grid = exact_float_grid(target.values)};
  }

  // What the last rule that is meant says; notes which rules are.
  std::optional<StoredGrid> ordered_grid(const TargetTensor& target,
                                         std::vector<bool>& used) const {
    std::optional<StoredGrid> ordered;
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (!is_meant(options_.rules[i].pattern, target)) continue;
      used[i] = true;
      ordered = rules_[i];
    }
    return ordered;
  }

  // With all that follows from it.
  void take_grid(PlannedTensor& tensor, const StoredGrid& grid) const {
    tensor.grid = grid;
    tensor.panels.reset();
    int64_t rows = 1, columns = tensor.weights();
    if (tensor.target.is_matrix()) {
      rows = tensor.target.shape[0];
      columns = tensor.target.shape[1];
      tensor.transfer = transfer_of(tensor.target, grid);
      if (options_.format == TargetFormat::phial) tensor.panels = panels_of(grid, columns);
    }
    tensor.bytes =
        static_cast<uint64_t>(tensor.panels ? packed_bytes(*tensor.panels, rows).value_or(INT64_MAX)
                                            : rows * grid.row_bytes(columns));
  }

  Status check_columns(const TargetTensor& target, const StoredGrid& grid) const {
    const int64_t columns = target.shape[1];
    const int32_t block = grid.block_columns();
    if (columns % block == 0) return {};
    return usage_error(
        target.name,
        fmt::format("groups of {} do not divide its rows of {} columns", block, columns),
        fmt::format("would do: {}", known_grids(options_.format, columns)));
  }

  void count() {
    plan_.bytes = 0;
    for (const PlannedTensor& tensor : plan_.tensors) plan_.bytes += tensor.bytes;
    plan_.bits_per_weight = bits_of(plan_.bytes);
  }

  int64_t weights() const {
    int64_t all = 0;
    for (const PlannedTensor& tensor : plan_.tensors) all += tensor.weights();
    return all;
  }

  // For each weight, of so many bytes for all of them.
  double bits_of(uint64_t bytes) const {
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(1, weights()));
  }

  // What `tensor` may become: the grids of the format that its rows fit, what the source has, or
  // what a rule says.
  Result<std::vector<GridOption>> options_of(PlannedTensor tensor, std::vector<bool>& used) const {
    std::vector<StoredGrid> grids;
    if (const auto ordered = ordered_grid(tensor.target, used)) {
      PHIAL_TRY(check_columns(tensor.target, *ordered));
      grids = {*ordered};
    } else {
      grids = written_grids(options_.format, tensor.target.shape[1], scale_);
      std::erase_if(grids, [](const StoredGrid& grid) { return !rounding_error(grid); });
      grids.push_back(kept_grid(options_.format, tensor.target));
    }
    std::vector<GridOption> options;
    for (const StoredGrid& grid : grids) {
      take_grid(tensor, grid);
      options.push_back({.grid = grid, .bytes = tensor.bytes, .loss = loss_of(tensor)});
    }
    return options;
  }

  // Nothing for what comes over as it is.
  double loss_of(const PlannedTensor& tensor) const {
    const bool exact = std::ranges::all_of(tensor.target.pieces, [&](const TargetRows& piece) {
      return holds_exactly(piece.view, tensor.grid);
    });
    return exact ? 0 : sensitivity(tensor.target, spec()) * rounding_error(tensor.grid).value_or(1);
  }

  Status choose_by_bits() {
    if (options_.format == TargetFormat::safetensors) return choose_number_by_bits();
    return choose_mix_by_bits();
  }

  // Files of plain numbers have one kind of them.
  Status choose_number_by_bits() {
    const Scheme* best = nullptr;
    double best_loss = 0, least = 0;
    for (const char* name : {"bf16", "f32"}) {
      PHIAL_ASSIGN(const Scheme* const scheme, find_scheme(options_.format, name));
      PHIAL_TRY(choose_grids(scheme));
      if (least == 0) least = plan_.bits_per_weight;
      if (plan_.bits_per_weight > *options_.bits_per_weight) continue;
      double loss = 0;
      for (const PlannedTensor& tensor : plan_.tensors) {
        if (tensor.target.is_matrix()) loss += loss_of(tensor);
      }
      if (best != nullptr && loss >= best_loss) continue;
      best = scheme;
      best_loss = loss;
    }
    if (best == nullptr) return too_few_bits(least);
    plan_.scheme = best->name;
    return choose_grids(best);
  }

  Error too_few_bits(double least) const {
    return usage_error("bits-per-weight",
                       fmt::format("{:.7g} bits are too few for this model in {}",
                                   *options_.bits_per_weight, format_name(options_.format)),
                       fmt::format("the smallest takes {:.3f}", least));
  }

  // The mix of grids that loses least.
  Status choose_mix_by_bits() {
    std::vector<bool> used(rules_.size());
    std::vector<std::vector<GridOption>> matrices;
    uint64_t floats = 0, least = 0;
    for (PlannedTensor& tensor : plan_.tensors) {
      if (tensor.target.is_matrix()) {
        PHIAL_ASSIGN(auto options, options_of(tensor, used));
        least += std::ranges::min_element(options, {}, &GridOption::bytes)->bytes;
        matrices.push_back(std::move(options));
      } else {
        take_grid(tensor, float_grid(tensor.target));
        floats += tensor.bytes;
      }
    }
    PHIAL_TRY(check_used(used));
    // No option has more than 64 bits: a larger number is as good.
    const double bits = std::min(*options_.bits_per_weight, 64.0);
    const auto most = static_cast<uint64_t>(bits * static_cast<double>(weights()) / 8);
    if (floats + least > most) return too_few_bits(bits_of(floats + least));
    const std::vector<size_t> chosen = allocate_grids(matrices, most - floats).value();
    size_t next = 0;
    for (PlannedTensor& tensor : plan_.tensors) {
      if (!tensor.target.is_matrix()) continue;
      take_grid(tensor, matrices[next][chosen[next]].grid);
      ++next;
    }
    return name_mix();
  }

  // The name of the scheme that gives each tensor the same grid, if one does.
  Status name_mix() {
    std::vector<StoredGrid> mix;
    for (const PlannedTensor& tensor : plan_.tensors) mix.push_back(tensor.grid);
    const auto is_mix = [&] {
      return std::ranges::equal(plan_.tensors, mix, {}, &PlannedTensor::grid);
    };
    plan_.scheme = "mix";
    for (const Scheme& scheme : scheme_table()) {
      if (has_scheme(options_.format, scheme) && choose_grids(&scheme).ok() && is_mix()) {
        plan_.scheme = scheme.name;
        return {};
      }
    }
    for (size_t i = 0; i < mix.size(); ++i) take_grid(plan_.tensors[i], mix[i]);
    count();
    return {};
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

  // Of a mix that has no name, what most of its bytes are in.
  std::optional<uint32_t> file_type() const {
    if (plan_.scheme != "mix") return gguf_file_type(plan_.scheme);
    std::map<Grid, uint64_t> bytes;
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (tensor.target.is_matrix()) bytes[tensor.grid.grid] += tensor.bytes;
    }
    const auto most = std::ranges::max_element(bytes, {}, [](const auto& of) { return of.second; });
    if (most == bytes.end()) return std::nullopt;
    const std::string name = grid_info(most->first).name;
    const auto type = gguf_file_type(name);
    return type ? type : gguf_file_type(name + "_s");
  }

  Status finish() {
    plan_.anonymous_bytes = run_buffer_bytes(plan_);
    for (const NamedTensor& tensor : plan_.model->checkpoint->tensors) {
      plan_.source_bytes += tensor.view.bytes.size();
    }
    plan_.dtype = chosen_floats();
    if (options_.format == TargetFormat::gguf) {
      if (plan_.scheme != "keep") {
        if (const auto type = file_type()) set_file_type(plan_.pairs, *type);
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

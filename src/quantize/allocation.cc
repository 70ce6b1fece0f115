#include "quantize/allocation.h"

#include <algorithm>
#include <queue>

namespace phial {
namespace {

// All of a model's matrices of one kind together.
double kind_sensitivity(Role role, bool tied) {
  constexpr double kQ = 0.04, kK = 0.04, kV = 0.18, kGate = 0.13, kUp = 0.20, kEmbedding = 0.07;
  switch (role) {
    case Role::lm_head:
      return 1;
    case Role::token_embedding:
      return tied ? 1 + kEmbedding : kEmbedding;
    case Role::q:
      return kQ;
    case Role::k:
      return kK;
    case Role::v:
      return kV;
    case Role::qkv:
      return kQ + kK + kV;
    case Role::attention_out:
      return 0.15;
    case Role::gate:
      return kGate;
    case Role::up:
      return kUp;
    case Role::gate_up:
      return kGate + kUp;
    case Role::down:
      return 0.26;
    default:
      return 0;  // no matrices
  }
}

// Of codes of so many bits (2 to 6, 8) in groups of 32, 64 and 128.
double affine_error(int bits, int group) {
  constexpr double kErrors[][3] = {{0.0934, 0.110, 0.119},      {0.0216, 0.0281, 0.0332},
                                   {4.87e-3, 6.74e-3, 8.54e-3}, {1.18e-3, 1.62e-3, 2.08e-3},
                                   {2.76e-4, 3.95e-4, 5.17e-4}, {2.37e-5, 3.00e-5, 3.63e-5}};
  return kErrors[bits == 8 ? 5 : bits - 2][group == 32 ? 0 : group == 64 ? 1 : 2];
}

std::optional<double> block_error(Grid grid) {
  switch (grid) {
    case Grid::q2_k:
      return 0.0708;
    case Grid::q3_k:
      return 0.0211;
    case Grid::mxfp4:
      return 0.0125;
    case Grid::q4_0:
      return 6.72e-3;
    case Grid::iq4_xs:
      return 5.56e-3;
    case Grid::iq4_nl:
      return 5.48e-3;
    case Grid::q4_k:
      return 4.96e-3;
    case Grid::q4_1:
      return 4.87e-3;
    case Grid::q5_0:
      return 1.65e-3;
    case Grid::q5_k:
      return 1.22e-3;
    case Grid::q5_1:
      return 1.18e-3;
    case Grid::q6_k:
      return 2.96e-4;
    case Grid::q8_0:
      return 2.88e-5;
    case Grid::bf16:
      return 2.76e-6;
    case Grid::f16:
      return 4.3e-8;
    case Grid::f32:
      return 0;
    default:
      return std::nullopt;
  }
}

// Of the options larger than option `at`: the next one on the lower convex hull of loss over bytes.
// `at` itself when none saves.
size_t next_on_hull(const std::vector<GridOption>& options, size_t at, double& saved_per_byte) {
  size_t next = at;
  saved_per_byte = 0;
  for (size_t i = 0; i < options.size(); ++i) {
    if (options[i].bytes <= options[at].bytes || options[i].loss >= options[at].loss) continue;
    const double saved = (options[at].loss - options[i].loss) /
                         static_cast<double>(options[i].bytes - options[at].bytes);
    if (saved <= saved_per_byte) continue;
    saved_per_byte = saved;
    next = i;
  }
  return next;
}

struct Step {
  double saved_per_byte;
  size_t matrix, option;

  bool operator<(const Step& other) const {
    if (saved_per_byte != other.saved_per_byte) return saved_per_byte < other.saved_per_byte;
    return matrix > other.matrix;
  }
};

}  // namespace

double sensitivity(const TargetTensor& tensor, const ModelSpec& spec) {
  const double all = kind_sensitivity(tensor.role, spec.tied_embeddings);
  return tensor.layer < 0 ? all : all / static_cast<double>(std::max<int64_t>(1, spec.layers));
}

std::optional<double> rounding_error(const StoredGrid& grid) {
  if (grid.has_planes() && grid.bits != 0) return affine_error(grid.bits, grid.group_columns);
  return block_error(grid.grid);
}

std::optional<std::vector<size_t>> allocate_grids(
    const std::vector<std::vector<GridOption>>& matrices, uint64_t bytes) {
  std::vector<size_t> chosen;
  uint64_t taken = 0;
  for (const auto& options : matrices) {
    const auto smallest = std::ranges::min_element(
        options, {}, [](const GridOption& option) { return std::pair(option.bytes, option.loss); });
    chosen.push_back(static_cast<size_t>(smallest - options.begin()));
    taken += smallest->bytes;
  }
  if (taken > bytes) return std::nullopt;

  std::priority_queue<Step> steps;
  const auto offer = [&](size_t matrix) {
    Step step = {.saved_per_byte = 0, .matrix = matrix, .option = 0};
    step.option = next_on_hull(matrices[matrix], chosen[matrix], step.saved_per_byte);
    if (step.option != chosen[matrix]) steps.push(step);
  };
  for (size_t i = 0; i < matrices.size(); ++i) offer(i);
  while (!steps.empty()) {
    const Step step = steps.top();
    steps.pop();
    const auto& options = matrices[step.matrix];
    const uint64_t more = options[step.option].bytes - options[chosen[step.matrix]].bytes;
    if (more > bytes - taken) continue;
    taken += more;
    chosen[step.matrix] = step.option;
    offer(step.matrix);
  }
  return chosen;
}

}  // namespace phial

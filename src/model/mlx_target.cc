#include "model/mlx_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace phial {
namespace {

struct Mode {
  const char* name;
  CodeKind codes;
  std::span<const int32_t> bits, groups;
};

constexpr int32_t kAffineBits[] = {2, 3, 4, 5, 6, 8};
constexpr int32_t kAffineGroups[] = {32, 64, 128};
constexpr int32_t kMxGroups[] = {32};
constexpr int32_t kMxfp4Bits[] = {4};
constexpr int32_t kMxfp8Bits[] = {8};
constexpr Mode kModes[] = {
    {"affine", CodeKind::unsigned_bits, kAffineBits, kAffineGroups},
    {"mxfp4", CodeKind::f4_e2m1, kMxfp4Bits, kMxGroups},
    {"mxfp8", CodeKind::f8_e4m3, kMxfp8Bits, kMxGroups},
};

constexpr const char* kWhere = "quantization";
constexpr std::string_view kWeight = ".weight";
constexpr int64_t kWordBits = 32;

bool holds(std::span<const int32_t> values, int32_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

Grid grid_of(ScaleKind kind) {
  switch (kind) {
    case ScaleKind::f32:
      return Grid::f32;
    case ScaleKind::f16:
      return Grid::f16;
    case ScaleKind::bf16:
      return Grid::bf16;
    case ScaleKind::e8m0:
      return Grid::u8;
  }
  return Grid::f32;
}

// The group sizes of `quantization`'s mode that divide `columns`, for a message.
std::string fitting_groups(const MlxQuantization& quantization, int64_t columns) {
  std::vector<int32_t> fitting;
  for (const Mode& mode : kModes) {
    if (mode.name != quantization.mode) continue;
    for (const int32_t group : mode.groups) {
      if (columns % group == 0) fitting.push_back(group);
    }
  }
  if (fitting.empty()) return "no group size of MLX does; leave it in floats";
  return fmt::format("these do: {}", fmt::join(fitting, ", "));
}

Json to_json(const MlxQuantization& quantization) {
  Json out;
  out.set("group_size", static_cast<int64_t>(quantization.group_size));
  out.set("bits", static_cast<int64_t>(quantization.bits));
  out.set("mode", quantization.mode);
  return out;
}

// The choice that most matrices have; the first of equals. Null when none is quantized.
const MlxQuantization* most_frequent(std::span<const MlxChoice> choices) {
  const MlxQuantization* best = nullptr;
  std::ptrdiff_t most = 0;
  for (const MlxChoice& choice : choices) {
    if (!choice.quantization) continue;
    const auto count = std::count_if(choices.begin(), choices.end(), [&](const MlxChoice& other) {
      return other.quantization == choice.quantization;
    });
    if (count <= most) continue;
    most = count;
    best = &*choice.quantization;
  }
  return best;
}

}  // namespace

std::string_view mlx_module(std::string_view weight) {
  return weight.ends_with(kWeight) ? weight.substr(0, weight.size() - kWeight.size()) : weight;
}

Result<AffineGrid> mlx_grid(const MlxQuantization& quantization, ScaleKind scale) {
  for (const Mode& mode : kModes) {
    if (mode.name != quantization.mode) continue;
    if (!holds(mode.bits, quantization.bits)) {
      return unsupported(kWhere, fmt::format("{} codes of {} bits", mode.name, quantization.bits),
                         fmt::format("MLX has {}", fmt::join(mode.bits, ", ")));
    }
    if (!holds(mode.groups, quantization.group_size)) {
      return unsupported(kWhere, fmt::format("{} groups of {}", mode.name, quantization.group_size),
                         fmt::format("MLX has {}", fmt::join(mode.groups, ", ")));
    }
    AffineGrid grid{.codes = mode.codes,
                    .bits = quantization.bits,
                    .group_columns = quantization.group_size,
                    .scale = scale,
                    .offset = OffsetKind::minimum};
    if (mode.codes != CodeKind::unsigned_bits) {
      grid.scale = ScaleKind::e8m0;
      grid.offset = OffsetKind::none;
    }
    return grid;
  }
  return unsupported(kWhere, fmt::format("the mode \"{}\"", printable(quantization.mode, 60)),
                     "phial knows affine, mxfp4 and mxfp8");
}

std::string to_text(const MlxQuantization& quantization) {
  if (quantization.mode != "affine") return quantization.mode;
  return fmt::format("{}-bit g{}", quantization.bits, quantization.group_size);
}

Result<std::vector<SafetensorsTensor>> mlx_tensors(
    const TargetTensor& tensor, const std::optional<MlxQuantization>& quantization,
    Grid float_grid) {
  if (!quantization || !tensor.is_matrix()) {
    return std::vector<SafetensorsTensor>{{tensor.name, float_grid, tensor.shape}};
  }
  const std::optional<ScaleKind> scale = scale_kind_of(float_grid);
  if (!scale) {
    return usage_error(tensor.name,
                       fmt::format("scales cannot be stored as {}", grid_info(float_grid).name));
  }
  PHIAL_ASSIGN(const AffineGrid grid, mlx_grid(*quantization, *scale));
  const int64_t rows = tensor.shape[0];
  const int64_t columns = tensor.shape[1];
  if (columns % grid.group_columns != 0) {
    return usage_error(
        tensor.name,
        fmt::format("groups of {} do not divide its {} columns", grid.group_columns, columns),
        fitting_groups(*quantization, columns));
  }
  const std::string module(mlx_module(tensor.name));
  const std::vector<int64_t> groups = {rows, columns / grid.group_columns};
  std::vector<SafetensorsTensor> out = {
      {tensor.name, Grid::u32, {rows, columns * grid.bits / kWordBits}},
      {module + ".scales", grid_of(grid.scale), groups}};
  if (grid.offset == OffsetKind::minimum) {
    out.push_back({module + ".biases", grid_of(grid.scale), groups});
  }
  return out;
}

MlxPlanes encode_mlx_rows(const AffineGrid& grid, std::span<const float> values, int64_t columns) {
  const int64_t rows = static_cast<int64_t>(values.size()) / columns;
  const int64_t code_bytes = columns * grid.bits / 8;
  const int64_t scales = columns / grid.group_columns * scale_bytes(grid.scale);
  MlxPlanes planes;
  planes.weight.resize(static_cast<size_t>(rows * code_bytes));
  planes.scales.resize(static_cast<size_t>(rows * scales));
  if (grid.offset == OffsetKind::minimum) planes.biases.resize(planes.scales.size());
  for (int64_t r = 0; r < rows; ++r) {
    encode_affine_row(grid, values.data() + r * columns, columns,
                      planes.weight.data() + r * code_bytes, planes.scales.data() + r * scales,
                      planes.biases.empty() ? nullptr : planes.biases.data() + r * scales);
  }
  return planes;
}

Json mlx_config(const Json& config, std::span<const MlxChoice> choices) {
  std::map<std::string, Json> members;  // sorted, as mlx-lm writes them
  if (const Json::Object* given = config.if_object()) {
    for (const auto& [key, value] : *given) members.insert_or_assign(key, value);
  }
  if (const MlxQuantization* common = most_frequent(choices)) {
    Json scheme = to_json(*common);
    for (const MlxChoice& choice : choices) {
      // A matrix in floats needs no word: it has no scales.
      if (!choice.quantization || choice.quantization == *common) continue;
      scheme.set(std::string(mlx_module(choice.tensor)), to_json(*choice.quantization));
    }
    members.insert_or_assign("quantization_config", scheme);
    members.insert_or_assign("quantization", std::move(scheme));
  }
  Json::Object sorted;
  for (auto& [key, value] : members) sorted.emplace_back(key, std::move(value));
  return Json(std::move(sorted));
}

}  // namespace phial

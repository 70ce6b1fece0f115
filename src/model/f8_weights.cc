#include "model/f8_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

namespace phial {
namespace {

struct BlockSize {
  int64_t rows = 128, columns = 128;
};

Result<BlockSize> block_size(const Checkpoint& checkpoint) {
  const Json* scheme = checkpoint.config.find("quantization_config");
  const Json* size = scheme == nullptr ? nullptr : scheme->find("weight_block_size");
  if (size == nullptr || size->is_null()) return BlockSize{};
  const Json::Array* items = size->if_array();
  const auto extent = [&](size_t i) -> int64_t {
    const int64_t* value = (*items)[i].if_integer();
    return value != nullptr ? *value : 0;
  };
  if (items == nullptr || items->size() != 2 || extent(0) < 1 || extent(1) < 1) {
    return damaged("config.json: quantization_config.weight_block_size",
                   "expected two positive integers");
  }
  return BlockSize{extent(0), extent(1)};
}

int32_t group_extent(int64_t extent) {
  return static_cast<int32_t>(std::clamp<int64_t>(extent, 1, std::numeric_limits<int32_t>::max()));
}

constexpr int64_t groups(int64_t extent, int64_t group) {
  return extent / group + (extent % group != 0 ? 1 : 0);
}

}  // namespace

Result<F8Weight> bind_f8_weight(const Checkpoint& checkpoint, const NamedTensor& weight,
                                int64_t rows, int64_t columns) {
  F8Weight out;
  const std::string_view ending = ".weight";
  if (!weight.name.ends_with(ending)) return out;
  const std::string base = weight.name.substr(0, weight.name.size() - ending.size());
  const NamedTensor* scales = checkpoint.find(weight.name + "_scale_inv");
  if (scales == nullptr) scales = checkpoint.find(weight.name + "_scale");
  if (scales == nullptr) return out;
  out.companions.push_back(scales);
  for (const char* other : {".input_scale", ".activation_scale"}) {
    if (const NamedTensor* tensor = checkpoint.find(base + other)) out.companions.push_back(tensor);
  }

  const std::string place = scales->file + ": " + scales->name;
  const std::optional<ScaleKind> kind = scale_kind_of(scales->view.grid);
  if (!kind) {
    return unsupported(place, fmt::format("scales are stored as {}; phial reads F32, F16 and BF16",
                                          scales->dtype));
  }
  PHIAL_ASSIGN(const BlockSize block, block_size(checkpoint));
  const std::vector<int64_t>& shape = scales->view.shape;
  const std::vector<int64_t> per_block = {groups(rows, block.rows), groups(columns, block.columns)};
  AffineGrid grid{
      .codes = weight.view.grid == Grid::f8_e4m3 ? CodeKind::f8_e4m3 : CodeKind::f8_e5m2,
      .bits = 8,
      .group_columns = group_extent(columns),
      .group_rows = group_extent(rows),
      .scale = *kind};
  int64_t scale_row = 1;
  if (shape == std::vector<int64_t>{rows} || shape == std::vector<int64_t>{rows, 1}) {
    grid.group_rows = 1;
  } else if (shape == per_block) {
    grid.group_rows = group_extent(block.rows);
    grid.group_columns = group_extent(block.columns);
    scale_row = per_block[1];
  } else if (scales->view.elements() != 1) {
    return damaged(place, fmt::format("expected one scale, one for each of {} rows or [{}] blocks, "
                                      "found the shape [{}]",
                                      rows, fmt::join(per_block, ", "), fmt::join(shape, ", ")));
  }
  out.matrix = {.grid = grid,
                .codes = weight.view.bytes.data(),
                .code_row_bits = columns * 8,
                .scales = scales->view.bytes.data(),
                .scale_row = scale_row};
  return out;
}

}  // namespace phial

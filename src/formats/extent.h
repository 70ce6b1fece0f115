// How many bytes a tensor of a given grid and shape takes, in checked arithmetic.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/checked.h"
#include "tensor/grid.h"

namespace phial {

// Bytes of a tensor of `shape` (slowest axis first; empty: one value). Nothing when an extent is
// negative, when the last axis is no whole number of blocks, or when the number of values or of
// bytes does not fit int64. Axes of zero count as one in the check for overflow, so that the
// product of any of the extents is safe too.
inline std::optional<uint64_t> extent_bytes(Grid grid, std::span<const int64_t> shape) {
  const GridInfo& info = grid_info(grid);
  int64_t values = 1;
  bool has_zero = false;
  for (const int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    has_zero |= extent == 0;
    const std::optional<int64_t> product = checked_mul<int64_t>(values, extent == 0 ? 1 : extent);
    if (!product) return std::nullopt;
    values = *product;
  }
  const int64_t columns = shape.empty() ? 1 : shape.back();
  if (columns % info.block_values != 0) return std::nullopt;
  if (has_zero) return 0;
  const std::optional<int64_t> bytes =
      checked_mul<int64_t>(values / info.block_values, info.block_bytes);
  if (!bytes) return std::nullopt;
  return static_cast<uint64_t>(*bytes);
}

}  // namespace phial

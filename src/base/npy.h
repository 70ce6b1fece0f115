// NumPy .npy files, format version 1.0, little-endian float32, C order
// (numpy.lib.format documentation).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace phial {

inline constexpr size_t kMaxNpyAxes = 32;

// The header of a float32 array of `shape`, to be followed by its values; its size is a multiple of
// 64. REQUIRES: at most kMaxNpyAxes axes
std::string npy_header(std::span<const uint64_t> shape);

struct NpyArray {
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

// Reads a little-endian float32 array in C order, format version 1 to 3. damaged: not such a file,
// or data of another size than the shape asks for; unsupported: another type, order or version, or
// more than kMaxNpyAxes axes. Both name `name`.
Result<NpyArray> parse_npy(std::span<const uint8_t> bytes, std::string_view name);

}  // namespace phial

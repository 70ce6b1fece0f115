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

// The header of a float32 array of `shape`; its size is a multiple of 64.
std::string npy_header(std::span<const uint64_t> shape);

struct NpyArray {
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

// Reads a float32 C-order array of any version. damaged or unsupported, naming `name`.
Result<NpyArray> parse_npy(std::span<const uint8_t> bytes, std::string_view name);

}  // namespace phial

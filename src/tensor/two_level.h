// Scales of two levels: a float16 for the superblock times a small integer for each group.
#pragma once

#include <cmath>
#include <cstdint>

#include "tensor/block_walk.h"
#include "tensor/numbers.h"

namespace phial {

// The float16 d and the integers in [low, high] whose products come near `scales`. The scale of
// largest magnitude takes the integer of largest magnitude: `low`, or `high` when low is 0.
inline uint16_t fit_scales(const float* scales, int count, int low, int high, int16_t* integers) {
  const int extreme = low == 0 ? high : low;
  const uint16_t d = f32_to_f16(largest_value(scales, count) / static_cast<float>(extreme));
  const float inverse = reciprocal(f16_to_f32(d));
  for (int i = 0; i < count; ++i) {
    integers[i] = static_cast<int16_t>(nearest_code(scales[i] * inverse, low, high));
  }
  return d;
}

}  // namespace phial

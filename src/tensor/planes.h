// Codes and scales in the planes of affine grids (affine.h), one by one.
#pragma once

#include <cstdint>

#include "tensor/affine.h"

namespace phial {

// `bits` bits (1 ... 8) from bit `at` of a little-endian stream on; only bytes that hold some of
// them are read or changed.
uint32_t load_bits(const uint8_t* bytes, int64_t at, int bits);
void store_bits(uint32_t code, int64_t at, int bits, uint8_t* bytes);

// The same for `count` codes of `bits` bits each, one after the other.
void load_codes(const uint8_t* bytes, int64_t at, int bits, int64_t count, uint8_t* codes);
void store_codes(const uint8_t* codes, int64_t count, int64_t at, int bits, uint8_t* bytes);

// Number `i` of a plane of scales. Storing rounds to nearest; to E8M0 the exponent is cut.
float load_scale(ScaleKind kind, const uint8_t* bytes, int64_t i);
void store_scale(ScaleKind kind, float value, int64_t i, uint8_t* bytes);

}  // namespace phial

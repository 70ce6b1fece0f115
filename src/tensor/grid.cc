#include "tensor/grid.h"

#include <array>
#include <bit>
#include <cstring>

#include "tensor/block_legacy.h"

namespace phial {
namespace {

constexpr std::array<GridInfo, kGridCount> kGrids = {{
    {Grid::f32, "f32", 1, 4},
    {Grid::f16, "f16", 1, 2},
    {Grid::bf16, "bf16", 1, 2},
    {Grid::q4_1, "q4_1", kLegacyBlockValues, sizeof(BlockQ4_1)},
    {Grid::q8_0, "q8_0", kLegacyBlockValues, sizeof(BlockQ8_0)},
}};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kGrids.size(); ++i) {
    if (static_cast<size_t>(kGrids[i].grid) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());

uint16_t load_u16(const uint8_t* bytes) {
  uint16_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

void store_u16(uint16_t value, uint8_t* bytes) { std::memcpy(bytes, &value, sizeof(value)); }

}  // namespace

std::span<const GridInfo> grid_table() { return kGrids; }

const GridInfo& grid_info(Grid grid) { return kGrids[static_cast<size_t>(grid)]; }

int64_t row_bytes(Grid grid, int64_t columns) {
  const GridInfo& info = grid_info(grid);
  return columns / info.block_values * info.block_bytes;
}

void decode_row(Grid grid, const uint8_t* codes, int64_t values, float* out) {
  switch (grid) {
    case Grid::f32:
      if (values > 0) std::memcpy(out, codes, static_cast<size_t>(values) * sizeof(float));
      return;
    case Grid::f16:
      for (int64_t i = 0; i < values; ++i) out[i] = f16_to_f32(load_u16(codes + 2 * i));
      return;
    case Grid::bf16:
      for (int64_t i = 0; i < values; ++i) out[i] = bf16_to_f32(load_u16(codes + 2 * i));
      return;
    case Grid::q4_1:
      return decode_q4_1(codes, values / kLegacyBlockValues, out);
    case Grid::q8_0:
      return decode_q8_0(codes, values / kLegacyBlockValues, out);
  }
}

void encode_row(Grid grid, const float* values, int64_t count, uint8_t* codes) {
  switch (grid) {
    case Grid::f32:
      if (count > 0) std::memcpy(codes, values, static_cast<size_t>(count) * sizeof(float));
      return;
    case Grid::f16:
      for (int64_t i = 0; i < count; ++i) store_u16(f32_to_f16(values[i]), codes + 2 * i);
      return;
    case Grid::bf16:
      for (int64_t i = 0; i < count; ++i) store_u16(f32_to_bf16(values[i]), codes + 2 * i);
      return;
    case Grid::q4_1:
      return encode_q4_1(values, count / kLegacyBlockValues, codes);
    case Grid::q8_0:
      return encode_q8_0(values, count / kLegacyBlockValues, codes);
  }
}

// binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits; binary32: 1, 8 (bias 127), 23.

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 31u;
  const uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  if (exponent == 31) {
    const uint32_t quiet = fraction ? 0x400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | fraction << 13);
  }
  return std::bit_cast<float>(sign | (exponent + (127 - 15)) << 23 | fraction << 13);
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  // 65520 is halfway between the largest half, 65504, and the next that would be: it rounds up.
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Below 2^-14 a half counts in steps of 2^-24, which is the last place of floats in [0.5, 1).
    const float steps = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(steps) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - ((127u - 15u) << 23)) >> 13));
}

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace phial

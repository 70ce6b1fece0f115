#include "tensor/affine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>

#include "tensor/block_walk.h"
#include "tensor/numbers.h"
#include "tensor/planes.h"

namespace phial {

uint32_t load_bits(const uint8_t* bytes, int64_t at, int bits) {
  const uint8_t* p = bytes + at / 8;
  const int shift = static_cast<int>(at % 8);
  uint32_t word = p[0];
  if (shift + bits > 8) word |= static_cast<uint32_t>(p[1]) << 8;
  return word >> shift & ((1u << bits) - 1);
}

void store_bits(uint32_t code, int64_t at, int bits, uint8_t* bytes) {
  for (int i = 0; i < bits; ++i, ++at) {
    const uint32_t mask = 1u << at % 8;
    const uint32_t bit = code >> i & 1 ? mask : 0;
    bytes[at / 8] = static_cast<uint8_t>((bytes[at / 8] & ~mask) | bit);
  }
}

namespace {

// Codes that fill whole bytes of any width, and fit 64 bits.
constexpr int kRun = 8;
// Codes on their way between planes and numbers.
constexpr int kMostCodes = 128;

// Calls fn with the width as a constant: shifts by constants take half the time. Widths that no
// format in use has go code by code.
template <class Fn>
void with_bits(int bits, const Fn& fn) {
  switch (bits) {
    case 2:
      return fn(std::integral_constant<int, 2>());
    case 3:
      return fn(std::integral_constant<int, 3>());
    case 4:
      return fn(std::integral_constant<int, 4>());
    case 5:
      return fn(std::integral_constant<int, 5>());
    case 6:
      return fn(std::integral_constant<int, 6>());
    case 8:
      return fn(std::integral_constant<int, 8>());
    default:
      return;
  }
}

}  // namespace

void load_codes(const uint8_t* bytes, int64_t at, int bits, int64_t count, uint8_t* codes) {
  int64_t i = 0;
  if (at % 8 == 0) {
    const uint8_t* p = bytes + at / 8;
    const auto load = [&](auto width) {
      constexpr int kBits = decltype(width)::value;
      for (; i + kRun <= count; i += kRun, p += kBits) {
        uint64_t word = 0;
        std::memcpy(&word, p, kBits);
        for (int k = 0; k < kRun; ++k) {
          codes[i + k] = static_cast<uint8_t>(word >> k * kBits & ((uint64_t{1} << kBits) - 1));
        }
      }
    };
    with_bits(bits, load);
  }
  for (; i < count; ++i) codes[i] = static_cast<uint8_t>(load_bits(bytes, at + i * bits, bits));
}

void store_codes(const uint8_t* codes, int64_t count, int64_t at, int bits, uint8_t* bytes) {
  int64_t i = 0;
  if (at % 8 == 0) {
    uint8_t* p = bytes + at / 8;
    const auto store = [&](auto width) {
      constexpr int kBits = decltype(width)::value;
      for (; i + kRun <= count; i += kRun, p += kBits) {
        uint64_t word = 0;
        for (int k = 0; k < kRun; ++k) word |= uint64_t{codes[i + k]} << k * kBits;
        std::memcpy(p, &word, kBits);
      }
    };
    with_bits(bits, store);
  }
  for (; i < count; ++i) store_bits(codes[i], at + i * bits, bits, bytes);
}

float load_scale(ScaleKind kind, const uint8_t* bytes, int64_t i) {
  switch (kind) {
    case ScaleKind::f32:
      return load_number<float>(bytes + 4 * i);
    case ScaleKind::f16:
      return f16_to_f32(load_number<uint16_t>(bytes + 2 * i));
    case ScaleKind::bf16:
      return bf16_to_f32(load_number<uint16_t>(bytes + 2 * i));
    case ScaleKind::e8m0:
      return e8m0_to_f32(bytes[i]);
  }
  return 0;
}

void store_scale(ScaleKind kind, float value, int64_t i, uint8_t* bytes) {
  switch (kind) {
    case ScaleKind::f32:
      return store_number<float>(value, bytes + 4 * i);
    case ScaleKind::f16:
      return store_number<uint16_t>(f32_to_f16(value), bytes + 2 * i);
    case ScaleKind::bf16:
      return store_number<uint16_t>(f32_to_bf16(value), bytes + 2 * i);
    case ScaleKind::e8m0:
      bytes[i] = static_cast<uint8_t>(std::clamp(std::ilogb(value) + 127, 0, 254));
      return;
  }
}

namespace {

bool is_float(CodeKind kind) {
  return kind == CodeKind::f4_e2m1 || kind == CodeKind::f8_e4m3 || kind == CodeKind::f8_e5m2;
}

int float_bits(CodeKind kind) { return kind == CodeKind::f4_e2m1 ? 4 : 8; }

constexpr float kF4Values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};

float f4_to_f32(uint32_t code) { return code & 8 ? -kF4Values[code & 7] : kF4Values[code]; }

// Ties towards 0, beyond the range the largest number; without a negative zero.
uint32_t f32_to_f4(float value) {
  const float magnitude = std::fabs(value);
  uint32_t code = 0;
  while (code < 7 && magnitude > (kF4Values[code] + kF4Values[code + 1]) / 2) ++code;
  return value < 0 && code > 0 ? code | 8 : code;
}

// What the codes of one group mean.
struct Group {
  float scale = 0;
  float zero = 0;
  float minimum = 0;
};

Group group_at(const AffineMatrix& matrix, int64_t row, int64_t group) {
  const AffineGrid& grid = matrix.grid;
  const int64_t group_row = row / grid.group_rows;
  Group out;
  out.scale = load_scale(grid.scale, matrix.scales, group_row * matrix.scale_row + group);
  const int64_t offset = group_row * matrix.offset_row;
  switch (grid.offset) {
    case OffsetKind::none:
      break;
    case OffsetKind::middle:
      out.zero = static_cast<float>(1 << (grid.bits - 1));
      break;
    case OffsetKind::codes:
      out.zero =
          static_cast<float>(load_bits(matrix.offsets, offset + group * grid.bits, grid.bits));
      break;
    case OffsetKind::real:
      out.zero = load_scale(grid.scale, matrix.offsets, offset + group);
      break;
    case OffsetKind::minimum:
      out.minimum = load_scale(grid.scale, matrix.offsets, offset + group);
      break;
  }
  return out;
}

// `code_at(i)` are the bits of code i of the group, `value_of` what they stand for.
template <class CodeAt, class ValueOf>
void decode_values(OffsetKind offset, const CodeAt& code_at, const ValueOf& value_of,
                   const Group& group, int64_t count, float* out) {
  if (offset == OffsetKind::minimum) {
    for (int64_t i = 0; i < count; ++i) out[i] = group.scale * value_of(code_at(i)) + group.minimum;
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = (value_of(code_at(i)) - group.zero) * group.scale;
  }
}

template <class CodeAt>
void decode_codes(const AffineGrid& grid, const CodeAt& code_at, const Group& group, int64_t count,
                  float* out) {
  const auto decode = [&](const auto& value_of) {
    decode_values(grid.offset, code_at, value_of, group, count, out);
  };
  switch (grid.codes) {
    case CodeKind::unsigned_bits:
      return decode([](uint32_t code) { return static_cast<float>(static_cast<int>(code)); });
    case CodeKind::signed_bits: {
      const int sign = 1 << (grid.bits - 1);
      return decode([sign](uint32_t code) {
        return static_cast<float>((static_cast<int>(code) ^ sign) - sign);
      });
    }
    case CodeKind::f4_e2m1:
      return decode([](uint32_t code) { return f4_to_f32(code); });
    case CodeKind::f8_e4m3:
      return decode([](uint32_t code) { return f8_e4m3_to_f32(static_cast<uint8_t>(code)); });
    case CodeKind::f8_e5m2:
      return decode([](uint32_t code) { return f8_e5m2_to_f32(static_cast<uint8_t>(code)); });
  }
}

// The largest number of a float.
float largest_number(CodeKind kind) {
  if (kind == CodeKind::f4_e2m1) return 6.0f;
  return kind == CodeKind::f8_e4m3 ? 448.0f : 57344.0f;
}

// `scale`, or the power of two above it that E8M0 can hold: such a scale has no sign, and codes
// have to be chosen with it as it is stored. 1 for zeros, as in MLX.
float storable(ScaleKind kind, float scale) {
  if (kind != ScaleKind::e8m0) return scale;
  if (scale == 0) return 1;
  const float magnitude = std::max(std::fabs(scale), 0x1p-127f);
  const float below = std::ldexp(1.0f, std::ilogb(magnitude));
  return below == magnitude ? below : 2 * below;
}

// Scale and offset of a group, before they are rounded to how they are stored.
Group choose_group(const AffineGrid& grid, const float* values, int count) {
  const auto top = static_cast<float>((1 << grid.bits) - 1);
  const float middle = static_cast<float>(1 << (grid.bits - 1));
  const auto [low, high] = range_of(values, count);
  Group out;
  switch (grid.offset) {
    case OffsetKind::none:
      if (is_float(grid.codes)) {
        out.scale =
            storable(grid.scale, std::fabs(std::max(high, -low)) / largest_number(grid.codes));
      } else if (grid.codes == CodeKind::signed_bits) {
        out.scale = storable(grid.scale, (-low >= high ? -low : -high) / middle);
      } else {
        out.scale = storable(grid.scale, std::max(high, 0.0f) / top);
      }
      break;
    case OffsetKind::middle:
      out.scale = storable(grid.scale, -largest_value(values, count) / middle);
      out.zero = middle;
      break;
    case OffsetKind::codes: {
      const float from = std::min(low, 0.0f);
      out.scale = storable(grid.scale, (std::max(high, 0.0f) - from) / top);
      out.zero = std::clamp(std::nearbyint(-from * reciprocal(out.scale)), 0.0f, top);
      break;
    }
    case OffsetKind::real:
      out.scale = (std::max(high, 0.0f) - std::min(low, 0.0f)) / top;
      out.zero = -std::min(low, 0.0f) * reciprocal(out.scale);
      break;
    case OffsetKind::minimum: {
      const bool from_low = std::fabs(low) > std::fabs(high);
      const float step = std::max((high - low) / top, 1e-7f);
      const float edge = from_low ? low : high;
      out.scale = from_low ? step : -step;
      const float steps = std::nearbyint(edge / out.scale);
      if (steps != 0) {
        out.scale = edge / steps;
        out.minimum = edge;
      }
      break;
    }
  }
  return out;
}

// MLX divides; so the codes are its own.
float steps_above(const Group& group, float value) { return (value - group.minimum) / group.scale; }

uint32_t choose_code(const AffineGrid& grid, const Group& group, float value) {
  if (grid.codes == CodeKind::f4_e2m1) return f32_to_f4(value * reciprocal(group.scale));
  if (grid.codes == CodeKind::f8_e4m3) return f32_to_f8_e4m3(value * reciprocal(group.scale));
  if (grid.codes == CodeKind::f8_e5m2) return f32_to_f8_e5m2(value * reciprocal(group.scale));
  const int top = (1 << grid.bits) - 1;
  const float steps = grid.offset == OffsetKind::minimum
                          ? steps_above(group, value)
                          : value * reciprocal(group.scale) + group.zero;
  if (grid.codes == CodeKind::signed_bits) {
    const int half = 1 << (grid.bits - 1);
    return static_cast<uint32_t>(nearest_code(steps, -half, half - 1)) & static_cast<uint32_t>(top);
  }
  return static_cast<uint32_t>(nearest_code(steps, 0, top));
}

void choose_codes(const AffineGrid& grid, const Group& group, const float* values, int count,
                  uint8_t* codes) {
  if (grid.codes == CodeKind::unsigned_bits && grid.offset == OffsetKind::minimum) {
    // The codes of MLX by themselves, a loop that compilers make vectors of.
    const int top = (1 << grid.bits) - 1;
    for (int i = 0; i < count; ++i) {
      codes[i] = static_cast<uint8_t>(nearest_code(steps_above(group, values[i]), 0, top));
    }
    return;
  }
  for (int i = 0; i < count; ++i) {
    codes[i] = static_cast<uint8_t>(choose_code(grid, group, values[i]));
  }
}

}  // namespace

std::optional<ScaleKind> scale_kind_of(Grid grid) {
  switch (grid) {
    case Grid::f32:
      return ScaleKind::f32;
    case Grid::f16:
      return ScaleKind::f16;
    case Grid::bf16:
      return ScaleKind::bf16;
    default:
      return std::nullopt;
  }
}

std::string affine_grid_name(const AffineGrid& grid) {
  return "int" + std::to_string(grid.bits) + " g" + std::to_string(grid.group_columns);
}

int scale_bytes(ScaleKind kind) {
  switch (kind) {
    case ScaleKind::f32:
      return 4;
    case ScaleKind::f16:
    case ScaleKind::bf16:
      return 2;
    case ScaleKind::e8m0:
      return 1;
  }
  return 0;
}

Status check_affine(const AffineGrid& grid) {
  const bool wrong_float = is_float(grid.codes) && grid.bits != float_bits(grid.codes);
  if (grid.bits < 1 || grid.bits > 8 || wrong_float) {
    return unsupported("grid", "codes of " + std::to_string(grid.bits) + " bits",
                       "phial knows 1 to 8 bits, and floats of 4 and 8 bits");
  }
  if (grid.group_columns < 1 || grid.group_rows < 1) {
    return unsupported("grid", "groups of " + std::to_string(grid.group_rows) + " x " +
                                   std::to_string(grid.group_columns) + " values");
  }
  const bool is_unsigned = grid.codes == CodeKind::unsigned_bits;
  if (!is_unsigned && (grid.offset == OffsetKind::middle || grid.offset == OffsetKind::codes)) {
    return unsupported("grid", "signed codes with a zero point of codes");
  }
  if (grid.scale == ScaleKind::e8m0 &&
      (grid.offset == OffsetKind::real || grid.offset == OffsetKind::minimum)) {
    return unsupported("grid", "zero points that are powers of two");
  }
  return {};
}

void decode_affine(const AffineMatrix& matrix, int64_t row, int64_t column, int64_t count,
                   float* out) {
  const AffineGrid& grid = matrix.grid;
  const int64_t plane_row = matrix.first_row + row;
  const int64_t row_bits = plane_row * matrix.code_row_bits;
  const int64_t end = column + count;
  while (column < end) {
    const int64_t index = column / grid.group_columns;
    const Group group = group_at(matrix, plane_row, index);
    const int64_t values = std::min(end, (index + 1) * grid.group_columns) - column;
    const int64_t bits = row_bits + column * grid.bits;
    if (grid.bits == 8 && bits % 8 == 0) {
      const uint8_t* codes = matrix.codes + bits / 8;
      decode_codes(
          grid, [codes](int64_t i) { return codes[i]; }, group, values, out);
    } else {
      for (int64_t from = 0; from < values; from += kMostCodes) {
        const int64_t run = std::min<int64_t>(kMostCodes, values - from);
        uint8_t codes[kMostCodes];
        load_codes(matrix.codes, bits + from * grid.bits, grid.bits, run, codes);
        decode_codes(
            grid, [&codes](int64_t i) { return codes[i]; }, group, run, out + from);
      }
    }
    column += values;
    out += values;
  }
}

void encode_affine_row(const AffineGrid& grid, const float* values, int64_t columns, uint8_t* codes,
                       uint8_t* scales, uint8_t* offsets) {
  for (int64_t begin = 0, index = 0; begin < columns; begin += grid.group_columns, ++index) {
    const int count = static_cast<int>(std::min<int64_t>(grid.group_columns, columns - begin));
    const Group group = choose_group(grid, values + begin, count);
    for (int64_t from = begin; from < begin + count; from += kMostCodes) {
      const int run = static_cast<int>(std::min<int64_t>(kMostCodes, begin + count - from));
      uint8_t chosen[kMostCodes];
      choose_codes(grid, group, values + from, run, chosen);
      store_codes(chosen, run, from * grid.bits, grid.bits, codes);
    }
    store_scale(grid.scale, group.scale, index, scales);
    if (grid.offset == OffsetKind::codes) {
      store_bits(static_cast<uint32_t>(group.zero), index * grid.bits, grid.bits, offsets);
    } else if (grid.offset == OffsetKind::real) {
      store_scale(grid.scale, group.zero, index, offsets);
    } else if (grid.offset == OffsetKind::minimum) {
      store_scale(grid.scale, group.minimum, index, offsets);
    }
  }
}

}  // namespace phial

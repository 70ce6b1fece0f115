#include "tensor/packed.h"

#include <algorithm>

#include "base/checked.h"
#include "tensor/block_codebook.h"
#include "tensor/block_k.h"
#include "tensor/numbers.h"

namespace phial {
namespace {

int chunk_bytes(PackedCodes codes) {
  switch (codes) {
    case PackedCodes::bits2:
      return 2 * kLineBytes;
    case PackedCodes::bits3:
      return 3 * kLineBytes;
    case PackedCodes::bits4:
      return 4 * kLineBytes;
    case PackedCodes::bits5:
      return 5 * kLineBytes;
    case PackedCodes::bits6:
      return 6 * kLineBytes;
    case PackedCodes::bits8:
      return 8 * kLineBytes;
    case PackedCodes::bf16:
    case PackedCodes::f16:
      return 16 * kLineBytes;
  }
  return 0;
}

int scale_bytes(PackedScales scales) {
  switch (scales) {
    case PackedScales::f32:
      return 4;
    case PackedScales::f16:
    case PackedScales::bf16:
      return 2;
    case PackedScales::e8m0:
    case PackedScales::e8m0_half:
      return 1;
    default:
      return 0;
  }
}

// Bytes of the scales of one superblock and one row.
int super_bytes(PackedScales scales) {
  switch (scales) {
    case PackedScales::q2_k:
      return 20;
    case PackedScales::q3_k:
      return 14;
    case PackedScales::q4_k:
      return 16;
    case PackedScales::q6_k:
      return 18;
    case PackedScales::iq4_xs:
      return 8;
    default:
      return 0;
  }
}

struct Kind {
  PackedCodes codes;
  PackedScales scales;
  int32_t group;
  int32_t zero = 0;
  PackedOffsets offsets = PackedOffsets::none;
  PackedBook book = PackedBook::linear;
};

std::optional<Kind> kind_of(Grid grid) {
  using C = PackedCodes;
  using S = PackedScales;
  constexpr PackedOffsets kMinimum = PackedOffsets::minimum;
  constexpr PackedOffsets kNone = PackedOffsets::none;
  switch (grid) {
    case Grid::bf16:
      return Kind{C::bf16, S::none, 0};
    case Grid::f16:
      return Kind{C::f16, S::none, 0};
    case Grid::q4_0:
      return Kind{C::bits4, S::f16, 32, 8};
    case Grid::q4_1:
      return Kind{C::bits4, S::f16, 32, 0, kMinimum};
    case Grid::q5_0:
      return Kind{C::bits5, S::f16, 32, 16};
    case Grid::q5_1:
      return Kind{C::bits5, S::f16, 32, 0, kMinimum};
    case Grid::q8_0:
      return Kind{C::bits8, S::f16, 32, 128};
    case Grid::q2_k:
      return Kind{C::bits2, S::q2_k, 16, 0, kMinimum};
    case Grid::q3_k:
      return Kind{C::bits3, S::q3_k, 16, 4};
    case Grid::q4_k:
      return Kind{C::bits4, S::q4_k, 32, 0, kMinimum};
    case Grid::q5_k:
      return Kind{C::bits5, S::q4_k, 32, 0, kMinimum};
    case Grid::q6_k:
      return Kind{C::bits6, S::q6_k, 16, 32};
    case Grid::iq4_nl:
      return Kind{C::bits4, S::f16, 32, 0, kNone, PackedBook::iq4};
    case Grid::iq4_xs:
      return Kind{C::bits4, S::iq4_xs, 32, 0, kNone, PackedBook::iq4};
    case Grid::mxfp4:
      return Kind{C::bits4, S::e8m0_half, 32, 0, kNone, PackedBook::mxfp4};
    case Grid::tq2_0:
      return Kind{C::bits2, S::f16, kSuperblockValues, 1};
    default:
      return std::nullopt;
  }
}

std::optional<PackedCodes> codes_of(int32_t bits) {
  switch (bits) {
    case 2:
      return PackedCodes::bits2;
    case 3:
      return PackedCodes::bits3;
    case 4:
      return PackedCodes::bits4;
    case 5:
      return PackedCodes::bits5;
    case 6:
      return PackedCodes::bits6;
    case 8:
      return PackedCodes::bits8;
    default:
      return std::nullopt;
  }
}

PackedScales scales_of(ScaleKind kind) {
  switch (kind) {
    case ScaleKind::f32:
      return PackedScales::f32;
    case ScaleKind::f16:
      return PackedScales::f16;
    case ScaleKind::bf16:
      return PackedScales::bf16;
    case ScaleKind::e8m0:
      return PackedScales::e8m0;
  }
  return PackedScales::none;
}

std::optional<PackedOffsets> offsets_of(const AffineGrid& grid) {
  switch (grid.offset) {
    case OffsetKind::none:
    case OffsetKind::middle:
      return PackedOffsets::none;
    case OffsetKind::codes:
      if (grid.bits == 4) return PackedOffsets::codes4;
      if (grid.bits == 8) return PackedOffsets::codes8;
      return std::nullopt;
    case OffsetKind::real:
      return PackedOffsets::real;
    case OffsetKind::minimum:
      return PackedOffsets::minimum;
  }
  return std::nullopt;
}

// The columns of a group as panels have them; 0 where they cannot.
int32_t packed_group_columns(int64_t group, int64_t columns) {
  if (group >= columns) {
    // One group: as wide as it takes.
    const int64_t width = ceil_div<int64_t>(columns, kSlabColumns) * kSlabColumns;
    return width <= (int64_t{1} << 30) ? static_cast<int32_t>(width) : 0;
  }
  const bool divides = group >= 16 && kSlabColumns % group == 0;
  return divides || group % kSlabColumns == 0 ? static_cast<int32_t>(group) : 0;
}

int offset_bytes(const PackedLayout& layout) {
  switch (layout.offsets) {
    case PackedOffsets::none:
      return 0;
    case PackedOffsets::codes4:
      return kPackedRows / 2;
    case PackedOffsets::codes8:
      return kPackedRows;
    case PackedOffsets::real:
    case PackedOffsets::minimum:
      return layout.scale_bytes;
  }
  return 0;
}

// Fills in what is derived; nothing where a number overflows.
std::optional<PackedLayout> complete(const Kind& kind, int64_t columns) {
  constexpr int64_t kMostColumns = int64_t{1} << 40;
  if (columns < 1 || columns > kMostColumns) return std::nullopt;
  PackedLayout layout;
  layout.codes = kind.codes;
  layout.book = kind.book;
  layout.scales = kind.scales;
  layout.offsets = kind.offsets;
  layout.zero = kind.zero;
  layout.group = kind.group;
  layout.columns = columns;
  layout.chunk_bytes = chunk_bytes(kind.codes);
  layout.super_bytes = kPackedRows * super_bytes(kind.scales);
  layout.scale_bytes = kPackedRows * scale_bytes(kind.scales);
  layout.offset_bytes = layout.super_bytes > 0 ? 0 : offset_bytes(layout);
  if (layout.is_wide()) {
    const int64_t groups = ceil_div<int64_t>(columns, layout.group);
    layout.front_bytes =
        ceil_div<int64_t>(groups * (layout.scale_bytes + layout.offset_bytes), 64) * 64;
  }
  const int64_t last = slab_count(layout) - 1;
  const int64_t chunks = slab_columns(layout, last) / kChunkColumns;
  const int64_t bytes = slab_parts(layout, last).chunks + chunks * layout.chunk_bytes;
  layout.panel_bytes = ceil_div<int64_t>(bytes, 64) * 64;
  return layout;
}

template <class T>
T number_at(const uint8_t* numbers, int row) {
  return load_number<T>(numbers + row * static_cast<int>(sizeof(T)));
}
float f16_at(const uint8_t* numbers, int row) {
  return f16_to_f32(number_at<uint16_t>(numbers, row));
}

float load_scale(PackedScales scales, const uint8_t* numbers, int row) {
  switch (scales) {
    case PackedScales::f32:
      return number_at<float>(numbers, row);
    case PackedScales::f16:
      return f16_at(numbers, row);
    case PackedScales::bf16:
      return bf16_to_f32(number_at<uint16_t>(numbers, row));
    case PackedScales::e8m0:
      return e8m0_to_f32(numbers[row]);
    case PackedScales::e8m0_half:
      return mxfp4_scale(numbers[row]);
    default:
      return 0;
  }
}

// Of a superblock: `super` holds the float16 fields, then the bytes of the scales, 64 rows each.
PackedGroup super_group(const PackedLayout& layout, const uint8_t* super, int row, int g) {
  constexpr int kHalfBytes = 2 * kPackedRows;
  const bool has_minimum = layout.offsets == PackedOffsets::minimum;
  const uint8_t* bytes = super + (has_minimum ? 2 : 1) * kHalfBytes;
  const auto byte = [&](int i) { return static_cast<int>(bytes[i * kPackedRows + row]); };
  const float d = f16_at(super, row);
  int sc = 0, m = 0;
  switch (layout.scales) {
    case PackedScales::q2_k:
      sc = byte(g) & 15;
      m = byte(g) >> 4;
      break;
    case PackedScales::q3_k:
      sc = ((byte(g % 8) >> g / 8 * 4 & 15) | (byte(8 + g % 4) >> g / 4 * 2 & 3) << 4) - 32;
      break;
    case PackedScales::q4_k:
      sc = g < 4 ? byte(g) & 63 : (byte(g + 4) & 15) | (byte(g - 4) >> 6) << 4;
      m = g < 4 ? byte(g + 4) & 63 : byte(g + 4) >> 4 | (byte(g) >> 6) << 4;
      break;
    case PackedScales::q6_k:
      sc = static_cast<int8_t>(byte(g));
      break;
    case PackedScales::iq4_xs:
      sc = ((byte(2 + g / 2) >> g % 2 * 4 & 15) | (byte(g / 4) >> g % 4 * 2 & 3) << 4) - 32;
      break;
    default:
      break;
  }
  PackedGroup group;
  group.scale = d * static_cast<float>(sc);
  if (has_minimum) group.minimum = -(f16_at(super + kHalfBytes, row) * static_cast<float>(m));
  return group;
}

}  // namespace

std::optional<PackedLayout> packed_layout(Grid grid, int64_t columns) {
  const std::optional<Kind> kind = kind_of(grid);
  if (!kind || columns % grid_info(grid).block_values != 0) return std::nullopt;
  return complete(*kind, columns);
}

std::optional<PackedLayout> packed_layout(const AffineGrid& grid, int64_t columns) {
  const std::optional<PackedCodes> codes = codes_of(grid.bits);
  const std::optional<PackedOffsets> offsets = offsets_of(grid);
  const bool is_signed = grid.codes == CodeKind::signed_bits;
  if (!codes || !offsets || grid.group_rows != 1 || columns < 1) return std::nullopt;
  if (!is_signed && grid.codes != CodeKind::unsigned_bits) return std::nullopt;
  const int32_t group = packed_group_columns(grid.group_columns, columns);
  if (group == 0) return std::nullopt;
  // Nobody writes these, and every pair of codes and groups costs kernels.
  if (group == 16 && (grid.bits == 5 || grid.bits == 8)) return std::nullopt;
  const bool middle = is_signed || grid.offset == OffsetKind::middle;
  return complete(
      {*codes, scales_of(grid.scale), group, middle ? 1 << (grid.bits - 1) : 0, *offsets}, columns);
}

std::optional<PackedLayout> packed_layout(const MatrixView& matrix) {
  return matrix.is_affine() ? packed_layout(matrix.affine.grid, matrix.columns)
                            : packed_layout(matrix.grid, matrix.columns);
}

std::optional<int64_t> packed_bytes(const PackedLayout& layout, int64_t rows) {
  return checked_mul(ceil_div<int64_t>(rows, kPackedRows), layout.panel_bytes);
}

PackedGroup packed_group(const PackedLayout& layout, const uint8_t* panel, int row,
                         int64_t column) {
  if (!layout.is_integer()) return {1, 0, 0};
  const SlabParts parts = slab_parts(layout, column / kSlabColumns);
  const int g = layout.is_wide() ? 0 : static_cast<int>(column % kSlabColumns / layout.group);
  if (layout.super_bytes > 0) return super_group(layout, panel + parts.scales, row, g);
  PackedGroup group;
  group.scale = load_scale(layout.scales, panel + parts.scales + g * layout.scale_bytes, row);
  const uint8_t* offsets = panel + parts.offsets + g * layout.offset_bytes;
  switch (layout.offsets) {
    case PackedOffsets::none:
      break;
    case PackedOffsets::codes4:
      group.zero = static_cast<float>(offsets[row % 32] >> row / 32 * 4 & 15);
      break;
    case PackedOffsets::codes8:
      group.zero = static_cast<float>(offsets[row]);
      break;
    case PackedOffsets::real:
      group.zero = load_scale(layout.scales, offsets, row);
      break;
    case PackedOffsets::minimum:
      group.minimum = load_scale(layout.scales, offsets, row);
      break;
  }
  return group;
}

uint32_t packed_code(const PackedLayout& layout, const uint8_t* panel, int row, int64_t column) {
  const int in_slab = static_cast<int>(column % kSlabColumns);
  const uint8_t* chunk = panel + slab_parts(layout, column / kSlabColumns).chunks +
                         in_slab / kChunkColumns * layout.chunk_bytes;
  const int i = in_slab % kChunkColumns;
  if (layout.codes == PackedCodes::bf16) {
    return load_number<uint16_t>(chunk + i / 2 * kLineBytes + row * 4 + i % 2 * 2);
  }
  if (layout.codes == PackedCodes::f16) {
    return load_number<uint16_t>(chunk + i * 2 * kPackedRows + row * 2);
  }
  const int step = i / 4;
  const uint8_t* at = chunk + row * 4 + i % 4;
  const auto line = [&](int l, int shift, int mask) {
    return static_cast<uint32_t>(at[l * kLineBytes] >> shift & mask);
  };
  const auto nibble = [&] { return line(step % 4, step / 4 * 4, 15); };
  const auto pair = [&](int first) { return line(first + step / 4, step % 4 * 2, 3); };
  switch (layout.codes) {
    case PackedCodes::bits2:
      return pair(0);
    case PackedCodes::bits3:
      return pair(0) | line(2, step, 1) << 2;
    case PackedCodes::bits4:
      return nibble();
    case PackedCodes::bits5:
      return nibble() | line(4, step, 1) << 4;
    case PackedCodes::bits6:
      return nibble() | pair(4) << 4;
    default:
      return line(step, 0, 255);
  }
}

int32_t packed_level(const PackedLayout& layout, uint32_t code) {
  switch (layout.book) {
    case PackedBook::iq4:
      return kIq4Levels[code];
    case PackedBook::mxfp4:
      return kMxfp4Levels[code];
    case PackedBook::linear:
      break;
  }
  return static_cast<int32_t>(code) - layout.zero;
}

float packed_value(const PackedLayout& layout, const uint8_t* panel, int row, int64_t column) {
  const uint32_t code = packed_code(layout, panel, row, column);
  if (layout.codes == PackedCodes::bf16) return bf16_to_f32(static_cast<uint16_t>(code));
  if (layout.codes == PackedCodes::f16) return f16_to_f32(static_cast<uint16_t>(code));
  return packed_number(layout, packed_group(layout, panel, row, column),
                       static_cast<float>(packed_level(layout, code)));
}

}  // namespace phial

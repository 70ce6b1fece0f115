// Rows out of panels: as values, and as the blocks or planes that they came from. What
// packed_pack.cc does, the other way round.

#include <algorithm>
#include <cstring>

#include "tensor/block_legacy.h"
#include "tensor/numbers.h"
#include "tensor/packed.h"
#include "tensor/packed_steps.h"
#include "tensor/planes.h"

namespace phial {
namespace {

// The words of one row in the lines of a chunk.
struct RowLines {
  const uint8_t* words;  // of the first line
  uint32_t word(int line) const { return load_number<uint32_t>(words + line * kLineBytes); }

  void nibbles(Steps& steps) const {
    for (int j = 0; j < kSteps / 2; ++j) {
      steps[j] = word(j) & kNibbles;
      steps[j + kSteps / 2] = word(j) >> 4 & kNibbles;
    }
  }
  void pairs(int first_line, int raise, Steps& steps) const {
    for (int s = 0; s < kSteps; ++s) {
      steps[s] |= (word(first_line + s / 4) >> s % 4 * 2 & kPairs) << raise;
    }
  }
  void bits(int line, int raise, Steps& steps) const {
    for (int s = 0; s < kSteps; ++s) steps[s] |= (word(line) >> s & kBits) << raise;
  }
};

void read_steps(PackedCodes codes, const RowLines& lines, Steps& steps) {
  std::fill_n(steps, kSteps, 0u);
  switch (codes) {
    case PackedCodes::bits2:
      return lines.pairs(0, 0, steps);
    case PackedCodes::bits3:
      lines.pairs(0, 0, steps);
      return lines.bits(2, 2, steps);
    case PackedCodes::bits4:
      return lines.nibbles(steps);
    case PackedCodes::bits5:
      lines.nibbles(steps);
      return lines.bits(4, 4, steps);
    case PackedCodes::bits6:
      lines.nibbles(steps);
      return lines.pairs(4, 4, steps);
    default:
      for (int s = 0; s < kSteps; ++s) steps[s] = lines.word(s);
      return;
  }
}

// Two-byte numbers of one row and chunk.
void read_halves(PackedCodes codes, const uint8_t* chunk, int row, int64_t columns, uint8_t* out) {
  for (int64_t i = 0; i < std::min<int64_t>(columns, kChunkColumns); ++i) {
    const uint8_t* from = codes == PackedCodes::bf16
                              ? chunk + i / 2 * kLineBytes + row * 4 + i % 2 * 2
                              : chunk + i * 2 * kPackedRows + row * 2;
    std::memcpy(out + 2 * i, from, 2);
  }
}

// Calls fn(chunk, column) for all chunks of a panel.
template <class Fn>
void each_chunk(const PackedLayout& layout, const uint8_t* panel, const Fn& fn) {
  for (int64_t slab = 0; slab < slab_count(layout); ++slab) {
    const uint8_t* chunks = panel + slab_parts(layout, slab).chunks;
    for (int64_t c = 0; c * kChunkColumns < slab_columns(layout, slab); ++c) {
      fn(chunks + c * layout.chunk_bytes, slab * kSlabColumns + c * kChunkColumns);
    }
  }
}

// Codes into blocks that begin as zeros.
void put_word(uint32_t word, uint8_t* out, int i) { store_number<uint32_t>(word, out + 4 * i); }

void put_nibbles(const Steps& steps, uint8_t* qs) {
  for (int j = 0; j < kSteps / 2; ++j) {
    put_word((steps[j] & kNibbles) | (steps[j + kSteps / 2] & kNibbles) << 4, qs, j);
  }
}
void put_five_bits(const Steps& steps, uint8_t* qs, uint8_t* qh) {
  put_nibbles(steps, qs);
  uint32_t upper = 0;
  for (int s = 0; s < kSteps; ++s) {
    const uint32_t bits = steps[s] >> 4 & kBits;
    upper |= ((bits | bits >> 7 | bits >> 14 | bits >> 21) & 15) << 4 * s;
  }
  store_number<uint32_t>(upper, qh);
}
void put_field(const Steps& steps, int lower, uint32_t mask, int shift, uint8_t* bytes) {
  for (int s = 0; s < kSteps; ++s) {
    put_word(word_at(bytes, s) | (steps[s] >> lower & mask) << shift, bytes, s);
  }
}

// `block` is that of the chunk, c the chunk's number in a superblock.
void put_block(Grid grid, const Steps& steps, int c, uint8_t* block) {
  switch (grid) {
    case Grid::q4_0:
    case Grid::iq4_nl:
      return put_nibbles(steps, block + 2);
    case Grid::q4_1:
      return put_nibbles(steps, block + 4);
    case Grid::mxfp4:
      return put_nibbles(steps, block + 1);
    case Grid::q5_0:
      return put_five_bits(steps, block + 6, block + 2);
    case Grid::q5_1:
      return put_five_bits(steps, block + 8, block + 4);
    case Grid::q8_0:
      for (int s = 0; s < kSteps; ++s) put_word(steps[s] ^ kTopBits, block + 2, s);
      return;
    case Grid::q2_k:
      return put_field(steps, 0, kPairs, c % 4 * 2, block + 16 + c / 4 * 32);
    case Grid::tq2_0:
      return put_field(steps, 0, kPairs, c % 4 * 2, block + c / 4 * 32);
    case Grid::q3_k:
      put_field(steps, 0, kPairs, c % 4 * 2, block + 32 + c / 4 * 32);
      return put_field(steps, 2, kBits, c, block);
    case Grid::q4_k:
      return put_field(steps, 0, kNibbles, c % 2 * 4, block + 16 + c / 2 * 32);
    case Grid::q5_k:
      put_field(steps, 0, kNibbles, c % 2 * 4, block + 48 + c / 2 * 32);
      return put_field(steps, 4, kBits, c, block + 16);
    case Grid::q6_k:
      put_field(steps, 0, kNibbles, c % 4 / 2 * 4, block + c / 4 * 64 + c % 2 * 32);
      return put_field(steps, 4, kPairs, c % 4 * 2, block + 128 + c / 4 * 32);
    case Grid::iq4_xs:
      return put_nibbles(steps, block + 8 + c * 16);
    default:
      return;
  }
}

void put_super(Grid grid, const uint8_t* super, int row, uint8_t* block) {
  const SuperFields fields = super_fields(grid);
  for (const int at : {fields.d, fields.dmin}) {
    if (at < 0) continue;
    std::memcpy(block + at, super + 2 * row, 2);
    super += 2 * kPackedRows;
  }
  for (int i = 0; i < fields.count; ++i) block[fields.scales + i] = super[i * kPackedRows + row];
}

// Where the scale and the offset of one group lie, for 64 rows.
struct GroupAt {
  const uint8_t* scales;
  const uint8_t* offsets;
};
GroupAt group_at(const PackedLayout& layout, const uint8_t* panel, int64_t column) {
  const SlabParts parts = slab_parts(layout, column / kSlabColumns);
  const int64_t g = layout.is_wide() ? 0 : column % kSlabColumns / layout.group;
  return {panel + parts.scales + g * layout.scale_bytes,
          panel + parts.offsets + g * layout.offset_bytes};
}

}  // namespace

void decode_packed_row(const PackedMatrix& matrix, int64_t row, float* out) {
  const PackedLayout& layout = matrix.layout;
  const uint8_t* panel = matrix.panel(row / kPackedRows);
  const auto r = static_cast<int>(row % kPackedRows);
  each_chunk(layout, panel, [&](const uint8_t* chunk, int64_t column) {
    const int64_t count = std::min<int64_t>(kChunkColumns, layout.columns - column);
    if (!layout.is_integer()) {
      for (int64_t i = 0; i < count; ++i)
        out[column + i] = packed_value(layout, panel, r, column + i);
      return;
    }
    Steps steps;
    read_steps(layout.codes, {chunk + 4 * r}, steps);
    PackedGroup group;
    for (int64_t i = 0; i < count; ++i) {
      if ((column + i) % layout.group == 0 || i == 0) {
        group = packed_group(layout, panel, r, column + i);
      }
      const auto level = static_cast<float>(packed_level(layout, steps[i / 4] >> i % 4 * 8 & 255));
      out[column + i] = packed_number(layout, group, level);
    }
  });
}

void restore_row(const PackedMatrix& matrix, Grid grid, int64_t row, uint8_t* out) {
  const PackedLayout& layout = matrix.layout;
  const uint8_t* panel = matrix.panel(row / kPackedRows);
  const auto r = static_cast<int>(row % kPackedRows);
  const GridInfo& info = grid_info(grid);
  std::memset(out, 0, static_cast<size_t>(row_bytes(grid, layout.columns)));
  each_chunk(layout, panel, [&](const uint8_t* chunk, int64_t column) {
    if (!layout.is_integer()) {
      return read_halves(layout.codes, chunk, r, layout.columns - column, out + 2 * column);
    }
    uint8_t* block = out + column / info.block_values * info.block_bytes;
    Steps steps;
    read_steps(layout.codes, {chunk + 4 * r}, steps);
    put_block(grid, steps, static_cast<int>(column % info.block_values / kChunkColumns), block);
    if (column % info.block_values != 0) return;
    const GroupAt at = group_at(layout, panel, column);
    if (layout.super_bytes > 0) return put_super(grid, at.scales, r, block);
    const int bytes = layout.scale_bytes / kPackedRows;
    std::memcpy(block + block_scale_at(grid), at.scales + bytes * r, static_cast<size_t>(bytes));
    if (layout.offsets == PackedOffsets::minimum) std::memcpy(block + 2, at.offsets + 2 * r, 2);
  });
}

AffineRowBytes affine_row_bytes(const AffineGrid& grid, int64_t columns) {
  const int64_t groups = (columns + grid.group_columns - 1) / grid.group_columns;
  AffineRowBytes bytes;
  bytes.codes = (columns * grid.bits + 7) / 8;
  bytes.scales = groups * scale_bytes(grid.scale);
  switch (grid.offset) {
    case OffsetKind::none:
    case OffsetKind::middle:
      break;
    case OffsetKind::codes:
      bytes.offsets = (groups * grid.bits + 7) / 8;
      break;
    case OffsetKind::real:
    case OffsetKind::minimum:
      bytes.offsets = bytes.scales;
      break;
  }
  return bytes;
}

void restore_row(const PackedMatrix& matrix, const AffineGrid& grid, int64_t row, uint8_t* codes,
                 uint8_t* scales, uint8_t* offsets) {
  const PackedLayout& layout = matrix.layout;
  const uint8_t* panel = matrix.panel(row / kPackedRows);
  const auto r = static_cast<int>(row % kPackedRows);
  const uint32_t sign = grid.codes == CodeKind::signed_bits ? kBits << (grid.bits - 1) : 0;
  const AffineRowBytes bytes = affine_row_bytes(grid, layout.columns);
  std::memset(codes, 0, static_cast<size_t>(bytes.codes));
  if (bytes.offsets > 0) std::memset(offsets, 0, static_cast<size_t>(bytes.offsets));
  each_chunk(layout, panel, [&](const uint8_t* chunk, int64_t column) {
    Steps steps;
    read_steps(layout.codes, {chunk + 4 * r}, steps);
    const int64_t count = std::min<int64_t>(kChunkColumns, layout.columns - column);
    for (int64_t i = 0; i < count; ++i) {
      store_bits((steps[i / 4] ^ sign) >> i % 4 * 8 & 255, (column + i) * grid.bits, grid.bits,
                 codes);
    }
  });
  const int number = scale_bytes(grid.scale);
  const int64_t groups = bytes.scales / number;
  for (int64_t g = 0; g < groups; ++g) {
    const GroupAt at = group_at(layout, panel, g * grid.group_columns);
    std::memcpy(scales + g * number, at.scales + r * number, static_cast<size_t>(number));
    if (layout.offsets == PackedOffsets::codes4 || layout.offsets == PackedOffsets::codes8) {
      const uint32_t zero = layout.offsets == PackedOffsets::codes8
                                ? at.offsets[r]
                                : at.offsets[r % 32] >> r / 32 * 4 & 15;
      store_bits(zero, g * grid.bits, grid.bits, offsets);
    } else if (bytes.offsets > 0) {
      std::memcpy(offsets + g * number, at.offsets + r * number, static_cast<size_t>(number));
    }
  }
}

}  // namespace phial

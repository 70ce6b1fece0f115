// pack_panel: rows of any grid into one panel.
//
// A reader per grid gives the 32 codes of a chunk as words (tensor/packed_steps.h). One function
// per plane puts those into lines.

#include <algorithm>
#include <cstring>

#include "tensor/block_codebook.h"
#include "tensor/block_k.h"
#include "tensor/block_legacy.h"
#include "tensor/block_ternary.h"
#include "tensor/numbers.h"
#include "tensor/packed.h"
#include "tensor/packed_steps.h"

namespace phial {
namespace {

// Bit i of four to byte i.
constexpr uint32_t spread_bits(uint32_t bits) { return bits * 0x00204081 & kBits; }
// Nibble i of four to byte i.
constexpr uint32_t spread_nibbles(uint32_t nibbles) {
  const uint32_t bytes = (nibbles | nibbles << 8) & 0x00ff00ff;
  return (bytes | bytes << 4) & kNibbles;
}

// 16 bytes of 32 nibbles, code i low and code i + 16 high.
PHIAL_FOLDED void read_nibbles(const uint8_t* qs, Steps& steps) {
  for (int j = 0; j < kSteps / 2; ++j) {
    const uint32_t word = word_at(qs, j);
    steps[j] = word & kNibbles;
    steps[j + kSteps / 2] = word >> 4 & kNibbles;
  }
}
PHIAL_FOLDED void read_five_bits(const uint8_t* qs, uint32_t qh, Steps& steps) {
  read_nibbles(qs, steps);
  for (int s = 0; s < kSteps; ++s) steps[s] |= spread_bits(qh >> 4 * s & 15) << 4;
}
// 32 bytes, of which the codes are the bits `mask` from `shift` on.
PHIAL_FOLDED void read_field(const uint8_t* bytes, int shift, uint32_t mask, int raise,
                             Steps& steps) {
  for (int s = 0; s < kSteps; ++s) steps[s] |= (word_at(bytes, s) >> shift & mask) << raise;
}

// `block` is that of the chunk, c the chunk's number in a superblock.
PHIAL_FOLDED void read_block(Grid grid, const uint8_t* block, int c, Steps& steps) {
  std::fill_n(steps, kSteps, 0u);
  switch (grid) {
    case Grid::q4_0:
    case Grid::iq4_nl:
      return read_nibbles(block + 2, steps);
    case Grid::q4_1:
      return read_nibbles(block + 4, steps);
    case Grid::mxfp4:
      return read_nibbles(block + 1, steps);
    case Grid::q5_0:
      return read_five_bits(block + 6, load_number<uint32_t>(block + 2), steps);
    case Grid::q5_1:
      return read_five_bits(block + 8, load_number<uint32_t>(block + 4), steps);
    case Grid::q8_0:
      for (int s = 0; s < kSteps; ++s) steps[s] = word_at(block + 2, s) ^ kTopBits;
      return;
    case Grid::q2_k:
      return read_field(block + 16 + c / 4 * 32, c % 4 * 2, kPairs, 0, steps);
    case Grid::tq2_0:
      return read_field(block + c / 4 * 32, c % 4 * 2, kPairs, 0, steps);
    case Grid::q3_k:
      read_field(block + 32 + c / 4 * 32, c % 4 * 2, kPairs, 0, steps);
      return read_field(block, c, kBits, 2, steps);
    case Grid::q4_k:
      return read_field(block + 16 + c / 2 * 32, c % 2 * 4, kNibbles, 0, steps);
    case Grid::q5_k:
      read_field(block + 48 + c / 2 * 32, c % 2 * 4, kNibbles, 0, steps);
      return read_field(block + 16, c, kBits, 4, steps);
    case Grid::q6_k:
      read_field(block + c / 4 * 64 + c % 2 * 32, c % 4 / 2 * 4, kNibbles, 0, steps);
      return read_field(block + 128 + c / 4 * 32, c % 4 * 2, kPairs, 4, steps);
    case Grid::iq4_xs:
      return read_nibbles(block + 8 + c * 16, steps);
    default:
      return;
  }
}

// Code by code, for what has no faster way; columns beyond the last are 0.
void read_stream(const uint8_t* codes, int64_t first_bit, int bits, int64_t columns, Steps& steps) {
  const uint32_t mask = (1u << bits) - 1;
  for (int64_t i = 0; i < std::min<int64_t>(columns, kChunkColumns); ++i) {
    const int64_t at = first_bit + i * bits;
    const int shift = static_cast<int>(at % 8);
    uint32_t word = codes[at / 8];
    if (shift + bits > 8) word |= static_cast<uint32_t>(codes[at / 8 + 1]) << 8;
    steps[i / 4] |= (word >> shift & mask) << i % 4 * 8;
  }
}

void read_affine(const AffineMatrix& affine, int64_t row, int64_t column, int64_t columns,
                 Steps& steps) {
  std::fill_n(steps, kSteps, 0u);
  const int bits = affine.grid.bits;
  const int64_t first_bit = (affine.first_row + row) * affine.code_row_bits + column * bits;
  const uint8_t* bytes = affine.codes + first_bit / 8;
  const bool whole = first_bit % 8 == 0 && columns >= kChunkColumns;
  if (whole && bits == 8) {
    for (int s = 0; s < kSteps; ++s) steps[s] = word_at(bytes, s);
  } else if (whole && bits == 4) {
    for (int s = 0; s < kSteps; ++s) {
      steps[s] = spread_nibbles(load_number<uint16_t>(bytes + 2 * s));
    }
  } else {
    read_stream(affine.codes, first_bit, bits, columns, steps);
  }
  if (affine.grid.codes == CodeKind::signed_bits) {
    for (uint32_t& step : steps) step ^= kBits << (bits - 1);
  }
}

// Lines of a chunk; `out` is the word of the row in the first one.
PHIAL_FOLDED void put_word(uint32_t word, int line, uint8_t* out) {
  store_number<uint32_t>(word, out + line * kLineBytes);
}
PHIAL_FOLDED void put_nibbles(const Steps& steps, uint8_t* out) {
  for (int j = 0; j < kSteps / 2; ++j) {
    put_word((steps[j] & kNibbles) | (steps[j + kSteps / 2] & kNibbles) << 4, j, out);
  }
}
PHIAL_FOLDED void put_pairs(const Steps& steps, int shift, int line, uint8_t* out) {
  for (int p = 0; p < 2; ++p) {
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i) word |= (steps[4 * p + i] >> shift & kPairs) << 2 * i;
    put_word(word, line + p, out);
  }
}
PHIAL_FOLDED void put_bits(const Steps& steps, int shift, int line, uint8_t* out) {
  uint32_t word = 0;
  for (int s = 0; s < kSteps; ++s) word |= (steps[s] >> shift & kBits) << s;
  put_word(word, line, out);
}

PHIAL_FOLDED void put_steps(PackedCodes codes, const Steps& steps, uint8_t* out) {
  switch (codes) {
    case PackedCodes::bits2:
      return put_pairs(steps, 0, 0, out);
    case PackedCodes::bits3:
      put_pairs(steps, 0, 0, out);
      return put_bits(steps, 2, 2, out);
    case PackedCodes::bits4:
      return put_nibbles(steps, out);
    case PackedCodes::bits5:
      put_nibbles(steps, out);
      return put_bits(steps, 4, 4, out);
    case PackedCodes::bits6:
      put_nibbles(steps, out);
      return put_pairs(steps, 4, 4, out);
    default:
      for (int s = 0; s < kSteps; ++s) put_word(steps[s], s, out);
      return;
  }
}

// Two-byte numbers of one row and chunk.
void put_halves(PackedCodes codes, const uint8_t* values, int64_t columns, int row,
                uint8_t* chunk) {
  const int64_t count = std::min<int64_t>(columns, kChunkColumns);
  for (int64_t i = 0; i < count; ++i) {
    uint8_t* out = codes == PackedCodes::bf16 ? chunk + i / 2 * kLineBytes + row * 4 + i % 2 * 2
                                              : chunk + i * 2 * kPackedRows + row * 2;
    std::memcpy(out, values + 2 * i, 2);
  }
}

void put_super(Grid grid, const uint8_t* block, int row, uint8_t* out) {
  const SuperFields fields = super_fields(grid);
  for (const int at : {fields.d, fields.dmin}) {
    if (at < 0) continue;
    std::memcpy(out + 2 * row, block + at, 2);
    out += 2 * kPackedRows;
  }
  for (int i = 0; i < fields.count; ++i) out[i * kPackedRows + row] = block[fields.scales + i];
}

// A number of 1, 2 or 4 bytes, without a call of memcpy.
void copy_number(const uint8_t* from, int bytes, uint8_t* to) {
  if (bytes == 2) {
    std::memcpy(to, from, 2);
  } else if (bytes == 4) {
    std::memcpy(to, from, 4);
  } else {
    *to = *from;
  }
}

// Scale and minimum of legacy blocks and of tq2_0.
void put_block_group(const PackedLayout& layout, Grid grid, const uint8_t* block, int row,
                     uint8_t* scale, uint8_t* offset) {
  const int bytes = layout.scale_bytes / kPackedRows;
  copy_number(block + block_scale_at(grid), bytes, scale + bytes * row);
  if (layout.offsets == PackedOffsets::minimum) std::memcpy(offset + 2 * row, block + 2, 2);
}

void put_affine_group(const PackedLayout& layout, const AffineMatrix& affine, int64_t source_row,
                      int64_t group, int row, uint8_t* scale, uint8_t* offset) {
  const int64_t plane_row = affine.first_row + source_row;
  const int bytes = layout.scale_bytes / kPackedRows;
  copy_number(affine.scales + (plane_row * affine.scale_row + group) * bytes, bytes,
              scale + bytes * row);
  const int64_t at = plane_row * affine.offset_row;
  if (layout.offset_bytes == 0) return;
  if (affine.grid.offset != OffsetKind::codes) {
    copy_number(affine.offsets + (at + group) * bytes, bytes, offset + bytes * row);
    return;
  }
  Steps steps = {};
  read_stream(affine.offsets, at + group * affine.grid.bits, affine.grid.bits, 1, steps);
  if (layout.offsets == PackedOffsets::codes8) {
    offset[row] = static_cast<uint8_t>(steps[0]);
  } else {
    offset[row % 32] = static_cast<uint8_t>(offset[row % 32] | steps[0] << row / 32 * 4);
  }
}

// What is the same for all rows of a slab.
struct SlabPlan {
  SlabParts parts;
  int chunks = 0;
  int groups = 0;            // that begin in it; of superblocks 0
  int64_t first_group = 0;   // of the row's
  int64_t block_bytes = 0;   // of blocks
  int64_t source_begin = 0;  // bytes of a row before it, of blocks and plain numbers
  int64_t source_bytes = 0;  // and in it
};

SlabPlan slab_plan(const PackedLayout& layout, const MatrixView& matrix, int64_t slab) {
  SlabPlan plan;
  plan.parts = slab_parts(layout, slab);
  plan.chunks = static_cast<int>(slab_columns(layout, slab) / kChunkColumns);
  const int64_t begin = slab * kSlabColumns;
  const int64_t left = std::min<int64_t>(layout.columns - begin, kSlabColumns);
  if (layout.group > 0 && layout.super_bytes == 0 && begin % layout.group == 0) {
    plan.groups = static_cast<int>((left + layout.group - 1) / layout.group);
    plan.first_group = begin / layout.group;
  }
  if (!matrix.is_affine()) {
    const GridInfo& info = grid_info(matrix.grid);
    plan.block_bytes = info.block_bytes;
    plan.source_begin = begin / info.block_values * info.block_bytes;
    plan.source_bytes = (left + info.block_values - 1) / info.block_values * info.block_bytes;
  }
  return plan;
}

// The scales of one row's groups that begin in a slab.
void put_groups(const PackedLayout& layout, const SlabPlan& plan, const SourceRow& source, int row,
                uint8_t* panel) {
  const MatrixView& matrix = *source.matrix;
  uint8_t* scale = panel + plan.parts.scales;
  uint8_t* offset = panel + plan.parts.offsets;
  if (layout.super_bytes > 0) {
    return put_super(matrix.grid, matrix.row(source.row) + plan.source_begin, row, scale);
  }
  if (matrix.is_affine()) {
    for (int g = 0; g < plan.groups; ++g) {
      put_affine_group(layout, matrix.affine, source.row, plan.first_group + g, row,
                       scale + g * layout.scale_bytes, offset + g * layout.offset_bytes);
    }
    return;
  }
  const uint8_t* block = matrix.row(source.row) + plan.source_begin;
  for (int g = 0; g < plan.groups; ++g, block += plan.block_bytes) {
    put_block_group(layout, matrix.grid, block, row, scale + g * layout.scale_bytes,
                    offset + g * layout.offset_bytes);
  }
}

// The first `count` chunks of a slab of one row: `block` is the first one's, `out` the row's word
// in it.
using BlockChunks = void (*)(const uint8_t* block, int count, int64_t chunk_bytes, uint8_t* out);
template <Grid kGrid, PackedCodes kCodes, int kBlockBytes, int kBlockChunks = 1>
void put_blocks(const uint8_t* block, int count, int64_t chunk_bytes, uint8_t* out) {
  for (int c = 0; c < count; ++c) {
    Steps steps;
    read_block(kGrid, block + c / kBlockChunks * kBlockBytes, c % kBlockChunks, steps);
    put_steps(kCodes, steps, out + c * chunk_bytes);
  }
}

// Null for grids that have no integer codes in blocks.
BlockChunks block_chunks(Grid grid) {
  switch (grid) {
    case Grid::q4_0:
      return put_blocks<Grid::q4_0, PackedCodes::bits4, 18>;
    case Grid::iq4_nl:
      return put_blocks<Grid::iq4_nl, PackedCodes::bits4, 18>;
    case Grid::q4_1:
      return put_blocks<Grid::q4_1, PackedCodes::bits4, 20>;
    case Grid::mxfp4:
      return put_blocks<Grid::mxfp4, PackedCodes::bits4, 17>;
    case Grid::q5_0:
      return put_blocks<Grid::q5_0, PackedCodes::bits5, 22>;
    case Grid::q5_1:
      return put_blocks<Grid::q5_1, PackedCodes::bits5, 24>;
    case Grid::q8_0:
      return put_blocks<Grid::q8_0, PackedCodes::bits8, 34>;
    case Grid::q2_k:
      return put_blocks<Grid::q2_k, PackedCodes::bits2, 84, kSlabChunks>;
    case Grid::tq2_0:
      return put_blocks<Grid::tq2_0, PackedCodes::bits2, 66, kSlabChunks>;
    case Grid::q3_k:
      return put_blocks<Grid::q3_k, PackedCodes::bits3, 110, kSlabChunks>;
    case Grid::q4_k:
      return put_blocks<Grid::q4_k, PackedCodes::bits4, 144, kSlabChunks>;
    case Grid::q5_k:
      return put_blocks<Grid::q5_k, PackedCodes::bits5, 176, kSlabChunks>;
    case Grid::q6_k:
      return put_blocks<Grid::q6_k, PackedCodes::bits6, 210, kSlabChunks>;
    case Grid::iq4_xs:
      return put_blocks<Grid::iq4_xs, PackedCodes::bits4, 136, kSlabChunks>;
    default:
      return nullptr;
  }
}

// All chunks of a slab of one row.
void put_slab(const PackedLayout& layout, const SlabPlan& plan, BlockChunks put, int64_t slab,
              const SourceRow& source, int row, uint8_t* chunks) {
  const MatrixView& matrix = *source.matrix;
  if (put != nullptr) {
    return put(matrix.row(source.row) + plan.source_begin, plan.chunks, layout.chunk_bytes,
               chunks + 4 * row);
  }
  for (int c = 0; c < plan.chunks; ++c) {
    const int64_t column = slab * kSlabColumns + c * kChunkColumns;
    const int64_t left = layout.columns - column;
    uint8_t* chunk = chunks + c * layout.chunk_bytes;
    if (!layout.is_integer()) {
      put_halves(layout.codes, matrix.row(source.row) + 2 * column, left, row, chunk);
    } else {
      Steps steps;
      read_affine(matrix.affine, source.row, column, left, steps);
      put_steps(layout.codes, steps, chunk + 4 * row);
    }
  }
}

// A slab is read 64 rows down: 64 places that the processor does not see coming.
PHIAL_FOLDED void prefetch(const uint8_t* bytes, int64_t count) {
  for (int64_t at = 0; at < count; at += 64) __builtin_prefetch(bytes + at);
}

}  // namespace

void pack_panel(const PackedLayout& layout, std::span<const SourceRow> rows, uint8_t* out) {
  if (rows.size() < kPackedRows || layout.offset_bytes > 0 || layout.front_bytes > 0 ||
      layout.columns % kChunkColumns != 0) {
    std::memset(out, 0, static_cast<size_t>(layout.panel_bytes));
  }
  const auto count = static_cast<int>(std::min<size_t>(rows.size(), kPackedRows));
  if (count == 0) return;
  const MatrixView& first = *rows[0].matrix;
  const BlockChunks put =
      !first.is_affine() && layout.is_integer() ? block_chunks(first.grid) : nullptr;
  for (int64_t slab = 0; slab < slab_count(layout); ++slab) {
    const SlabPlan plan = slab_plan(layout, first, slab);
    const int64_t ahead = slab + 1 < slab_count(layout) ? plan.source_bytes : 0;
    for (int r = 0; r < count; ++r) {
      const SourceRow& source = rows[static_cast<size_t>(r)];
      if (ahead > 0) {
        prefetch(source.matrix->row(source.row) + plan.source_begin + ahead, ahead);
      }
      if (layout.is_integer()) put_groups(layout, plan, source, r, out);
      put_slab(layout, plan, put, slab, source, r, out + plan.parts.chunks);
    }
  }
}

void pack_panel(const PackedLayout& layout, const MatrixView& matrix, int64_t panel, uint8_t* out) {
  SourceRow rows[kPackedRows];
  const int64_t first = panel * kPackedRows;
  const int64_t count = std::min<int64_t>(kPackedRows, matrix.rows - first);
  for (int64_t i = 0; i < count; ++i) {
    int64_t row = first + i;
    if (matrix.row_order == RowOrder::interleaved_heads) {
      const int64_t in_head = row % matrix.head_rows;
      row += interleaved_row(in_head, matrix.head_rows) - in_head;
    }
    rows[i] = {&matrix, row};
  }
  pack_panel(layout, std::span<const SourceRow>(rows, static_cast<size_t>(count)), out);
}

}  // namespace phial

// Packed weights: the one layout that the compute kernels of every instruction set stream from.
// Packing is lossless for every grid it knows, and takes no more bytes than the source but for
// rounding the number of rows up to 64.
//
// A matrix is a run of panels of 64 rows. All numbers are little-endian.
//
//   panel   | front | slab 0 | slab 1 | ... |, rounded up to 64 bytes
//   front   the scales of groups of 256 columns and more, one group after the other, then their
//           offsets, rounded up to 64 bytes; empty for smaller groups and superblocks
//   slab    256 columns (the last one: the rest, rounded up to 32): | scales | offsets | chunks |
//   chunk   32 columns, 8 steps of 4: step s is columns 4 s ... 4 s + 3
//
// A step of 8-bit codes is 64 rows x 4 columns, a byte each: 16 rows fill a 64-byte register, and
// one word of four activations meets all of them. Narrower codes lie in planes of 256-byte lines
// of 64 rows x 4 columns like that, several steps to a line:
//
//   bits4      4 lines: line j holds step j in the low nibbles, step j + 4 in the high ones
//   bits2      2 lines: line p holds step 4 p + i in bits 2 i, 2 i + 1
//   bits3      the lines of bits2, then one line with bit 2 of step s in bit s
//   bits5      the lines of bits4, then one line with bit 4 of step s in bit s
//   bits6      the lines of bits4, then two lines with bits 4, 5 as bits2 has its bits
//   bits8      8 lines, a step each
//   bf16       per 2 columns a line of 64 rows x 2 columns; f16: per column 64 rows
//
// Codes are unsigned: two's complement codes are stored with their upper bit turned over. So the
// bytes of a q4_0 block are copied as they are, as words. Scales and offsets are transposed: for
// each group (or each byte of a superblock's scales, in the order of the source) 64 rows. Rows
// beyond the matrix and columns beyond the last have code 0, rows beyond have scale 0.
#pragma once

#include <cstdint>

namespace phial {

inline constexpr int kPackedRows = 64;
inline constexpr int kSlabColumns = 256;
inline constexpr int kChunkColumns = 32;
inline constexpr int kSlabChunks = kSlabColumns / kChunkColumns;
inline constexpr int kLineBytes = 4 * kPackedRows;

enum class PackedCodes : uint8_t { bits2, bits3, bits4, bits5, bits6, bits8, bf16, f16 };
inline constexpr int kPackedCodesCount = 8;

// What a code stands for: itself less PackedLayout::zero, or a place in a table.
enum class PackedBook : uint8_t { linear, iq4, mxfp4 };

// How scales are stored: as numbers, or as the superblocks of tensor/block_k.h and iq4_xs have
// them. e8m0_half is mxfp4's, half of the power of two.
enum class PackedScales : uint8_t {
  none,  // bf16, f16
  f32,
  f16,
  bf16,
  e8m0,
  e8m0_half,
  q2_k,
  q3_k,
  q4_k,  // and q5_k
  q6_k,
  iq4_xs,
};

// What belongs to each scale besides it.
enum class PackedOffsets : uint8_t {
  none,
  codes4,   // a zero point of 4 bits; byte i of 32: of row i in the low nibble, of row i + 32 high
  codes8,   // of 8 bits
  real,     // a zero point, a number of the scale's kind
  minimum,  // added to scale * code; of the scale's kind, or in the superblock's scales (q2_k,
            // q4_k)
};

// What has to be known of a matrix to read its panels; plain data, made by packed_layout(). (The
// functions that kernels call are always inlined: see kernels/isa_unit.h.)
struct PackedLayout {
  PackedCodes codes = PackedCodes::bits4;
  PackedBook book = PackedBook::linear;
  PackedScales scales = PackedScales::f16;
  PackedOffsets offsets = PackedOffsets::none;
  int32_t zero = 0;   // is subtracted from every code; 0 with PackedBook other than linear
  int32_t group = 0;  // columns that share a scale: 16, 32, 64, 128 or a multiple of 256
  int64_t columns = 0;

  // Derived.
  int32_t chunk_bytes = 0;
  int32_t scale_bytes = 0;   // of one group and 64 rows; 0 for superblocks
  int32_t offset_bytes = 0;  // likewise
  int32_t super_bytes = 0;   // scales of a superblock and 64 rows; 0 for others
  int64_t front_bytes = 0;
  int64_t panel_bytes = 0;

  [[gnu::always_inline]] bool is_wide() const {
    return group >= kSlabColumns;
  }  // scales lie in the front
  bool is_integer() const { return codes != PackedCodes::bf16 && codes != PackedCodes::f16; }
};

// Kernels load whole cache lines: where panels have to begin for them.
inline constexpr int kPackedAlignment = 64;

// A matrix in panels that lie, kPackedAlignment bytes aligned, in bytes owned by someone else.
struct PackedMatrix {
  PackedLayout layout;
  int64_t rows = 0;
  const uint8_t* data = nullptr;

  int64_t columns() const { return layout.columns; }
  int64_t panels() const { return (rows + kPackedRows - 1) / kPackedRows; }
  [[gnu::always_inline]] const uint8_t* panel(int64_t p) const {
    return data + p * layout.panel_bytes;
  }
};

// All columns of row `row`: bit for bit what decode_row (decode_affine) gives for the source.
void decode_packed_row(const PackedMatrix& matrix, int64_t row, float* out);

// Columns of slab `slab`: 256, or the rest rounded up to 32. REQUIRES: 0 <= slab < slabs
[[gnu::always_inline]] inline int64_t slab_columns(const PackedLayout& layout, int64_t slab) {
  const int64_t left = layout.columns - slab * kSlabColumns;
  return left >= kSlabColumns ? kSlabColumns
                              : (left + kChunkColumns - 1) / kChunkColumns * kChunkColumns;
}
[[gnu::always_inline]] inline int64_t slab_count(const PackedLayout& layout) {
  return (layout.columns + kSlabColumns - 1) / kSlabColumns;
}

// Where the parts of a slab begin, from the panel's first byte on. `scales` and `offsets` are those
// of the slab's first group, in the front where the layout is wide; `super` is the slab's own.
struct SlabParts {
  int64_t scales = 0;
  int64_t offsets = 0;
  int64_t chunks = 0;
};
[[gnu::always_inline]] inline SlabParts slab_parts(const PackedLayout& layout, int64_t slab) {
  SlabParts parts;
  const int64_t slab_groups =
      layout.group > 0 && !layout.is_wide() ? kSlabColumns / layout.group : 0;
  const int64_t full = layout.super_bytes +
                       slab_groups * (layout.scale_bytes + layout.offset_bytes) +
                       int64_t{kSlabChunks} * layout.chunk_bytes;
  const int64_t begin = layout.front_bytes + slab * full;
  if (layout.super_bytes > 0) {
    parts.scales = parts.offsets = begin;
    parts.chunks = begin + layout.super_bytes;
  } else if (slab_groups > 0) {
    const int64_t left = layout.columns - slab * kSlabColumns;
    const int64_t groups =
        left >= kSlabColumns ? slab_groups : (left + layout.group - 1) / layout.group;
    parts.scales = begin;
    parts.offsets = begin + groups * layout.scale_bytes;
    parts.chunks = parts.offsets + groups * layout.offset_bytes;
  } else {
    parts.chunks = begin;
    if (layout.group > 0) {
      const int64_t groups = (layout.columns + layout.group - 1) / layout.group;
      const int64_t index = slab * kSlabColumns / layout.group;
      parts.scales = index * layout.scale_bytes;
      parts.offsets = groups * layout.scale_bytes + index * layout.offset_bytes;
    }
  }
  return parts;
}

}  // namespace phial

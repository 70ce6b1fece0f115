// How the keys and values of one head lie in a page of 64 positions.
//
// A block of bytes holds keys, then values. `width` is the size of the head rounded up to what the
// kernels take at once; dimensions behind the head's own hold 0 (int4, which has no code for it: a
// code that meets zeros of the query and is cut off the result). The right index runs fastest:
//
//   type  keys                  scales  values                scales
//   f32   f32  [width][64]              f32  [64][width]                width = head_dim
//   f16   f16  [width][64]              f16  [64][width]                width a multiple of 16
//   bf16  bf16 [width/2][64][2]         bf16 [32][width][2]             width a multiple of 16
//   int8  u8   [width/4][64][4] bf16[64] u8  [16][width][4]   bf16[64]  width a multiple of 16
//   int4  u8   [width/8][64][4] bf16[64] u8  [16][width/32][16][4] bf16[64]  a multiple of 32
//
// Keys are transposed, so that a dimension (or 2, or 4) of 64 positions is one load per 64 bytes;
// the innermost index counts neighbouring dimensions of a key, neighbouring positions of a value:
// what one dot product instruction sums up.
//
// int8: value = (code - 128) * scale, codes 1..255, the scale of the position. Keys are rotated
// (AttentionKernels::rotate): the few large channels that they have would take the scale for
// themselves.
// int4: value = (2 code - 15) * scale, of keys and values that are rotated. A byte
// of keys has dimension 8 r + i in its low half and 8 r + 4 + i in the high one; a byte of values
// dimension 32 b + i and 32 b + 16 + i. No byte belongs to two positions, so that different
// threads may store neighbours.
#pragma once

#include <cstdint>

namespace phial {

// How keys and values are kept.
enum class KvType : uint8_t {
  f32,
  f16,
  bf16,
  int8,  // a scale for each position and head, after a Hadamard rotation of its key
  int4,  // likewise, after rotations of key and value
};
inline constexpr int kKvTypes = 5;

inline constexpr int64_t kPagePositions = 64;

struct KvHead {
  KvType type = KvType::f32;
  int64_t head_dim = 0;
  int64_t width = 0;
  // Keys are `key_rows` rows of 64 positions of `key_unit` bytes.
  int64_t key_rows = 0, key_unit = 0;
  // Values are 64 / value_group rows of `value_row` bytes, each of `value_group` positions.
  int64_t value_group = 0, value_row = 0;
  bool scaled = false;
  bool rotates_keys = false, rotates_values = false;
  // Offsets into the block; the scales are there if `scaled`.
  int64_t key_scales = 0, values = 0, value_scales = 0;
  int64_t bytes = 0;

  // REQUIRES: 1 <= head_dim <= 2^31
  static KvHead of(KvType type, int64_t head_dim);

  // Makes the values of the positions [first, 64) zeros. Kernels give them the weight 0, which NaN
  // and infinity survive; codes are always numbers, so with scales there is nothing to do.
  void clear_values(uint8_t* block, int64_t first) const;
};

}  // namespace phial

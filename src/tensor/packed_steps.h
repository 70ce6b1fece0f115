// Chunks of panels and blocks of files as the same thing: eight words, a step of four columns each,
// a byte per code. Everything is arithmetic on whole words: the bytes of four codes never meet.
#pragma once

#include <cstdint>

#include "tensor/grid.h"
#include "tensor/numbers.h"
#include "tensor/packed_matrix.h"

namespace phial {

// Of a grid that is a constant where it is called, little is left once these are inlined: a word of
// q4_0 is loaded and stored.
#define PHIAL_FOLDED [[gnu::always_inline]] inline

inline constexpr int kSteps = kChunkColumns / 4;
using Steps = uint32_t[kSteps];

PHIAL_FOLDED uint32_t word_at(const uint8_t* bytes, int i) {
  return load_number<uint32_t>(bytes + 4 * i);
}

inline constexpr uint32_t kNibbles = 0x0f0f0f0f, kPairs = 0x03030303, kBits = 0x01010101;
inline constexpr uint32_t kTopBits = 0x80808080;

// Superblocks: the float16 fields, then the bytes of the scales.
struct SuperFields {
  int d;       // where the block has it
  int dmin;    // -1: nowhere
  int scales;  // where its scales begin
  int count;   // and how many bytes they are
};
constexpr SuperFields super_fields(Grid grid) {
  switch (grid) {
    case Grid::q2_k:
      return {80, 82, 0, 16};
    case Grid::q3_k:
      return {108, -1, 96, 12};
    case Grid::q4_k:
    case Grid::q5_k:
      return {0, 2, 4, 12};
    case Grid::q6_k:
      return {208, -1, 192, 16};
    default:  // iq4_xs: scales_h, then scales_l
      return {0, -1, 2, 6};
  }
}

// Where blocks of 32 codes and tq2_0 have their scale.
constexpr int block_scale_at(Grid grid) { return grid == Grid::tq2_0 ? 64 : 0; }

}  // namespace phial

// The integers of one block and how they are packed: what encoders and quantizers share, however
// they came by the integers.
#pragma once

#include <cstdint>

#include "tensor/block_codebook.h"
#include "tensor/block_k.h"
#include "tensor/block_legacy.h"
#include "tensor/grid.h"

namespace phial {

struct BlockCodes {
  uint16_t d = 0;  // f16: the scale
  uint16_t m = 0;  // f16: the minimum of q4_1 and q5_1, dmin of q2_k, q4_k and q5_k
  // Of each group of a superblock, in the range of the value, without the bias of the layout: q2_k
  // 0 ... 15; q3_k, iq4_xs -32 ... 31; q4_k, q5_k 0 ... 63; q6_k -128 ... 127.
  int16_t scales[16] = {};
  int16_t minimums[16] = {};
  // Of each value, as stored: from 0 on; of q8_0 in two's complement.
  uint8_t codes[kMaxBlockValues] = {};
};

// A block of these integers.
void pack(const BlockCodes& codes, BlockQ4_0& out);
void pack(const BlockCodes& codes, BlockQ4_1& out);
void pack(const BlockCodes& codes, BlockQ5_0& out);
void pack(const BlockCodes& codes, BlockQ5_1& out);
void pack(const BlockCodes& codes, BlockQ8_0& out);
void pack(const BlockCodes& codes, BlockQ2_K& out);
void pack(const BlockCodes& codes, BlockQ3_K& out);
void pack(const BlockCodes& codes, BlockQ4_K& out);
void pack(const BlockCodes& codes, BlockQ5_K& out);
void pack(const BlockCodes& codes, BlockQ6_K& out);
void pack(const BlockCodes& codes, BlockIQ4_NL& out);
void pack(const BlockCodes& codes, BlockIQ4_XS& out);

// Whether pack_block knows the grid: one of these blocks.
bool can_pack(Grid grid);
// Writes one block of `grid`. REQUIRES: can_pack(grid)
void pack_block(Grid grid, const BlockCodes& codes, uint8_t* block);

}  // namespace phial

#include "tensor/block_pack.h"

#include <cstring>

namespace phial {
namespace {

using PackFn = void (*)(const BlockCodes& codes, uint8_t* block);

template <class Block>
void pack_bytes(const BlockCodes& codes, uint8_t* bytes) {
  Block block;
  pack(codes, block);
  std::memcpy(bytes, &block, sizeof(block));
}

// Null: none.
PackFn packer_of(Grid grid) {
  switch (grid) {
    case Grid::q4_0:
      return pack_bytes<BlockQ4_0>;
    case Grid::q4_1:
      return pack_bytes<BlockQ4_1>;
    case Grid::q5_0:
      return pack_bytes<BlockQ5_0>;
    case Grid::q5_1:
      return pack_bytes<BlockQ5_1>;
    case Grid::q8_0:
      return pack_bytes<BlockQ8_0>;
    case Grid::q2_k:
      return pack_bytes<BlockQ2_K>;
    case Grid::q3_k:
      return pack_bytes<BlockQ3_K>;
    case Grid::q4_k:
      return pack_bytes<BlockQ4_K>;
    case Grid::q5_k:
      return pack_bytes<BlockQ5_K>;
    case Grid::q6_k:
      return pack_bytes<BlockQ6_K>;
    case Grid::iq4_nl:
      return pack_bytes<BlockIQ4_NL>;
    case Grid::iq4_xs:
      return pack_bytes<BlockIQ4_XS>;
    default:
      return nullptr;
  }
}

}  // namespace

bool can_pack(Grid grid) { return packer_of(grid) != nullptr; }

void pack_block(Grid grid, const BlockCodes& codes, uint8_t* block) {
  if (const PackFn pack = packer_of(grid)) pack(codes, block);
}

}  // namespace phial

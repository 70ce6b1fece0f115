// XXH64, the 64-bit hash of xxHash: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
// Finds damage at the speed of memory; no protection against someone who means to deceive.
#pragma once

#include <cstdint>
#include <span>

namespace phial {

uint64_t xxh64(std::span<const uint8_t> bytes, uint64_t seed = 0);

}  // namespace phial

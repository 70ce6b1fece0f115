#include "base/xxh64.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string_view>
#include <vector>

namespace phial {
namespace {

uint64_t hash_of(std::string_view text, uint64_t seed = 0) {
  return xxh64({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, seed);
}

TEST(Xxh64, GivesTheHashesOfTheSpecification) {
  EXPECT_EQ(hash_of(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(hash_of("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(hash_of("abc"), 0x44BC2CF5AD770999u);
}

// By python-xxhash 3, of the bytes (7 i + 3) mod 256.
TEST(Xxh64, GivesWhatTheReferenceGives) {
  std::vector<uint8_t> bytes(200);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(7 * i + 3);
  struct Known {
    size_t size;
    uint64_t seed, hash;
  };
  for (const Known& known : {Known{4, 0, 0x9BB64B7D66EE9FDAu}, Known{14, 5, 0xDA4B96BE4DF55C6Bu},
                             Known{32, 0, 0x23C3C17EF790FD97u}, Known{63, 0, 0x5E3E54B431C7493Cu},
                             Known{101, 2654435761u, 0x6C892CEEBBC660AAu},
                             Known{200, uint64_t{1} << 63, 0x200C020279970786u}}) {
    EXPECT_EQ(xxh64(std::span(bytes).first(known.size), known.seed), known.hash) << known.size;
  }
}

TEST(Xxh64, EveryBitCounts) {
  for (const size_t size : {1, 7, 12, 31, 32, 33, 100}) {
    std::vector<uint8_t> bytes(size);
    std::iota(bytes.begin(), bytes.end(), uint8_t{3});
    const uint64_t whole = xxh64(bytes);
    EXPECT_NE(xxh64(bytes, 1), whole);
    for (size_t bit = 0; bit < 8 * size; ++bit) {
      bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      EXPECT_NE(xxh64(bytes), whole) << "bit " << bit << " of " << size << " bytes";
      bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    }
  }
}

}  // namespace
}  // namespace phial

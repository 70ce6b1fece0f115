#include "kernels/probes.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "kernels/tables.h"

namespace phial {
namespace {

uint64_t sum_of_words(const uint8_t* bytes, int64_t size) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < size; i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + i, 8);
    sum += word;
  }
  return sum;
}

TEST(Probes, ReadEveryByteOnce) {
  Rng rng(5);
  std::vector<uint8_t> bytes(static_cast<size_t>(9 * kReadProbeGrain + 64));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next());
  for (const KernelTable* table : kernel_tables()) {
    if (!is_supported(*table)) continue;
    const ProbeTable probes = probe_table(*table);
    EXPECT_STREQ(probes.isa, table->isa);
    for (const int64_t offset : {0, 1, 32}) {
      for (int64_t size = 0; size <= 9 * kReadProbeGrain; size += kReadProbeGrain) {
        EXPECT_EQ(probes.read(bytes.data() + offset, size),
                  sum_of_words(bytes.data() + offset, size))
            << table->isa << " " << offset << " " << size;
      }
    }
  }
}

TEST(Probes, LoopsDoWhatTheySay) {
  int count = 0;
  for (const KernelTable* table : kernel_tables()) {
    if (!is_supported(*table)) continue;
    const ProbeTable probes = probe_table(*table);
    for (const ArithmeticProbe& probe : {probes.fma, probes.int8, probes.int8_wide, probes.bf16}) {
      if (probe.run == nullptr) continue;
      for (const int64_t steps : {0, 1, 1000}) {
        EXPECT_EQ(probe.run(steps), static_cast<uint64_t>(steps * probe.products))
            << table->isa << ": " << probe.name;
      }
      ++count;
    }
  }
  EXPECT_GE(count, 3);
}

}  // namespace
}  // namespace phial

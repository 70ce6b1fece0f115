// Plain loops, for the reference kernels: what they define is how much is done, not how fast.
#include <cstring>

#include "kernels/probe_tables.h"

namespace phial {
namespace {

constexpr int kChains = 8;

uint64_t read_words(const uint8_t* bytes, int64_t size) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < size; i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + i, sizeof(word));
    sum += word;
  }
  return sum;
}

template <class Value, class Sum>
uint64_t multiply_and_add(int64_t steps) {
  // Volatile: a product of known numbers would be computed once.
  volatile Value hidden = 1;
  const auto one = static_cast<Sum>(hidden);
  Sum sums[kChains] = {};
  for (int64_t i = 0; i < steps; ++i) {
    const auto factor = static_cast<Sum>(hidden);
    for (Sum& sum : sums) sum += one * factor;
  }
  uint64_t products = 0;
  for (const Sum sum : sums) products += static_cast<uint64_t>(sum);
  return products;
}

constexpr ArithmeticProbe kIntegers = {"scalar integers", kChains,
                                       multiply_and_add<int8_t, int32_t>};

}  // namespace

constexpr ProbeTable kReferenceProbes = {
    .isa = "reference",
    .read = read_words,
    .fma = {"scalar multiply and add", kChains, multiply_and_add<float, float>},
    .int8 = kIntegers,
    .int8_wide = kIntegers,
    .bf16 = {nullptr, 0, nullptr},
};

}  // namespace phial

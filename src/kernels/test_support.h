// What the kernel tests share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/kernels.h"
#include "kernels/tables.h"

namespace phial {

inline constexpr double kUnit = 0x1p-24;  // largest relative error of one float32 rounding

// Bound of the relative error of n roundings in a row (Higham 2002, lemma 3.1).
inline double gamma_of(double n) { return n * kUnit / (1 - n * kUnit); }

inline std::vector<const KernelTable*> tested_tables() {
  std::vector<const KernelTable*> tables(kernel_tables().begin(), kernel_tables().end());
#if defined(__x86_64__)
  tables.push_back(&kEmulated512Kernels);
#endif
  return tables;
}

// A test that runs once per table, and says so where the processor cannot run it.
class KernelTest : public testing::TestWithParam<const KernelTable*> {
 protected:
  void SetUp() override {
    if (!is_supported(*GetParam()))
      GTEST_SKIP() << "not executed: no " << GetParam()->isa << " here";
  }
  const KernelTable& table() const { return *GetParam(); }
};

#define PHIAL_INSTANTIATE_KERNEL_TEST(name)                                  \
  INSTANTIATE_TEST_SUITE_P(Tables, name, testing::ValuesIn(tested_tables()), \
                           [](const auto& param) { return std::string(param.param->isa); })

// Floats between guards that must stay as they are. Starts a few floats off any larger alignment.
class Guarded {
 public:
  explicit Guarded(int64_t count, float fill = kGuard)
      : count_(static_cast<size_t>(count)), values_(count_ + 2 * kMargin, kGuard) {
    std::fill_n(data(), count_, fill);
  }
  explicit Guarded(const std::vector<float>& values)
      : Guarded(static_cast<int64_t>(values.size())) {
    std::copy(values.begin(), values.end(), data());
  }
  float* data() { return values_.data() + kMargin; }
  float& operator[](int64_t i) { return data()[i]; }
  std::vector<float> copy() { return {data(), data() + count_}; }
  bool intact() const {
    for (size_t i = 0; i < kMargin; ++i) {
      if (!is_guard(values_[i]) || !is_guard(values_[kMargin + count_ + i])) return false;
    }
    return true;
  }
  static bool is_guard(float value) {
    return std::bit_cast<uint32_t>(value) == std::bit_cast<uint32_t>(kGuard);
  }

 private:
  static constexpr size_t kMargin = 37;
  static constexpr float kGuard = -123456.789f;
  size_t count_;
  std::vector<float> values_;
};

// Uniform in (-size, size).
inline std::vector<float> random_row(Rng& rng, int64_t count, double size = 1) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(size * (2 * rng.uniform() - 1));
  return values;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace phial

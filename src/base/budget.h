// How much memory a parser may use for one input: 16 times the input plus 64 MB by default.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace phial {

class ParseBudget {
 public:
  explicit ParseBudget(uint64_t max_bytes) : left_(max_bytes) {}
  static ParseBudget for_input(uint64_t input_bytes) {
    constexpr uint64_t kFloor = 64ull << 20;
    const uint64_t scaled =
        input_bytes > (UINT64_MAX - kFloor) / 16 ? UINT64_MAX - kFloor : input_bytes * 16;
    return ParseBudget(scaled + kFloor);
  }

  // Takes `bytes` from what is left; over_limit, naming `where`, when that is not enough.
  Status charge(uint64_t bytes, std::string_view where) {
    if (bytes > left_) {
      return over_limit(where, "needs more memory than a file of its size may ask for");
    }
    left_ -= bytes;
    return {};
  }
  uint64_t left() const { return left_; }

 private:
  uint64_t left_;
};

}  // namespace phial

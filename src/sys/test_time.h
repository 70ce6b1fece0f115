// Processor time of tests that bound it: machines that run tests are shared.
#pragma once

#include <cstddef>

#include "sys/clock.h"

namespace phial {

// How much longer the same work takes under a sanitizer.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kSanitizerFactor = 10;
inline constexpr size_t kLongText = size_t{1} << 17;
#else
inline constexpr int kSanitizerFactor = 1;
inline constexpr size_t kLongText = size_t{1} << 20;
#endif

class Stopwatch {
 public:
  double seconds() const { return thread_cpu_seconds() - start_; }

 private:
  double start_ = thread_cpu_seconds();
};

}  // namespace phial

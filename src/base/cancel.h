// A request to stop, set from any thread or a signal handler, polled where work is done in pieces.
#pragma once

#include <atomic>

#include "base/status.h"

namespace phial {

class CancelFlag {
 public:
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  void reset() noexcept { requested_.store(false, std::memory_order_relaxed); }
  bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> requested_{false};
  static_assert(std::atomic<bool>::is_always_lock_free, "must be safe in a signal handler");
};

// The error when `flag` (may be null) is set.
inline Status check_cancelled(const CancelFlag* flag, const char* where) {
  if (flag != nullptr && flag->requested()) return cancelled(where);
  return {};
}

}  // namespace phial

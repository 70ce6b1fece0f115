// A figure that memory is counted against before it is taken.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace phial {

// Thread safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t bytes) : limit_(bytes), left_(bytes) {}

  int64_t limit() const { return limit_; }
  int64_t left() const { return left_.load(std::memory_order_relaxed); }
  // Whether `bytes` were left; then they no longer are. REQUIRES: bytes >= 0
  bool take(int64_t bytes) {
    int64_t left = left_.load(std::memory_order_relaxed);
    do {
      if (bytes > left) return false;
    } while (!left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed));
    return true;
  }
  void give_back(int64_t bytes) { left_.fetch_add(bytes, std::memory_order_relaxed); }

 private:
  const int64_t limit_;
  std::atomic<int64_t> left_;
};

// Bytes that were taken from a budget, given back at the end of its life.
class MemoryLease {
 public:
  MemoryLease() = default;
  // REQUIRES: budget->take(bytes) gave true
  MemoryLease(std::shared_ptr<MemoryBudget> budget, int64_t bytes)
      : budget_(std::move(budget)), bytes_(bytes) {}
  MemoryLease(MemoryLease&& other) noexcept
      : budget_(std::move(other.budget_)), bytes_(other.bytes_) {}
  MemoryLease& operator=(MemoryLease&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MemoryLease() {
    if (budget_) budget_->give_back(bytes_);
  }

 private:
  std::shared_ptr<MemoryBudget> budget_;
  int64_t bytes_ = 0;
};

}  // namespace phial

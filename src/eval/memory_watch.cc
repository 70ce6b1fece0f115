#include "eval/memory_watch.h"

#include <algorithm>
#include <chrono>

#include "sys/memory.h"

namespace phial {

MemoryWatch::MemoryWatch(int64_t left_out) : left_out_(left_out) {
  thread_ = std::thread([this] {
    std::unique_lock<std::mutex> lock(mutex_);
    do {
      look();
    } while (!ended_.wait_for(lock, std::chrono::milliseconds(10), [this] { return end_; }));
  });
}

MemoryWatch::~MemoryWatch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    end_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

int64_t MemoryWatch::peak_anonymous_bytes() {
  const std::lock_guard<std::mutex> lock(mutex_);
  look();
  return peak_;
}

void MemoryWatch::look() {
  peak_ = std::max(peak_, static_cast<int64_t>(anonymous_bytes()) - left_out_);
}

}  // namespace phial

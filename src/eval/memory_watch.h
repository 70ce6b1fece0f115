// The most anonymous memory that this process has while something runs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace phial {

// Looks a hundred times a second, from a thread of its own, for as long as it lives; a look takes
// some 20 microseconds. Buffers that come and go between two looks are not seen.
class MemoryWatch {
 public:
  // `left_out` bytes belong to whoever measures.
  explicit MemoryWatch(int64_t left_out);
  ~MemoryWatch();
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  // The peak so far, now included.
  int64_t peak_anonymous_bytes();

 private:
  void look();

  const int64_t left_out_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  int64_t peak_ = 0;
  std::thread thread_;
};

}  // namespace phial

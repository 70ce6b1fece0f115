// Memory of the machine and of this process, in bytes; 0 where the system does not tell.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/status.h"

namespace phial {

struct MemoryInfo {
  uint64_t total = 0;      // of the machine, or of the control group when that is less
  uint64_t available = 0;  // that can be used without swapping
};
MemoryInfo machine_memory();

// The same, read from proc/ and sys/ under the folder `root`, which ends in a slash: "/" for this
// machine, another one for tests. Control groups of version 1 and 2, with all their parents.
MemoryInfo machine_memory_under(const std::string& root);

// Highest resident set of this process so far (mapped file pages included).
uint64_t peak_resident_bytes();
// Anonymous (not file-backed) memory resident now.
uint64_t anonymous_bytes();

// Zeroed memory straight from the system, taken as it is written to and given back at the end: in
// large pages where the system has them, aligned to those.
class PageBuffer {
 public:
  // Of no bytes.
  PageBuffer() = default;
  // out_of_memory. REQUIRES: bytes >= 0
  static Result<PageBuffer> create(int64_t bytes);
  PageBuffer(PageBuffer&& other) noexcept { *this = std::move(other); }
  PageBuffer& operator=(PageBuffer&& other) noexcept {
    std::swap(mapped_, other.mapped_);
    std::swap(mapped_bytes_, other.mapped_bytes_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~PageBuffer();

  uint8_t* data() const { return data_; }

 private:
  void* mapped_ = nullptr;
  size_t mapped_bytes_ = 0;
  uint8_t* data_ = nullptr;
};

}  // namespace phial

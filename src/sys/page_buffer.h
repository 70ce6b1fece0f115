// A large block of anonymous memory, straight from the system and given back to it at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"

namespace phial {

class PageBuffer {
 public:
  // `bytes` zeros at a page boundary, in large pages where the system has them; memory is taken
  // page by page, when a page is first written. out_of_memory.
  static Result<std::unique_ptr<PageBuffer>> create(size_t bytes);
  ~PageBuffer();
  PageBuffer(const PageBuffer&) = delete;
  PageBuffer& operator=(const PageBuffer&) = delete;

  std::span<uint8_t> bytes() { return {data_, size_}; }
  std::span<const uint8_t> bytes() const { return {data_, size_}; }

 private:
  PageBuffer(uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t* data_;
  size_t size_;
};

}  // namespace phial

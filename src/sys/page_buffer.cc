#include "sys/page_buffer.h"

#include <sys/mman.h>

#include <string>

namespace phial {

Result<std::unique_ptr<PageBuffer>> PageBuffer::create(size_t bytes) {
  if (bytes == 0) return std::unique_ptr<PageBuffer>(new PageBuffer(nullptr, 0));
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return out_of_memory("memory", "the system refuses " + std::to_string(bytes) + " bytes");
  }
#if defined(MADV_HUGEPAGE)
  madvise(data, bytes, MADV_HUGEPAGE);  // a wish
#endif
  return std::unique_ptr<PageBuffer>(new PageBuffer(static_cast<uint8_t*>(data), bytes));
}

PageBuffer::~PageBuffer() {
  if (size_ > 0) munmap(data_, size_);
}

}  // namespace phial

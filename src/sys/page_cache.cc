#include "sys/page_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace phial {
namespace {

double resident_share(int fd, size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return 1;
  std::vector<unsigned char> resident((bytes + page - 1) / page);
  const bool told = mincore(data, bytes, resident.data()) == 0;
  munmap(data, bytes);
  if (!told) return 1;
  const auto count = std::count_if(resident.begin(), resident.end(),
                                   [](unsigned char flags) { return (flags & 1) != 0; });
  return static_cast<double>(count) / static_cast<double>(resident.size());
}

}  // namespace

double drop_from_page_cache(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return 1;
  struct stat status = {};
  double share = 1;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
    const bool dropped = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
    share = status.st_size == 0 ? 0.0
            : dropped           ? resident_share(fd, static_cast<size_t>(status.st_size))
                                : 1.0;
  }
  close(fd);
  return share;
}

}  // namespace phial

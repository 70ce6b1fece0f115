#include "output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <phial/phial.hpp>

namespace phial_cli {
namespace {

// With all symbolic links followed, one that leads nowhere yet, too.
std::string resolved(const std::string& path) {
  constexpr int kMostLinks = 40;  // as Linux follows
  std::filesystem::path at = path;
  for (int links = 0; links <= kMostLinks; ++links) {
    std::error_code error;
    if (auto real = std::filesystem::canonical(at, error); !error) return real;
    const auto target = std::filesystem::read_symlink(at, error);
    if (error) return at;
    at = at.parent_path() / target;  // what is absolute stands alone
  }
  throw phial::Error("io_error", path, "cannot be written: the symbolic links lead in a circle");
}

}  // namespace

OutputFile::OutputFile(const std::string& path, const std::vector<std::string>& sources)
    : path_(resolved(path)) {
  struct stat target {};
  if (::stat(path_.c_str(), &target) == 0) {
    if (!S_ISREG(target.st_mode)) {
      throw phial::Error("io_error", path, "cannot be written: not a regular file");
    }
    for (const std::string& source : sources) {
      struct stat other {};
      if (::stat(source.c_str(), &other) != 0) continue;
      const bool same = other.st_dev == target.st_dev && other.st_ino == target.st_ino;
      const bool inside = S_ISDIR(other.st_mode) && path_.starts_with(resolved(source) + "/");
      if (same || inside) {
        throw phial::Error(
            "usage", path,
            fmt::format("the output is {}the input {}", same ? "" : "a file of ", source),
            "give another name; nothing was written");
      }
    }
  }
  temporary_ = fmt::format("{}.{}.tmp", path_, ::getpid());
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail(errno);
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void OutputFile::fail(int error) const {
  throw phial::Error("io_error", path_, fmt::format("cannot be written: {}", strerror(error)));
}

void OutputFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(errno);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void OutputFile::commit() {
  if (::fsync(fd_) != 0) fail(errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno);
  ::close(fd_);
  fd_ = -1;
}

}  // namespace phial_cli

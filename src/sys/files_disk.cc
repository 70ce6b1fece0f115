#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "sys/files.h"

namespace phial {
namespace {

const char* hint_for(int code) {
  switch (code) {
    case EACCES:
    case EPERM:
      return "check the permissions";
    case EROFS:
      return "choose a folder that can be written to";
    case ENOSPC:
    case EDQUOT:
      return "free some space, or write elsewhere";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (ulimit -n)";
    case ELOOP:
      return "the symbolic links lead in a circle";
    default:
      return "";
  }
}

// `code` is an errno.
Error system_error(const std::string& path, const std::string& action, int code) {
  if (code == ENOENT || code == ENOTDIR)
    return not_found(path, action + ": no such file or folder");
  return io_error(path, action + ": " + std::generic_category().message(code), hint_for(code));
}

// The system would take such a path for the part before the zero byte.
bool holds_zero_byte(const std::string& path) { return path.find('\0') != std::string::npos; }

Error zero_byte_error(const std::string& path) {
  return not_found(path, "no such file: the path holds a zero byte");
}

FileKind kind_of(const struct stat& info) {
  if (S_ISREG(info.st_mode)) return FileKind::regular;
  if (S_ISDIR(info.st_mode)) return FileKind::folder;
  return FileKind::other;
}

const char* not_regular(FileKind kind) {
  return kind == FileKind::folder ? "is a folder, not a file"
                                  : "is a device, pipe or socket; only regular files are read";
}

template <class Call>
auto retry_interrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  // Closes now, so that a delayed write error is seen. 0 or an errno.
  int close() {
    const int fd = std::exchange(fd_, -1);
    return ::close(fd) == 0 || errno == EINTR ? 0 : errno;
  }

 private:
  int fd_;
};

class DiskMapping final : public MappedFile {
 public:
  // `address` comes from mmap; null for an empty file.
  DiskMapping(void* address, size_t size) : address_(address), size_(size) {}
  ~DiskMapping() override {
    if (address_ != nullptr) ::munmap(address_, size_);
  }
  std::span<const uint8_t> bytes() const override {
    return {static_cast<const uint8_t*>(address_), size_};
  }

 private:
  void* const address_;
  const size_t size_;
};

class DiskWriter final : public FileWriter {
 public:
  DiskWriter(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), file_(fd) {}
  ~DiskWriter() override { discard(); }

  Status append(std::span<const uint8_t> bytes) override {
    if (finished_) return usage_error(path_, "written to after it was finished");
    while (!bytes.empty()) {
      const ssize_t n =
          retry_interrupted([&] { return ::write(file_.get(), bytes.data(), bytes.size()); });
      if (n < 0) return fail("cannot write", errno);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return {};
  }

  Status commit() override {
    if (finished_) return usage_error(path_, "committed after it was finished");
    if (retry_interrupted([&] { return ::fsync(file_.get()); }) != 0) {
      return fail("cannot write", errno);
    }
    if (const int code = file_.close(); code != 0) return fail("cannot write", code);
    PHIAL_TRY(check_target(path_));
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) return fail("cannot write", errno);
    finished_ = true;
    return sync_folder();
  }

  // A file may be replaced; anything else that stands at `path` may not. A symbolic link is
  // replaced itself when it leads to a file or nowhere: nothing is ever written through it.
  static Status check_target(const std::string& path) {
    struct stat info;
    if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
      return io_error(path, S_ISDIR(info.st_mode) ? "cannot write: it is a folder"
                                                  : "cannot write: it is not a regular file");
    }
    return {};
  }

 private:
  Status fail(const char* action, int code) {
    discard();
    return io_error(path_, action + (": " + std::generic_category().message(code)), hint_for(code));
  }

  void discard() {
    if (finished_) return;
    finished_ = true;
    ::unlink(temporary_.c_str());
  }

  // The new name itself must survive a power cut. Some file systems cannot sync a folder.
  Status sync_folder() const {
    const std::string folder = folder_of(path_);
    const Descriptor fd(retry_interrupted(
        [&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (fd.get() < 0) return {};  // a folder that may be written to but not read
    if (retry_interrupted([&] { return ::fsync(fd.get()); }) != 0 && errno != EINVAL &&
        errno != ENOTSUP && errno != EROFS) {
      return io_error(path_, "cannot write: " + std::generic_category().message(errno));
    }
    return {};
  }

  const std::string path_;
  const std::string temporary_;
  Descriptor file_;
  bool finished_ = false;
};

class DiskFiles final : public Files {
 public:
  FileKind kind(const std::string& path) const override {
    struct stat info;
    if (holds_zero_byte(path)) return FileKind::none;
    if (::stat(path.c_str(), &info) == 0) return kind_of(info);
    // A name that is too long cannot be there.
    const bool absent = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
    return absent ? FileKind::none : FileKind::unreadable;
  }

  Result<std::shared_ptr<const MappedFile>> map(const std::string& path) const override {
    if (holds_zero_byte(path)) return zero_byte_error(path);
    // Looked at before it is opened, since opening alone makes some devices act, and once more
    // afterwards, since the name may lead elsewhere by then. O_NONBLOCK: a pipe that took the
    // file's place must not stop us.
    struct stat info;
    if (::stat(path.c_str(), &info) != 0) return system_error(path, "cannot open", errno);
    if (!S_ISREG(info.st_mode)) return unsupported(path, not_regular(kind_of(info)));
    const Descriptor fd(retry_interrupted(
        [&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }));
    if (fd.get() < 0) return system_error(path, "cannot open", errno);
    if (::fstat(fd.get(), &info) != 0) return system_error(path, "cannot open", errno);
    if (!S_ISREG(info.st_mode)) return unsupported(path, not_regular(kind_of(info)));

    const auto size = static_cast<size_t>(info.st_size);
    void* address = nullptr;
    if (size > 0) {
      address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
      if (address == MAP_FAILED) {
        if (errno == ENOMEM) {
          return out_of_memory(path, "cannot map " + std::to_string(size) + " bytes");
        }
        return system_error(path, "cannot map", errno);
      }
    }
    return std::shared_ptr<const MappedFile>(std::make_shared<DiskMapping>(address, size));
  }

  Result<std::vector<std::string>> list(const std::string& folder) const override {
    switch (kind(folder)) {
      case FileKind::folder:
        break;
      case FileKind::none:
        return not_found(folder, "no such folder");
      case FileKind::unreadable:
        break;  // opendir says why
      default:
        return unsupported(folder, "is a file, not a folder");
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), ::closedir);
    if (!entries) return system_error(folder, "cannot list", errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(entries.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (names.size() == kMaxFolderEntries) {
        return over_limit(folder,
                          "holds more than " + std::to_string(kMaxFolderEntries) + " entries");
      }
      names.emplace_back(name);
      errno = 0;
    }
    if (errno != 0) return system_error(folder, "cannot list", errno);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<std::unique_ptr<FileWriter>> create(const std::string& path) const override {
    if (holds_zero_byte(path)) return io_error(path, "cannot write: the path holds a zero byte");
    if (path.empty() || path.back() == '/') return io_error(path, "does not name a file");
    PHIAL_TRY(DiskWriter::check_target(path));
    // A name of at most 255 bytes in the same folder, so that the rename is atomic. O_EXCL never
    // follows a link that waits under that name.
    constexpr size_t kMaxStem = 200;
    constexpr int kAttempts = 100;
    const std::string stem =
        join_path(folder_of(path), "." + file_name_of(path).substr(0, kMaxStem) + "." +
                                       std::to_string(::getpid()) + "-");
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      std::string temporary = stem + std::to_string(attempt) + ".part";
      const int fd = retry_interrupted([&] {
        return ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      0666);
      });
      if (fd >= 0) {
        return std::unique_ptr<FileWriter>(
            std::make_unique<DiskWriter>(path, std::move(temporary), fd));
      }
      if (errno != EEXIST) {
        return io_error(path, "cannot write: " + std::generic_category().message(errno),
                        hint_for(errno));
      }
    }
    return io_error(path, "cannot write: " + stem + "*.part are left from interrupted runs",
                    "remove them");
  }

  Result<std::string> canonical(const std::string& path) const override {
    if (holds_zero_byte(path)) return zero_byte_error(path);
    const std::unique_ptr<char, void (*)(void*)> resolved(::realpath(path.c_str(), nullptr),
                                                          std::free);
    if (!resolved) return system_error(path, "cannot resolve", errno);
    return std::string(resolved.get());
  }
};

}  // namespace

std::shared_ptr<const Files> disk_files() { return std::make_shared<DiskFiles>(); }

}  // namespace phial

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
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
  void release(std::span<const uint8_t> part) const override {
    // Whole pages only: what lies beside them may be in use.
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<uintptr_t>(part.data());
    const uintptr_t first = (begin + page - 1) / page * page;
    const uintptr_t last = (begin + part.size()) / page * page;
    // Advice: where it is not taken, the pages stay until the system needs them.
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }

 private:
  void* const address_;
  const size_t size_;
};

// A held lock tells others that the writer lives; it ends with the process, however that ends. File
// systems without locks refuse: then nothing there is ever taken for a leftover.
enum class Lock { ours, others, none };
Lock try_lock(int fd) {
  if (retry_interrupted([fd] { return ::flock(fd, LOCK_EX | LOCK_NB); }) == 0) return Lock::ours;
  return errno == EWOULDBLOCK ? Lock::others : Lock::none;
}

// The NAME in the name of a partial file of `path`: at most 255 bytes with what stands around it.
std::string partial_file_of(const std::string& path) {
  constexpr size_t kMost = 200;
  return file_name_of(path).substr(0, kMost);
}

// Whether a writer of `path` could have made `name` in its folder.
bool is_partial_of(const std::string& path, std::string_view name) {
  const auto partial = partial_name(name);
  return partial && partial->of == (partial->folder ? file_name_of(path) : partial_file_of(path));
}

// Removes a file, a link or a folder with all that is in it; follows no link. What is gone is fine.
Status remove_tree(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Status() : Status(system_error(path, "cannot remove", errno));
  }
  if (S_ISDIR(info.st_mode)) {
    std::vector<std::string> names;
    if (const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(path.c_str()), ::closedir);
        entries) {
      while (const dirent* entry = ::readdir(entries.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
      }
    }
    for (const std::string& name : names) PHIAL_TRY(remove_tree(join_path(path, name)));
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
  } else if (::unlink(path.c_str()) == 0 || errno == ENOENT) {
    return {};
  }
  return io_error(path, "cannot remove: " + std::generic_category().message(errno),
                  hint_for(errno));
}

// The new name itself must survive a power cut. Some file systems cannot sync a folder.
Status sync_folder_of(const std::string& path) {
  const std::string folder = folder_of(path);
  const Descriptor fd(retry_interrupted(
      [&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (fd.get() < 0) return {};  // a folder that may be written to but not read
  if (retry_interrupted([&] { return ::fsync(fd.get()); }) != 0 && errno != EINVAL &&
      errno != ENOTSUP && errno != EROFS) {
    return io_error(path, "cannot write: " + std::generic_category().message(errno));
  }
  return {};
}

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
    return sync_folder_of(path_);
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

  const std::string path_;
  const std::string temporary_;
  Descriptor file_;
  bool finished_ = false;
};

class DiskFolderWriter final : public FolderWriter {
 public:
  DiskFolderWriter(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), lock_(fd) {}
  ~DiskFolderWriter() override {
    if (!committed_) static_cast<void>(remove_tree(temporary_).ok());
  }

  const std::string& path() const override { return temporary_; }

  Status make_folder(const std::string& name) const override {
    const std::string folder = join_path(temporary_, name);
    if (::mkdir(folder.c_str(), 0777) == 0 || errno == EEXIST) return {};
    return io_error(folder, "cannot write: " + std::generic_category().message(errno),
                    hint_for(errno));
  }

  Status commit() override {
    if (committed_) return usage_error(path_, "committed twice");
    PHIAL_TRY(check_target(path_));
    // Takes the place of an empty folder, and of nothing else.
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
      return io_error(path_, "cannot write: " + std::generic_category().message(errno),
                      hint_for(errno));
    }
    committed_ = true;
    return sync_folder_of(path_);
  }

  static Status check_target(const std::string& path) {
    struct stat info;
    if (::lstat(path.c_str(), &info) != 0) return {};
    if (!S_ISDIR(info.st_mode)) {
      return io_error(path, "cannot write a folder: something else stands there");
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(path.c_str()), ::closedir);
    while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      return io_error(path, "cannot write: the folder is not empty",
                      "remove it, or choose another name");
    }
    return {};
  }

 private:
  const std::string path_;
  const std::string temporary_;
  const Descriptor lock_;
  bool committed_ = false;
};

// Names that are tried for a partial file or folder.
constexpr int kAttempts = 100;

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
      // Advice. Where the file system caches large pages, what is not in memory yet is read by 2 MB
      // at a time, and once there it is mapped at that rate (Linux 6.18, ext4, a file of 2 GB: 0.8
      // s in place of 4.5 s from disk; a first pass over what is cached 50 ms in place of 95).
      ::madvise(address, size, MADV_HUGEPAGE);
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
    // O_EXCL never follows a link that waits under that name.
    const std::string stem = join_path(folder_of(path), "." + partial_file_of(path)) + "." +
                             std::to_string(::getpid()) + "-";
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      std::string temporary = stem + std::to_string(attempt) + ".part";
      const int fd = retry_interrupted([&] {
        return ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      0666);
      });
      if (fd >= 0) {
        auto writer = std::make_unique<DiskWriter>(path, std::move(temporary), fd);
        if (try_lock(fd) != Lock::others) return std::unique_ptr<FileWriter>(std::move(writer));
        continue;
      }
      if (errno != EEXIST) {
        return io_error(path, "cannot write: " + std::generic_category().message(errno),
                        hint_for(errno));
      }
    }
    return io_error(path, "cannot write: " + stem + "*.part are left from interrupted runs",
                    "remove them");
  }

  Result<std::unique_ptr<FolderWriter>> create_folder(const std::string& path) const override {
    if (holds_zero_byte(path)) return io_error(path, "cannot write: the path holds a zero byte");
    std::string name = path;
    while (name.size() > 1 && name.back() == '/') name.pop_back();
    if (name.empty() || name == "/" || file_name_of(name) == "." || file_name_of(name) == "..") {
      return io_error(path, "does not name a new folder");
    }
    PHIAL_TRY(DiskFolderWriter::check_target(name));
    const std::string stem = name + ".partial-" + std::to_string(::getpid()) + "-";
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      std::string temporary = stem + std::to_string(attempt);
      if (::mkdir(temporary.c_str(), 0777) == 0) {
        const int fd = retry_interrupted([&] {
          return ::open(temporary.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        });
        auto writer = std::make_unique<DiskFolderWriter>(name, std::move(temporary), fd);
        if (fd >= 0 && try_lock(fd) == Lock::others) continue;
        return std::unique_ptr<FolderWriter>(std::move(writer));
      }
      if (errno != EEXIST) {
        return io_error(path, "cannot write: " + std::generic_category().message(errno),
                        hint_for(errno));
      }
    }
    return io_error(path, "cannot write: " + stem + "* are left from interrupted runs",
                    "remove them");
  }

  Status remove_leftovers(const std::string& path) const override {
    std::string target = path;
    while (target.size() > 1 && target.back() == '/') target.pop_back();
    const std::string folder = folder_of(target);
    const auto names = list(folder);
    if (!names.ok()) return {};  // creating the output says what is wrong
    for (const std::string& name : names.value()) {
      if (!is_partial_of(target, name)) continue;
      const std::string leftover = join_path(folder, name);
      const Descriptor fd(retry_interrupted([&] {
        return ::open(leftover.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
      }));
      struct stat info;
      if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0) continue;
      const FileKind wanted = partial_name(name)->folder ? FileKind::folder : FileKind::regular;
      if (kind_of(info) == wanted && try_lock(fd.get()) == Lock::ours) {
        PHIAL_TRY(remove_tree(leftover));
      }
    }
    return {};
  }

  Result<std::string> canonical(const std::string& path) const override {
    if (holds_zero_byte(path)) return zero_byte_error(path);
    const std::unique_ptr<char, void (*)(void*)> resolved(::realpath(path.c_str(), nullptr),
                                                          std::free);
    if (!resolved) return system_error(path, "cannot resolve", errno);
    return std::string(resolved.get());
  }

  Result<std::string> destination(const std::string& path) const override {
    if (holds_zero_byte(path)) return zero_byte_error(path);
    constexpr int kMostLinks = 40;  // as Linux follows
    std::string at = path;
    for (int links = 0; links <= kMostLinks; ++links) {
      if (Result<std::string> real = canonical(at); real.ok()) return real;
      const std::string link = join_path(folder_of(at), file_name_of(at));
      std::array<char, PATH_MAX> target;
      const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
      if (length < 0) return at;
      const std::string next(target.data(), static_cast<size_t>(length));
      at = next.starts_with('/') ? next : join_path(folder_of(link), next);
    }
    return system_error(path, "cannot write", ELOOP);
  }
};

}  // namespace

std::shared_ptr<const Files> disk_files() { return std::make_shared<DiskFiles>(); }

}  // namespace phial

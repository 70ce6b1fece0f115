// Files: the only way phial touches a file system, in the manner of leveldb's Env. The disk is one
// implementation; MemoryFiles is a twin in memory for tests, embedded models and the browser.
//
// Contract for all implementations:
// - Only regular files are opened (through symlinks: download caches use them), never blocking; a
//   pipe, device or folder is an error.
// - Errors name the path and say what to do: not_found, io_error, unsupported (not a regular file).
// - Thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace phial {

// Bytes of a whole file, read only, valid as long as the object lives. Another process that cuts
// the file short meanwhile is out of scope: reading past the new end then ends the process.
class MappedFile {
 public:
  virtual ~MappedFile() = default;
  virtual std::span<const uint8_t> bytes() const = 0;
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes().data()), bytes().size()};
  }
  // `part` of bytes() will not be read soon: its memory may serve others. Reading it later works.
  virtual void release(std::span<const uint8_t> part) const { static_cast<void>(part); }
};

// unreadable: the system refuses to tell (no permission, a failing disk); map() says why.
enum class FileKind { none, regular, folder, other, unreadable };

// Receives the bytes of a file that is being written. Nothing is visible under the final name
// before commit(); dropping the writer without commit() removes the partial file.
class FileWriter {
 public:
  virtual ~FileWriter() = default;
  virtual Status append(std::span<const uint8_t> bytes) = 0;
  virtual Status commit() = 0;
};

// A folder that is being filled. Until commit() it has another name, "NAME.partial-" and a number,
// beside the final one; dropping the writer without commit() removes it with all that is in it.
class FolderWriter {
 public:
  virtual ~FolderWriter() = default;
  // The name it has meanwhile: files are created in there.
  virtual const std::string& path() const = 0;
  // A folder `name` (no '/') inside; one that is there already is fine.
  virtual Status make_folder(const std::string& name) const = 0;
  virtual Status commit() = 0;
};

// Files::list refuses larger folders.
inline constexpr size_t kMaxFolderEntries = 100'000;

class Files {
 public:
  virtual ~Files() = default;

  // What `path` is after following symlinks. `none` only when nothing is there: a file that cannot
  // be looked at must not be taken for one that is absent.
  virtual FileKind kind(const std::string& path) const = 0;
  // Maps a regular file. An empty file gives empty bytes.
  virtual Result<std::shared_ptr<const MappedFile>> map(const std::string& path) const = 0;
  // Names (no path) of the entries of a folder, sorted. over_limit above kMaxFolderEntries.
  virtual Result<std::vector<std::string>> list(const std::string& folder) const = 0;
  // Starts a file that replaces `path` when committed. io_error when it cannot be written or when
  // something else than a file stands there; a symbolic link is replaced, not followed. The writer
  // must not outlive these Files.
  virtual Result<std::unique_ptr<FileWriter>> create(const std::string& path) const = 0;
  // Starts a folder that stands at `path` when committed. io_error when it cannot be written or
  // when something else than an empty folder stands there. The writer must not outlive these Files.
  virtual Result<std::unique_ptr<FolderWriter>> create_folder(const std::string& path) const = 0;
  // Removes what writers of `path` left that were killed: partial files and folders that no living
  // process holds. io_error for one that cannot be removed.
  virtual Status remove_leftovers(const std::string& path) const = 0;
  // The path with all symlinks resolved: two paths of one file give the same string.
  virtual Result<std::string> canonical(const std::string& path) const = 0;
  // Where to create what shall be found as `path`: behind all symlinks, also one that leads nowhere
  // yet, so that links stay links; `path` when nothing is there.
  virtual Result<std::string> destination(const std::string& path) const {
    Result<std::string> real = canonical(path);
    if (!real.ok()) return path;
    return real;
  }
};

// The file system of this machine.
std::shared_ptr<const Files> disk_files();

// Files held in memory under absolute or relative paths with '/' between names.
class MemoryFiles final : public Files {
 public:
  void put(const std::string& path, std::string bytes);

  FileKind kind(const std::string& path) const override;
  Result<std::shared_ptr<const MappedFile>> map(const std::string& path) const override;
  Result<std::vector<std::string>> list(const std::string& folder) const override;
  Result<std::unique_ptr<FileWriter>> create(const std::string& path) const override;
  Result<std::unique_ptr<FolderWriter>> create_folder(const std::string& path) const override;
  // A killed process leaves nothing in memory.
  Status remove_leftovers(const std::string& path) const override;
  Result<std::string> canonical(const std::string& path) const override;

 private:
  class Writer;
  class PartialFolder;
  mutable std::mutex mutex_;
  // Vectors of exactly the file's size: a read past the end is seen by the address sanitizer.
  mutable std::map<std::string, std::shared_ptr<const std::vector<uint8_t>>> files_;
  mutable int64_t partial_folders_ = 0;  // made so far
};

// The path of a file that a model file in `folder` names (a shard, a side file). Accepts a plain
// relative name such as "model-00001-of-00002.safetensors" or "sub/x.bin"; refuses (damaged, naming
// `named_in`) empty and absolute names, "..", ".", empty parts, backslashes, colons (drive letters,
// schemes), control characters, bytes that are not UTF-8, parts with a trailing dot or space, and
// names of more than 255 bytes. Symbolic links are the file system's business.
Result<std::string> resolve_sidecar(const std::string& folder, std::string_view name,
                                    std::string_view named_in);

// "a/b" from "a" and "b"; the folder part and the last name of a path.
std::string join_path(std::string_view folder, std::string_view name);
std::string folder_of(std::string_view path);  // "." when there is none
std::string file_name_of(std::string_view path);
// What writers call what is not whole yet: ".NAME.1-0.part" a file, "NAME.partial-1-0" a folder. A
// writer that was killed leaves it.
struct PartialName {
  std::string_view of;  // NAME; a file's may have been cut
  bool folder;
};
// `name`: the last one of a path. Nothing when no writer would call anything so.
std::optional<PartialName> partial_name(std::string_view name);
bool is_unfinished(std::string_view path);

// Whole small file as text. over_limit when it is larger than `max_bytes`.
Result<std::string> read_text(const Files& files, const std::string& path, uint64_t max_bytes);

}  // namespace phial

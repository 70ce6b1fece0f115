#include <algorithm>

#include "sys/files.h"

namespace phial {
namespace {

// "./a//b/../c" as "a/c"; "." for the folder that relative paths start from.
std::string normalized(std::string_view path) {
  const bool absolute = !path.empty() && path.front() == '/';
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!absolute) {
      parts.push_back(part);
    }
  }
  std::string out = absolute ? "/" : "";
  for (const std::string_view part : parts) {
    if (!out.empty() && out.back() != '/') out += '/';
    out += part;
  }
  return out.empty() ? "." : out;
}

// What the paths of all files inside the folder `path` begin with.
std::string prefix_of(const std::string& path) {
  if (path == ".") return "";
  return path == "/" ? path : path + "/";
}

class MemoryFile final : public MappedFile {
 public:
  explicit MemoryFile(std::shared_ptr<const std::vector<uint8_t>> bytes)
      : bytes_(std::move(bytes)) {}
  std::span<const uint8_t> bytes() const override { return *bytes_; }

 private:
  std::shared_ptr<const std::vector<uint8_t>> bytes_;
};

}  // namespace

class MemoryFiles::Writer final : public FileWriter {
 public:
  Writer(const MemoryFiles& files, std::string path) : files_(files), path_(std::move(path)) {}

  Status append(std::span<const uint8_t> bytes) override {
    if (committed_) return usage_error(path_, "written to after commit()");
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }

  Status commit() override {
    if (committed_) return usage_error(path_, "committed twice");
    committed_ = true;
    bytes_.shrink_to_fit();
    const std::lock_guard lock(files_.mutex_);
    files_.files_[path_] = std::make_shared<const std::vector<uint8_t>>(std::move(bytes_));
    return {};
  }

 private:
  const MemoryFiles& files_;
  const std::string path_;
  std::vector<uint8_t> bytes_;
  bool committed_ = false;
};

class MemoryFiles::PartialFolder final : public FolderWriter {
 public:
  PartialFolder(const MemoryFiles& files, std::string final_path, std::string path)
      : files_(files), final_path_(std::move(final_path)), path_(std::move(path)) {}
  ~PartialFolder() override {
    if (!committed_) move_to(nullptr);
  }

  const std::string& path() const override { return path_; }
  Status make_folder(const std::string&) const override { return {}; }  // files make folders

  Status commit() override {
    if (committed_) return usage_error(final_path_, "committed twice");
    if (files_.kind(final_path_) != FileKind::none) {
      return io_error(final_path_, "cannot write: something stands there by now");
    }
    move_to(&final_path_);
    committed_ = true;
    return {};
  }

 private:
  // All files under path_ under another folder instead; null: nowhere.
  void move_to(const std::string* folder) {
    const std::string prefix = prefix_of(path_);
    const std::lock_guard lock(files_.mutex_);
    auto at = files_.files_.lower_bound(prefix);
    while (at != files_.files_.end() && at->first.starts_with(prefix)) {
      if (folder != nullptr) {
        files_.files_[prefix_of(*folder) + at->first.substr(prefix.size())] = at->second;
      }
      at = files_.files_.erase(at);
    }
  }

  const MemoryFiles& files_;
  const std::string final_path_, path_;
  bool committed_ = false;
};

void MemoryFiles::put(const std::string& path, std::string bytes) {
  const std::lock_guard lock(mutex_);
  files_[normalized(path)] =
      std::make_shared<const std::vector<uint8_t>>(bytes.begin(), bytes.end());
}

FileKind MemoryFiles::kind(const std::string& path) const {
  if (path.empty()) return FileKind::none;
  const std::string name = normalized(path);
  const std::string prefix = prefix_of(name);
  const std::lock_guard lock(mutex_);
  if (files_.contains(name)) return FileKind::regular;
  for (auto at = files_.lower_bound(prefix); at != files_.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    // Absolute paths lie in no relative folder.
    if (prefix.empty() && at->first.front() == '/') continue;
    return FileKind::folder;
  }
  return FileKind::none;
}

Result<std::shared_ptr<const MappedFile>> MemoryFiles::map(const std::string& path) const {
  {
    const std::lock_guard lock(mutex_);
    const auto found = files_.find(normalized(path));
    if (found != files_.end()) {
      return std::shared_ptr<const MappedFile>(std::make_shared<MemoryFile>(found->second));
    }
  }
  if (kind(path) == FileKind::folder) return unsupported(path, "is a folder, not a file");
  return not_found(path, "no such file");
}

Result<std::vector<std::string>> MemoryFiles::list(const std::string& folder) const {
  switch (kind(folder)) {
    case FileKind::folder:
      break;
    case FileKind::none:
      return not_found(folder, "no such folder");
    default:
      return unsupported(folder, "is a file, not a folder");
  }
  const std::string prefix = prefix_of(normalized(folder));
  std::vector<std::string> names;
  const std::lock_guard lock(mutex_);
  for (auto at = files_.lower_bound(prefix); at != files_.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    if (prefix.empty() && at->first.front() == '/') continue;
    names.push_back(
        at->first.substr(prefix.size(), at->first.find('/', prefix.size()) - prefix.size()));
    if (names.size() > kMaxFolderEntries) {
      return over_limit(folder,
                        "holds more than " + std::to_string(kMaxFolderEntries) + " entries");
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<std::unique_ptr<FileWriter>> MemoryFiles::create(const std::string& path) const {
  if (path.empty() || path.back() == '/') return io_error(path, "does not name a file");
  if (kind(path) == FileKind::folder) return io_error(path, "cannot write: it is a folder");
  return std::unique_ptr<FileWriter>(std::make_unique<Writer>(*this, normalized(path)));
}

Result<std::unique_ptr<FolderWriter>> MemoryFiles::create_folder(const std::string& path) const {
  const std::string name = normalized(path);
  if (path.empty() || kind(name) != FileKind::none) {
    return io_error(path, "cannot write a folder: something stands there");
  }
  int64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = partial_folders_++;
  }
  return std::unique_ptr<FolderWriter>(
      std::make_unique<PartialFolder>(*this, name, name + ".partial-0-" + std::to_string(number)));
}

Status MemoryFiles::remove_leftovers(const std::string&) const { return {}; }

Result<std::string> MemoryFiles::canonical(const std::string& path) const {
  if (kind(path) == FileKind::none) return not_found(path, "no such file or folder");
  return normalized(path);
}

}  // namespace phial

#include "sys/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

#include "base/checked.h"

namespace phial {
namespace {

// Files of the kernel have no size to map; they are a few KB of text.
std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  return std::move(text).str();
}

// The number at the start of `text` behind blanks.
std::optional<uint64_t> leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

// The number after `key` at the start of a line, as in "MemTotal:  24 kB" or "inactive_file 4096".
uint64_t field(std::string_view text, std::string_view key) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (line.starts_with(key)) return leading_number(line.substr(key.size())).value_or(0);
    begin = end + 1;
  }
  return 0;
}

constexpr uint64_t kKilobyte = 1024;

struct GroupFiles {
  const char* limit;
  const char* usage;
};
constexpr GroupFiles kVersion1 = {"/memory.limit_in_bytes", "/memory.usage_in_bytes"};
constexpr GroupFiles kVersion2 = {"/memory.max", "/memory.current"};

// Narrows `info` by the limits of the group at `base` + `group` and of all its parents. The limit
// file of version 2 may say "max", that of version 1 an absurdly large number: both mean none.
void apply_groups(const std::string& base, std::string group, const GroupFiles& files,
                  MemoryInfo& info) {
  for (;;) {
    const std::string folder = base + group;
    if (const auto limit = leading_number(slurp(folder + files.limit));
        limit && *limit < info.total) {
      const uint64_t used = leading_number(slurp(folder + files.usage)).value_or(0);
      const std::string stat = slurp(folder + "/memory.stat");
      // Pages of files count as used but are given back under pressure.
      const uint64_t pages = field(stat, "inactive_file ") + field(stat, "active_file ");
      const uint64_t held = used - std::min(used, pages);
      info.total = *limit;
      info.available = std::min(info.available, *limit - std::min(*limit, held));
    }
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return;
    group.resize(slash);
  }
}

// "/a/b" from the lines of /proc/self/cgroup, "" for the root. Version 2: "0::/a/b"; version 1:
// "4:cpu,memory:/a/b".
std::string group_path(std::string_view lines, bool version2) {
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = std::min(lines.find('\n', begin), lines.size());
    const std::string_view line = lines.substr(begin, end - begin);
    begin = end + 1;
    const size_t first = line.find(':');
    const size_t second = line.find(':', first == std::string_view::npos ? first : first + 1);
    if (second == std::string_view::npos) continue;
    const std::string controllers =
        "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    const bool wanted =
        version2 ? controllers == ",," : controllers.find(",memory,") != std::string::npos;
    if (!wanted) continue;
    const std::string_view path = line.substr(second + 1);
    return path == "/" ? "" : std::string(path);
  }
  return "";
}

}  // namespace

MemoryInfo machine_memory_under(const std::string& root) {
  const std::string meminfo = slurp(root + "proc/meminfo");
  MemoryInfo info;
  info.total = field(meminfo, "MemTotal:") * kKilobyte;
  info.available = field(meminfo, "MemAvailable:") * kKilobyte;
  const std::string groups = slurp(root + "proc/self/cgroup");
  apply_groups(root + "sys/fs/cgroup", group_path(groups, true), kVersion2, info);
  apply_groups(root + "sys/fs/cgroup/memory", group_path(groups, false), kVersion1, info);
  return info;
}

MemoryInfo machine_memory() { return machine_memory_under("/"); }

// VmHWM and not getrusage's ru_maxrss: that one keeps the size of whatever process started us.
uint64_t peak_resident_bytes() { return field(slurp("/proc/self/status"), "VmHWM:") * kKilobyte; }

uint64_t anonymous_bytes() { return field(slurp("/proc/self/status"), "RssAnon:") * kKilobyte; }

Result<PageBuffer> PageBuffer::create(int64_t bytes) {
  constexpr size_t kLargePage = size_t{2} << 20;
  PageBuffer buffer;
  if (bytes == 0) return buffer;
  const auto size = checked_add<int64_t>(bytes, kLargePage);
  void* mapped = MAP_FAILED;
  if (size) {
    mapped = ::mmap(nullptr, static_cast<size_t>(*size), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (mapped == MAP_FAILED) {
    return out_of_memory("memory", std::to_string(bytes) + " bytes are not to be had");
  }
  buffer.mapped_ = mapped;
  buffer.mapped_bytes_ = static_cast<size_t>(*size);
  const auto address = reinterpret_cast<uintptr_t>(mapped);
  buffer.data_ = static_cast<uint8_t*>(mapped) + (kLargePage - address % kLargePage) % kLargePage;
  // Advice: where it is not taken, the pages are small.
  ::madvise(buffer.data_, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return buffer;
}

PageBuffer::~PageBuffer() {
  if (mapped_ != nullptr) ::munmap(mapped_, mapped_bytes_);
}

}  // namespace phial

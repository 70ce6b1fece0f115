#include "input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace phial_cli {
namespace {

// Side inputs are small; more than this is a wrong file or an endless device.
constexpr size_t kMaxInputBytes = size_t{256} << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ > STDERR_FILENO) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail_read(const std::string& name, int error) {
  const char* code = error == ENOENT || error == ENOTDIR ? "not_found" : "io_error";
  throw phial::Error(code, name, fmt::format("cannot be read: {}", strerror(error)));
}

int open_input(const std::string& path) {
  if (path == "-") return STDIN_FILENO;
  // Without O_NONBLOCK, opening a named pipe that nobody writes to would wait for ever.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail_read(path, errno);
  return fd;
}

void check_kind(int fd, const std::string& name) {
  struct stat status {};
  if (fstat(fd, &status) != 0) fail_read(name, errno);
  if (S_ISDIR(status.st_mode)) {
    throw phial::Error("invalid_input", name, "is a folder; a file is needed");
  }
  const int flags = fcntl(fd, F_GETFL);
  if (flags != -1 && (flags & O_NONBLOCK) != 0) (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

// Appends what one read gives to `text`; false at the end.
bool read_some(int fd, const std::string& name, std::string& text) {
  char chunk[1 << 16];
  ssize_t got;
  do {
    got = ::read(fd, chunk, sizeof(chunk));
  } while (got < 0 && errno == EINTR);
  if (got < 0) fail_read(name, errno);
  text.append(chunk, static_cast<size_t>(got));
  if (text.size() > kMaxInputBytes) {
    throw phial::Error("over_limit", name,
                       fmt::format("more than {} bytes", grouped(kMaxInputBytes)));
  }
  return got > 0;
}

// A JSON value that holds no others, as text.
std::string shortened(const Json& scalar) {
  constexpr size_t kMaxShown = 80;
  return scalar.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, kMaxShown);
}

}  // namespace

std::string input_name(const std::string& path) { return path == "-" ? "stdin" : path; }

std::string read_input(const std::string& path) {
  const std::string name = input_name(path);
  const Descriptor file(open_input(path));
  check_kind(file.get(), name);
  std::string text;
  while (read_some(file.get(), name, text)) {
  }
  return text;
}

Json parse_json(std::string_view json, const std::string& where, const std::string& hint) {
  try {
    return Json::parse(json);
  } catch (const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 1: ..."
    std::string_view problem = error.what();
    problem.remove_prefix(std::min(problem.find("] ") + 2, problem.size()));
    // Where it is belongs to what is wrong; of one line the column says enough.
    constexpr std::string_view kFirstLine = "parse error at line 1, ";
    if (problem.starts_with(kFirstLine) && json.find('\n') == json.npos) {
      problem.remove_prefix(kFirstLine.size());
    }
    throw phial::Error("invalid_input", where, fmt::format("not valid JSON: {}", problem), hint);
  }
}

std::vector<int32_t> parse_ids(std::string_view json, const std::string& where) {
  static constexpr char kHint[] = "expected a JSON array of token ids, such as [1, 2, 3]";
  const auto fail = [&where](const std::string& message) {
    throw phial::Error("invalid_input", where, message, kHint);
  };
  const Json parsed = parse_json(json, where, kHint);
  if (!parsed.is_array()) fail(fmt::format("a JSON {}", parsed.type_name()));
  std::vector<int32_t> ids;
  ids.reserve(parsed.size());
  for (const Json& item : parsed) {
    const bool fits = item.is_number_unsigned()
                          ? item.get<uint64_t>() <= std::numeric_limits<int32_t>::max()
                          : item.is_number_integer() &&
                                item.get<int64_t>() >= std::numeric_limits<int32_t>::min();
    if (!fits) {
      // Arrays and objects are only named: they may be nested without end.
      const std::string found =
          item.is_structured() ? fmt::format("a JSON {}", item.type_name()) : shortened(item);
      fail(fmt::format("element {} is no token id: {}", ids.size(), found));
    }
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

void for_each_stdin_line(const std::function<void(std::string_view line)>& on_line) {
  std::string pending;
  size_t scanned = 0;
  bool more = true;
  while (more) {
    more = read_some(STDIN_FILENO, "stdin", pending);
    size_t begin = 0;
    for (size_t end = pending.find('\n', scanned); end != std::string::npos;
         end = pending.find('\n', begin)) {
      on_line(std::string_view(pending).substr(begin, end - begin));
      begin = end + 1;
    }
    pending.erase(0, begin);
    scanned = pending.size();
  }
  if (!pending.empty()) on_line(pending);
}

}  // namespace phial_cli

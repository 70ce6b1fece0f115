// What is true of paths on every file system, and the guard for names that come from files.
#include <algorithm>

#include "base/utf8.h"
#include "sys/files.h"

namespace phial {
namespace {

constexpr size_t kMaxNameBytes = 255;

std::string_view without_trailing_slashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); }

// Why one name between slashes is refused; null when it is fine.
const char* refusal_of_component(std::string_view component) {
  if (component.empty()) return "holds an empty part";
  if (component == "." || component == "..") return "leaves or repeats the folder";
  // Windows drops them, so that "..." or "model. " would mean another file there.
  if (component.back() == '.' || component.back() == ' ') return "ends in a dot or a space";
  return nullptr;
}

const char* refusal_of(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > kMaxNameBytes) return "is longer than 255 bytes";
  if (utf8::find_invalid(name)) return "is not valid UTF-8";
  if (name.front() == '/') return "is absolute";
  if (name.find('\\') != std::string_view::npos) return "holds a backslash";
  // A drive letter, a URL scheme or an alternate data stream.
  if (name.find(':') != std::string_view::npos) return "holds a colon";
  for (size_t at = 0; at < name.size();) {
    const utf8::Decoded c = utf8::decode(name.substr(at));
    if (is_control(c.code_point)) return "holds a control character";
    at += c.length;
  }
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    if (const char* why = refusal_of_component(name.substr(begin, end - begin))) return why;
    begin = end + 1;
  }
  return nullptr;
}

}  // namespace

std::string join_path(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty() && path.back() != '/') path += '/';
  path += name;
  return path;
}

std::string folder_of(std::string_view path) {
  path = without_trailing_slashes(path);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(without_trailing_slashes(path.substr(0, slash + 1)));
}

std::string file_name_of(std::string_view path) {
  path = without_trailing_slashes(path);
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::optional<PartialName> partial_name(std::string_view name) {
  constexpr std::string_view kFileEnd = ".part";
  constexpr std::string_view kFolderMark = ".partial-";
  // NUMBER-NUMBER behind the last `mark`: the length of what stands before it.
  const auto numbered = [](std::string_view text, std::string_view mark) -> size_t {
    const size_t at = text.rfind(mark);
    if (at == std::string_view::npos) return 0;
    const std::string_view numbers = text.substr(at + mark.size());
    const size_t dash = numbers.find('-');
    const bool matches = dash != 0 && dash != std::string_view::npos && dash + 1 < numbers.size() &&
                         numbers.find_first_not_of("0123456789-") == std::string_view::npos &&
                         numbers.find('-', dash + 1) == std::string_view::npos;
    return matches ? at : 0;
  };
  if (const size_t n = numbered(name, kFolderMark); n > 0)
    return PartialName{name.substr(0, n), true};
  if (!name.starts_with('.') || !name.ends_with(kFileEnd)) return std::nullopt;
  const std::string_view inner = name.substr(1, name.size() - 1 - kFileEnd.size());
  const size_t n = numbered(inner, ".");
  if (n == 0) return std::nullopt;
  return PartialName{inner.substr(0, n), false};
}

bool is_unfinished(std::string_view path) { return partial_name(file_name_of(path)).has_value(); }

Result<std::string> resolve_sidecar(const std::string& folder, std::string_view name,
                                    std::string_view named_in) {
  if (const char* why = refusal_of(name)) {
    return damaged(named_in, "the file name \"" + std::string(name) + "\" " + why,
                   "only plain names of files in the model's own folder are opened");
  }
  return join_path(folder, name);
}

Result<std::string> read_text(const Files& files, const std::string& path, uint64_t max_bytes) {
  PHIAL_ASSIGN(const std::shared_ptr<const MappedFile> file, files.map(path));
  if (file->bytes().size() > max_bytes) {
    return over_limit(path, "is " + std::to_string(file->bytes().size()) +
                                " bytes large; at most " + std::to_string(max_bytes) + " are read");
  }
  return std::string(file->text());
}

}  // namespace phial

// How far the loading of a model is, as far as one can see from outside: it tells by the memory
// that it takes.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "commands.h"
#include "progress.h"

namespace phial_cli {
namespace {

// Memory of this process, pages of mapped files included; 0 when the system does not tell.
double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double size = 0, resident = 0;
  if (!(file >> size >> resident)) return 0;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double file_bytes(const std::filesystem::path& path) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<double>(bytes);
}

// The bytes of the file, or of the files in the folder; 0 when there is none, as for a short name.
double path_bytes(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return file_bytes(path);
  double bytes = 0;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    bytes += file_bytes(entry->path());
  }
  return bytes;
}

}  // namespace

// What has been read of the file is in memory: as pages of it, or packed, which takes as much and
// lets the pages go. Where the bytes of the path are not known only the time is shown.
phial::Model load_model(const phial::Context& context, const CommonOptions& common,
                        const std::string& path, const phial_model_options& options) {
  const double total = path_bytes(path), before = resident_bytes();
  const auto measure = [total, before, most = 0.0]() mutable {
    most = std::clamp(resident_bytes() - before, most, total);
    return std::pair(most, total);
  };
  const ProgressWatch watch("loading", "bytes", !common.quiet, measure);
  return phial::Model(context, path, options);
}

}  // namespace phial_cli

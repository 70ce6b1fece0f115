// How far the loading of a model is, as far as one can see from outside: it tells by the memory
// that it takes.
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "commands.h"
#include "output.h"
#include "progress.h"

namespace phial_cli {
namespace {

struct Resident {
  double file = 0;       // pages of files
  double anonymous = 0;  // all others
};

// Zeros when the system does not tell.
Resident resident_bytes() {
  // size, resident, shared: the last are pages of files.
  std::ifstream file("/proc/self/statm");
  double size = 0;
  double resident = 0;
  double shared = 0;
  if (!(file >> size >> resident >> shared)) return {};
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  return {shared * page, (resident - shared) * page};
}

// Whether weights in a grid of this name are packed where the numerics are not told.
bool is_packed_at_load(const std::string& grid) {
  for (const char* left : {"f", "bf", "iq1", "iq2", "iq3", "tq1"}) {
    if (grid.starts_with(left)) return false;
  }
  return true;
}

// Loading reads the file, which brings its pages in, and packs integer weights, which takes
// anonymous memory and lets those pages go again: neither alone says how far it is.
class LoadMeasure {
 public:
  LoadMeasure(const std::string& path, const phial_model_options& options)
      : path_(path),
        packs_(options.compute == nullptr || std::string_view(options.compute) == "int8"),
        before_(resident_bytes()) {}

  // What is done and the whole, in bytes of the file; what is done never gets less.
  std::pair<double, double> operator()() {
    const Resident now = resident_bytes();
    file_ = std::max(file_, now.file - before_.file);
    anonymous_ = std::max(anonymous_, now.anonymous - before_.anonymous);
    // Whoever loads in less than a second is not asked what the model is.
    if (++calls_ == kCallsBeforeInfo) ask();
    if (calls_ < kCallsBeforeInfo || file_total_ <= 0) return {0, 0};
    const double packed = std::min(anonymous_, packed_total_);
    // What is packed was read, though its pages may be gone before anybody counted them.
    const double read_for = packed_total_ > 0 ? packed / packed_total_ * file_total_ : 0;
    // Told as a share of the file, whose size people know.
    const double done = std::max(std::min(file_, file_total_), read_for) + packed;
    return {done / (file_total_ + packed_total_) * file_total_, file_total_};
  }

 private:
  static constexpr int kCallsBeforeInfo = 8;  // ten a second

  void ask() {
    try {
      const phial::Context context(1, "", 0);
      const Json info = Json::parse(phial::Model(context, path_, PHIAL_LOAD_INFO).info_json());
      file_total_ = info["bytes"].get<double>();
      for (const Json& grid : info["grids"]) {
        if (packs_ && is_packed_at_load(grid["name"].get<std::string>())) {
          packed_total_ += grid["bytes"].get<double>();
        }
      }
    } catch (const std::exception&) {
      // Without a whole only the time is shown; what is wrong with the model, loading will say.
      file_total_ = packed_total_ = 0;
    }
  }

  const std::string path_;
  const bool packs_;
  const Resident before_;
  double file_ = 0, anonymous_ = 0;
  double file_total_ = 0, packed_total_ = 0;
  int calls_ = 0;
};

}  // namespace

phial::Model load_model(const phial::Context& context, const CommonOptions& common,
                        const std::string& path, const phial_model_options& options) {
  const ProgressWatch watch("loading", "bytes", !common.quiet, LoadMeasure(path, options));
  return phial::Model(context, path, options);
}

}  // namespace phial_cli

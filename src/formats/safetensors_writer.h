// Writes safetensors files (safetensors.h has the layout): what they hold is said up front, then
// the bytes of the tensors follow in that order. One file, or shards with an index:
//
//   DIR/model.safetensors
//   DIR/model-00001-of-00002.safetensors ...  DIR/model.safetensors.index.json
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "formats/safetensors.h"
#include "sys/files.h"
#include "tensor/grid.h"

namespace phial {

struct SafetensorsTensor {
  std::string name;
  Grid grid = Grid::f32;
  std::vector<int64_t> shape;
};

struct SafetensorsOptions {
  // __metadata__ of every file.
  std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}};
  // Every tensor begins at a multiple of this in its file: a power of two up to 2^20. Above 1,
  // tensors called kSafetensorsPadding and a number fill the gaps (the format allows no holes;
  // readers of phial do not show them; other readers may refuse
  // them, so this is for files of phial's own). The data begins at a multiple of 64 in any case.
  uint64_t alignment = 1;
  // A file whose data would be larger is split before the tensor that does not fit; a larger tensor
  // has a file of its own. 0: never.
  uint64_t max_shard_bytes = 5'000'000'000;
  // Whether a single file has an index too, as mlx-lm writes it.
  bool always_index = false;
  // Members of the index's metadata besides total_size.
  std::vector<std::pair<std::string, Json>> index_metadata = {};
};

// A file of the plan that the options come to.
struct SafetensorsFile {
  std::string path;
  uint64_t bytes = 0;  // of the file, header included; those of an index are not counted
};

// The files that a writer for `path` ("DIR/model.safetensors") would make, in order, without the
// index. Errors: usage (a name twice, empty or reserved; alignment), unsupported (a grid without a
// name), over_limit (sizes beyond 62 bits, a header of more than 100 MB, more than 4,096 files).
Result<std::vector<SafetensorsFile>> plan_safetensors(const std::string& path,
                                                      std::span<const SafetensorsTensor> tensors,
                                                      const SafetensorsOptions& options = {});

// Not thread safe. Nothing is visible under the final names before commit(), where the index comes
// last; dropping the writer without it removes what was written.
class SafetensorsWriter {
 public:
  // `files` must outlive the writer. Errors: those of plan_safetensors and Files::create.
  static Result<std::unique_ptr<SafetensorsWriter>> create(
      const Files& files, const std::string& path, std::span<const SafetensorsTensor> tensors,
      const SafetensorsOptions& options = {});
  virtual ~SafetensorsWriter() = default;

  // The next bytes of the tensors one after another, in the order that create() was given; a call
  // may end in the middle of one, or hold several. internal when there are more than were
  // announced.
  virtual Status append(std::span<const uint8_t> bytes) = 0;
  // internal when bytes are missing.
  virtual Status commit() = 0;
  // Of the index; 0 where there is none.
  virtual uint64_t index_bytes() const = 0;
};

}  // namespace phial

// Writes GGUF files, version 3, little-endian (the layout stands in gguf.h). Pairs and the list of
// tensors are known before the first byte is written, and with them the size of the file; the data
// then follow tensor by tensor.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "base/status.h"
#include "formats/gguf_metadata.h"
#include "sys/files.h"
#include "tensor/grid.h"

namespace phial {

// A key and its value. The C++ type decides the type in the file: uint32_t is u32, a vector of
// strings is an array of string.
struct GgufPair {
  using Value = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                             std::string, uint64_t, int64_t, double, std::vector<uint8_t>,
                             std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
                             std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>,
                             std::vector<bool>, std::vector<std::string>, std::vector<uint64_t>,
                             std::vector<int64_t>, std::vector<double>>;
  std::string key;
  Value value;
};

// The pairs of a file that was read, in its order and with the types it has.
std::vector<GgufPair> gguf_pairs_of(const GgufMetadata& metadata);

// Puts `value` under `key`: in place of what is there, else at the end.
void set_gguf_pair(std::vector<GgufPair>& pairs, std::string_view key, GgufPair::Value value);

// Whether tensors of this grid have a type in GGUF files that other programs know.
bool gguf_can_hold(Grid grid);

struct GgufTensor {
  std::string name;  // of 1 to 63 bytes, as ggml allows
  Grid grid = Grid::f32;
  std::vector<int64_t> shape;  // slowest axis first, of 1 to 4 axes

  // REQUIRES: a GgufLayout of it could be made
  uint64_t bytes() const;
};

// Where everything comes to lie.
struct GgufLayout {
  std::vector<uint8_t> header;      // what stands before the data, with the zeros up to them
  std::vector<GgufTensor> tensors;  // as given
  std::vector<uint64_t> offsets;    // of each, from the start of the file
  uint64_t file_bytes = 0;          // with the zeros after the last tensor
};

// Errors name the key or tensor. unsupported: a grid without a type in GGUF, a name that is too
// long for ggml, rows that are no whole number of blocks (the hint says what would do). damaged: a
// key or name that is empty, not UTF-8 or there twice, an empty tensor, sizes that overflow, a
// general.alignment that is no power of two of type u32 and of at most 65536.
Result<GgufLayout> gguf_layout(const std::vector<GgufPair>& pairs, std::vector<GgufTensor> tensors);

class GgufWriter {
 public:
  // Starts a file that stands at `path` once it is committed, and not before: dropping the writer
  // leaves nothing. `files` must outlive the writer. Errors: those of Files::create.
  static Result<GgufWriter> create(const Files& files, const std::string& path, GgufLayout layout);

  // The next bytes of the tensors' data: all tensors one after another, cut anywhere, without the
  // zeros between them, which are put in here. internal_error for more than the tensors take.
  Status append(std::span<const uint8_t> bytes);

  // internal_error when bytes are missing.
  Status commit();

  const GgufLayout& layout() const { return layout_; }

 private:
  GgufWriter(GgufLayout layout, std::unique_ptr<FileWriter> out)
      : layout_(std::move(layout)), out_(std::move(out)) {}
  Status pad_to_next();

  GgufLayout layout_;
  std::unique_ptr<FileWriter> out_;
  uint64_t position_ = 0;  // in the file
  size_t current_ = 0;     // tensor that the next bytes belong to
};

}  // namespace phial

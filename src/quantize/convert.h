// Conversions: any model that phial reads into a file or folder of another format or grid.
//
// Two steps. plan_conversion() decides everything - names, grids, sizes, memory - and touches no
// disk; run_conversion() streams tensor by tensor, in runs of rows, with all threads. Bytes of the
// output depend on the plan alone: not on threads, instruction set or machine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/runtime.h"
#include "formats/gguf_writer.h"
#include "model/gguf_target.h"
#include "model/model.h"
#include "model/target.h"
#include "quantize/imatrix.h"
#include "quantize/stored_grid.h"
#include "tensor/packed.h"

namespace phial {

// phial: packed files (model/phial_target.h).
enum class TargetFormat : uint8_t { gguf, mlx, safetensors, phial };

// How codes and scales are chosen.
enum class Effort : uint8_t {
  fast,      // round to nearest, as the ecosystem of the format defines it
  balanced,  // scales that make the weighted squared error least
};

// Tensors whose target name matches `pattern` ('*' any text, '?' any character) are stored in the
// grid called `grid`. Later rules win over earlier ones.
struct TensorRule {
  std::string pattern;
  std::string grid;
};

struct ConvertOptions {
  TargetFormat format = TargetFormat::gguf;
  // A name of the scheme table (quantize/schemes.h) in lower case, such as "q4_k_m" or "4"; empty:
  // chosen by bits_per_weight, else the format's default. "keep": every matrix as the source has
  // it, or the nearest that the format holds without loss.
  std::string scheme;
  // Every matrix in the scheme's own grid, as llama.cpp's --pure; "keep" keeps all the same. Goes
  // without bits_per_weight.
  bool pure = false;
  // A mix of the format's grids of at most this many bits per weight over all weights of the model:
  // the one that loses least (quantize/allocation.h). Named "mix", or as the scheme that is the
  // same.
  std::optional<double> bits_per_weight;
  std::vector<TensorRule> rules;
  Effort effort = Effort::balanced;
  std::shared_ptr<const Imatrix> importance;  // null: none
  GgufTargetOptions gguf;
};

// How a tensor comes over.
enum class Transfer : uint8_t {
  copied,   // the bytes of the source
  recoded,  // its codes and scales in another order: the same values, bit for bit
  encoded,  // decoded to float32 and encoded
};

struct PlannedTensor {
  TargetTensor target;
  StoredGrid grid;
  Transfer transfer = Transfer::encoded;
  std::string source_grid;  // "bf16", "q4_1"; of several pieces the first's
  // How its rows are packed before they are written: packed files, what panels hold.
  std::optional<PackedLayout> panels;
  uint64_t bytes = 0;       // of all its planes, or panels
  int64_t weights() const;  // values it holds
};

struct ConvertPlan {
  std::shared_ptr<const Model> model;  // the source; its views stay valid with it
  TargetFormat format = TargetFormat::gguf;
  std::string scheme;  // as chosen
  Effort effort = Effort::balanced;
  std::shared_ptr<const Imatrix> importance;
  int64_t matrices = 0, important = 0;  // those of the output; those of which `importance` knows
  std::vector<PlannedTensor> tensors;   // in the order of the output
  std::vector<GgufPair> pairs;          // GGUF only
  std::vector<TargetFile> files;        // folders: what stands beside the weights, config.json last
  Grid dtype = Grid::bf16;              // folders: of matrices that are not quantized
  uint64_t bytes = 0;                   // of all weights, without headers
  uint64_t source_bytes = 0;            // likewise, of the source
  uint64_t anonymous_bytes = 0;         // that a run takes at most besides what the process has
  double bits_per_weight = 0;           // over all weights, norms and biases included
};

// Errors: usage (an unknown scheme or grid, a rule that matches nothing, nothing small enough for
// bits_per_weight); unsupported (what the format cannot say, a group size that does not divide: the
// error names the tensor and the sizes that would); invalid_input (an imatrix of another model).
Result<ConvertPlan> plan_conversion(const Files& files, std::shared_ptr<const Model> model,
                                    const ConvertOptions& options);

// What became of a tensor. Errors are those of the values that readers of the output see, against
// the values of the source.
struct TensorResult {
  std::string name;
  std::string source_grid, target_grid;
  int64_t layer = -1;  // -1: of the whole model
  int64_t rows = 0, columns = 0;
  uint64_t bytes = 0;
  bool exact = false;         // no value differs
  double squared_error = 0;   // sum of (y - x)^2
  double squared_norm = 0;    // sum of x^2
  double weighted_error = 0;  // sum of w (y - x)^2, w the importance of the column; else 0
  double weighted_norm = 0;   // sum of w x^2
};

struct ConvertResult {
  std::vector<TensorResult> tensors;  // in the order of the output
  uint64_t bytes = 0;                 // of all files written
  double bits_per_weight = 0;         // of the weights' bytes
  double seconds = 0;
  uint64_t peak_anonymous_bytes = 0;  // of the process, measured while it ran
};

// How far a run is, in source weights. Returns whether to go on.
using OnConverted = std::function<bool(int64_t done, int64_t total)>;

// Writes `plan` to `output`: a file for GGUF, else a folder. Nothing is there under that name
// before it is whole; an interrupted run leaves "OUT.partial-..." behind at most, which no reader
// takes for a model and the next run removes. Symbolic links are followed. Errors:
// usage (the output is the source, by any path or link), io_error (cannot be written; a folder that
// holds something else), damaged (NaN or infinity in weights: names tensor and row), cancelled.
Result<ConvertResult> run_conversion(const Runtime& runtime, const ConvertPlan& plan,
                                     const std::string& output, const OnConverted& on_converted,
                                     const CancelFlag* cancel);

// usage when writing `output` would replace the source, a part of it, any file of its folder but a
// GGUF file, or `imatrix` (empty: none).
Status check_output(const Files& files, const Checkpoint& source, const std::string& output,
                    const std::string& imatrix = "");

// The error of run_conversion() where `output` cannot be begun; leaves nothing.
Status try_output(const Files& files, TargetFormat format, const std::string& output);

}  // namespace phial

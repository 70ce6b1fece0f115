#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "kernels/search.h"
#include "quantize/convert.h"
#include "quantize/estimate.h"
#include "quantize/output.h"
#include "quantize/recode.h"
#include "quantize/row_encoder.h"
#include "quantize/run_buffers.h"
#include "sys/memory.h"

namespace phial {
namespace {

constexpr int64_t kTaskValues = 1 << 16;
constexpr int64_t kWaveValues = 1 << 22;
constexpr int kMaxPlanes = 3;

// What a task found out.
struct TaskSums {
  double squared_error = 0, squared_norm = 0, weighted_error = 0, weighted_norm = 0;
  int64_t bad_row = -1;   // the first that holds NaN or infinity
  int64_t over_row = -1;  // the first whose codes stand for such
  bool exact = true;
  Status status;
};

// What each thread needs for itself.
struct Scratch {
  Scratch(const SearchTable& search, Effort effort) : encoder(search, effort) {}
  RowEncoder encoder;
  std::vector<float> values, decoded;
};

struct Wave {
  int64_t first_row = 0, rows = 0;
  std::vector<uint8_t> planes[kMaxPlanes];
  std::vector<uint8_t> panels;  // of what is packed: of all planes
  std::vector<TaskSums> sums;

  // What is written as soon as it is whole.
  std::span<const uint8_t> first(const PlannedTensor& tensor) const {
    return tensor.panels ? panels : planes[0];
  }
};

// One matrix on its way.
struct MatrixJob {
  const PlannedTensor& tensor;
  const float* importance;  // [columns] or null: what was measured, for reports
  const float* weighing;    // likewise: what the search goes by
  int64_t rows, columns;
  std::vector<int64_t> plane_bytes;  // of a row
  TensorCut cut;
};

class Run {
 public:
  Run(const Runtime& runtime, const ConvertPlan& plan, Output& output,
      const OnConverted& on_converted, const CancelFlag* cancel)
      : runtime_(runtime),
        plan_(plan),
        output_(output),
        on_converted_(on_converted),
        cancel_(cancel) {
    for (int i = 0; i < runtime.threads->size(); ++i) {
      scratch_.push_back(
          std::make_unique<Scratch>(search_table_for(*runtime.kernels), plan.effort));
    }
    for (const PlannedTensor& tensor : plan.tensors) total_ += tensor.weights();
  }

  Result<ConvertResult> run() {
    const auto begin = std::chrono::steady_clock::now();
    PHIAL_TRY(estimate_where_unknown());
    for (const PlannedTensor& tensor : plan_.tensors) {
      PHIAL_TRY(tensor.target.is_matrix() ? write_matrix(tensor) : write_values(tensor));
      measure_memory();
    }
    PHIAL_ASSIGN(result_.bytes, output_.commit());
    measure_memory();
    result_.bits_per_weight = plan_.bits_per_weight;
    result_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(result_);
  }

 private:
  const float* measured(const PlannedTensor& tensor) const {
    const std::vector<float>* columns =
        plan_.importance ? importance_of(*plan_.importance, tensor.target) : nullptr;
    return columns != nullptr ? columns->data() : nullptr;
  }

  // Importance of columns for matrices that are searched and of which none was given.
  Status estimate_where_unknown() {
    const bool wanted = std::any_of(
        plan_.tensors.begin(), plan_.tensors.end(), [this](const PlannedTensor& tensor) {
          return tensor.target.is_matrix() && tensor.transfer == Transfer::encoded &&
                 RowEncoder::weighs(tensor.grid, plan_.effort) && measured(tensor) == nullptr;
        });
    if (!wanted) return {};
    PHIAL_ASSIGN(estimated_, estimate_importance(*plan_.model, *runtime_.threads, cancel_));
    return {};
  }

  Status write_values(const PlannedTensor& tensor) {
    const auto count = static_cast<int64_t>(tensor.target.values.size());
    TensorResult& out = begin_result(tensor, 1, count);
    for (const float value : tensor.target.values) {
      if (!std::isfinite(value)) return not_finite(tensor, 0);
      out.squared_norm += static_cast<double>(value) * static_cast<double>(value);
    }
    std::vector<uint8_t> bytes(static_cast<size_t>(tensor.grid.row_bytes(count)));
    PHIAL_TRY(encode_row(tensor.grid.grid, tensor.target.values.data(), count, bytes.data()));
    PHIAL_TRY(output_.append(bytes));
    return advance(count);
  }

  Status write_matrix(const PlannedTensor& tensor) {
    const int64_t rows = tensor.target.shape[0], columns = tensor.target.shape[1];
    MatrixJob job = {.tensor = tensor,
                     .importance = measured(tensor),
                     .weighing = measured(tensor),
                     .rows = rows,
                     .columns = columns,
                     .plane_bytes = tensor.grid.plane_row_bytes(columns),
                     .cut = cut_of(tensor)};
    if (job.weighing == nullptr && RowEncoder::weighs(tensor.grid, plan_.effort)) {
      const std::vector<float>* estimate = importance_of(estimated_, tensor.target);
      if (estimate != nullptr) job.weighing = estimate->data();
    }
    TensorResult& out = begin_result(tensor, rows, columns);
    // Planes after the first are written when the first is whole; they are small.
    std::vector<uint8_t> later[kMaxPlanes];
    Wave waves[2];
    const int64_t wave_rows = job.cut.rows_per_task * job.cut.tasks_per_wave;
    int at = 0;
    for (int64_t row = 0; row < rows; row += wave_rows, at ^= 1) {
      PHIAL_TRY(check_cancelled(cancel_, "quantize"));
      Wave& wave = waves[at];
      wave.first_row = row;
      wave.rows = std::min(wave_rows, rows - row);
      Status written = compute(job, wave, row > 0 ? &waves[at ^ 1] : nullptr);
      PHIAL_TRY(std::move(written));
      measure_memory();
      PHIAL_TRY(gather(job, wave, out));
      for (size_t p = 1; p < job.plane_bytes.size() && !tensor.panels; ++p) {
        later[p].insert(later[p].end(), wave.planes[p].begin(), wave.planes[p].end());
      }
      release(tensor, wave);
      PHIAL_TRY(advance(wave.rows * columns));
    }
    PHIAL_TRY(output_.append(waves[at ^ 1].first(tensor)));
    for (size_t p = 1; p < job.plane_bytes.size(); ++p) PHIAL_TRY(output_.append(later[p]));
    return {};
  }

  // All tasks of `wave`, while `before` is written.
  Status compute(const MatrixJob& job, Wave& wave, const Wave* before) {
    for (size_t p = 0; p < job.plane_bytes.size(); ++p) {
      wave.planes[p].assign(static_cast<size_t>(wave.rows * job.plane_bytes[p]), 0);
    }
    const int64_t tasks = ceil_div(wave.rows, job.cut.rows_per_task);
    wave.sums.clear();
    wave.sums.resize(static_cast<size_t>(tasks));
    std::atomic<int64_t> next{0};
    Status written;
    runtime_.threads->run([&](int worker) {
      if (worker == 0 && before != nullptr) written = output_.append(before->first(job.tensor));
      for (int64_t task = next++; task < tasks; task = next++) {
        compute_task(job, wave, task, *scratch_[static_cast<size_t>(worker)]);
      }
    });
    if (job.tensor.panels) pack(job, wave);
    return written;
  }

  // The planes of all tasks into panels.
  void pack(const MatrixJob& job, Wave& wave) const {
    const PackedLayout& layout = *job.tensor.panels;
    const StoredGrid& grid = job.tensor.grid;
    MatrixView rows;
    rows.rows = wave.rows;
    rows.columns = job.columns;
    if (grid.has_planes()) {
      rows.affine = {.grid = grid.affine(),
                     .codes = wave.planes[0].data(),
                     .code_row_bits = 8 * job.plane_bytes[0],
                     .scales = wave.planes[1].data(),
                     .scale_row = job.columns / grid.group_columns,
                     .offsets = wave.planes[2].data(),
                     .offset_row = job.columns / grid.group_columns};
    } else {
      rows.grid = grid.grid;
      rows.row_stride = job.plane_bytes[0];
      rows.data = wave.planes[0].data();
    }
    const int64_t panels = ceil_div<int64_t>(wave.rows, kPackedRows);
    wave.panels.resize(static_cast<size_t>(panels * layout.panel_bytes));
    Deal deal;
    runtime_.threads->run([&](int) {
      deal.take_each(panels, [&](int64_t panel) {
        pack_panel(layout, rows, panel, wave.panels.data() + panel * layout.panel_bytes);
      });
    });
  }

  static void compute_task(const MatrixJob& job, Wave& wave, int64_t task, Scratch& scratch) {
    const int64_t begin = task * job.cut.rows_per_task;
    const int64_t rows = std::min(job.cut.rows_per_task, wave.rows - begin);
    TaskSums& sums = wave.sums[static_cast<size_t>(task)];
    uint8_t* planes[kMaxPlanes] = {};
    for (size_t p = 0; p < job.plane_bytes.size(); ++p) {
      planes[p] = wave.planes[p].data() + begin * job.plane_bytes[p];
    }
    const auto count = static_cast<size_t>(rows * job.columns);
    scratch.values.resize(count);
    scratch.decoded.resize(count);
    read_rows(job, wave.first_row + begin, rows, scratch.values.data());
    sums.bad_row = first_bad_row(scratch.values.data(), rows, job.columns);
    if (sums.bad_row >= 0) {
      sums.bad_row += wave.first_row + begin;
      return;
    }
    if (job.tensor.transfer == Transfer::encoded) {
      scratch.encoder.encode(job.tensor.grid, scratch.values.data(), rows, job.columns,
                             job.weighing, planes);
    } else {
      sums.status = recode(job, wave.first_row + begin, rows, planes);
      if (!sums.status.ok()) return;
    }
    const float* decoded = scratch.values.data();
    if (job.tensor.transfer == Transfer::encoded) {
      RowEncoder::decode(job.tensor.grid, planes, rows, job.columns, scratch.decoded.data());
      decoded = scratch.decoded.data();
      sums.over_row = first_bad_row(decoded, rows, job.columns);
      if (sums.over_row >= 0) {
        sums.over_row += wave.first_row + begin;
        return;
      }
    }
    add_errors(job, scratch.values.data(), decoded, rows, sums);
  }

  // Rows of the target, from whichever piece holds them.
  template <class Fn>
  static void each_source_row(const MatrixJob& job, int64_t first, int64_t rows, const Fn& fn) {
    int64_t begin = 0;
    for (const TargetRows& piece : job.tensor.target.pieces) {
      const int64_t from = std::max(first, begin);
      const int64_t to = std::min(first + rows, begin + piece.view.rows);
      for (int64_t r = from; r < to; ++r) fn(piece, piece.source_row(r - begin), r - first);
      begin += piece.view.rows;
    }
  }

  static void read_rows(const MatrixJob& job, int64_t first, int64_t rows, float* out) {
    each_source_row(job, first, rows, [&](const TargetRows& piece, int64_t source, int64_t r) {
      piece.view.decode(source, out + r * job.columns);
    });
  }

  static Status recode(const MatrixJob& job, int64_t first, int64_t rows, uint8_t* const* planes) {
    Status status;
    each_source_row(job, first, rows, [&](const TargetRows& piece, int64_t source, int64_t r) {
      uint8_t* row_planes[kMaxPlanes] = {};
      for (size_t p = 0; p < job.plane_bytes.size(); ++p) {
        row_planes[p] = planes[p] + r * job.plane_bytes[p];
      }
      if (status.ok()) status = recode_row(piece.view, source, job.tensor.grid, row_planes);
    });
    return status;
  }

  static int64_t first_bad_row(const float* values, int64_t rows, int64_t columns) {
    constexpr uint32_t kExponent = 0x7f800000;  // of infinities and NaN
    for (int64_t r = 0; r < rows; ++r) {
      uint32_t bad = 0;
      for (int64_t c = 0; c < columns; ++c) {
        const uint32_t exponent = std::bit_cast<uint32_t>(values[r * columns + c]) & kExponent;
        bad |= exponent == kExponent ? ~0u : 0u;
      }
      if (bad != 0) return r;
    }
    return -1;
  }

  static void add_errors(const MatrixJob& job, const float* x, const float* y, int64_t rows,
                         TaskSums& sums) {
    for (int64_t r = 0; r < rows; ++r, x += job.columns, y += job.columns) {
      // Eight chains, in an order that does not depend on the machine.
      float error[8] = {}, norm[8] = {};
      uint32_t differs[8] = {};  // the difference of equal numbers is +0
      const int64_t whole = job.columns / 8 * 8;
      for (int64_t c = 0; c < whole; c += 8) {
        for (int l = 0; l < 8; ++l) {
          const float off = y[c + l] - x[c + l];
          error[l] += off * off;
          norm[l] += x[c + l] * x[c + l];
          differs[l] |= std::bit_cast<uint32_t>(off);
        }
      }
      for (int64_t c = whole; c < job.columns; ++c) {
        const float off = y[c] - x[c];
        error[0] += off * off;
        norm[0] += x[c] * x[c];
        differs[0] |= std::bit_cast<uint32_t>(off);
      }
      for (const uint32_t bits : differs) sums.exact = sums.exact && bits == 0;
      double row_error = 0, row_norm = 0;
      for (int l = 0; l < 8; ++l) {
        row_error += static_cast<double>(error[l]);
        row_norm += static_cast<double>(norm[l]);
      }
      if (!std::isfinite(row_error) || !std::isfinite(row_norm)) {  // squares beyond float32
        row_error = row_norm = 0;
        for (int64_t c = 0; c < job.columns; ++c) {
          const double value = x[c], off = static_cast<double>(y[c]) - value;
          row_error += off * off;
          row_norm += value * value;
        }
      }
      sums.squared_error += row_error;
      sums.squared_norm += row_norm;
      if (job.importance == nullptr) continue;
      for (int64_t c = 0; c < job.columns; ++c) {
        const double w = job.importance[c], off = y[c] - x[c], value = x[c];
        sums.weighted_error += w * off * off;
        sums.weighted_norm += w * value * value;
      }
    }
  }

  // In the order of the tasks.
  static Status gather(const MatrixJob& job, Wave& wave, TensorResult& out) {
    for (TaskSums& sums : wave.sums) {
      if (sums.bad_row >= 0) return not_finite(job.tensor, sums.bad_row);
      if (sums.over_row >= 0) {
        return unsupported(job.tensor.target.name,
                           fmt::format("row {} holds values too large for {}", sums.over_row,
                                       job.tensor.grid.name()),
                           "take a grid of wider range for it, such as bf16");
      }
      if (!sums.status.ok()) {
        const Error& error = sums.status.error();
        return make_error(error.code, job.tensor.target.name, error.message, error.hint);
      }
      out.exact = out.exact && sums.exact;
      out.squared_error += sums.squared_error;
      out.squared_norm += sums.squared_norm;
      out.weighted_error += sums.weighted_error;
      out.weighted_norm += sums.weighted_norm;
    }
    return {};
  }

  static Error not_finite(const PlannedTensor& tensor, int64_t row) {
    return damaged(tensor.target.name, fmt::format("row {} holds NaN or infinity", row),
                   "the source is broken: such weights cannot be quantized");
  }

  static std::span<const uint8_t> panels_of(const PackedMatrix& packed, int64_t from, int64_t to) {
    const int64_t first = from / kPackedRows;
    const int64_t count = ceil_div<int64_t>(to, kPackedRows) - first;
    return {packed.panel(first), static_cast<size_t>(count * packed.layout.panel_bytes)};
  }

  // Pages of the source that were read lie behind.
  void release(const PlannedTensor& tensor, const Wave& wave) const {
    int64_t begin = 0;
    for (const TargetRows& piece : tensor.target.pieces) {
      const MatrixView& view = piece.view;
      const int64_t from = std::max(wave.first_row, begin) - begin;
      const int64_t to = std::min(wave.first_row + wave.rows, begin + view.rows) - begin;
      begin += view.rows;
      // Rows in another order lie within the same heads, up to a head before.
      if (from >= to || view.is_affine()) continue;
      const std::span<const uint8_t> part =
          view.is_packed()
              ? panels_of(view.packed, from, to)
              : std::span(view.row(from), static_cast<size_t>((to - from) * view.row_stride));
      for (const auto& mapping : plan_.model->checkpoint->mappings) {
        const auto bytes = mapping->bytes();
        if (part.data() >= bytes.data() && part.data() < bytes.data() + bytes.size()) {
          mapping->release(part);
        }
      }
    }
  }

  TensorResult& begin_result(const PlannedTensor& tensor, int64_t rows, int64_t columns) {
    TensorResult& out = result_.tensors.emplace_back();
    out.name = tensor.target.name;
    out.source_grid = tensor.source_grid;
    out.target_grid = tensor.grid.name();
    out.layer = tensor.target.layer;
    out.rows = rows;
    out.columns = columns;
    out.bytes = tensor.bytes;
    out.exact = true;
    return out;
  }

  Status advance(int64_t weights) {
    done_ += weights;
    if (on_converted_ && !on_converted_(done_, total_)) return cancelled("quantize");
    return {};
  }

  void measure_memory() {
    result_.peak_anonymous_bytes = std::max(result_.peak_anonymous_bytes, anonymous_bytes());
  }

  const Runtime& runtime_;
  const ConvertPlan& plan_;
  Output& output_;
  const OnConverted& on_converted_;
  const CancelFlag* const cancel_;
  std::vector<std::unique_ptr<Scratch>> scratch_;
  Imatrix estimated_;  // empty where none was needed
  int64_t done_ = 0, total_ = 0;
  ConvertResult result_;
};

}  // namespace

TensorCut cut_of(const PlannedTensor& tensor) {
  const int64_t columns = tensor.target.shape[1];
  TensorCut cut;
  cut.rows_per_task = std::max<int64_t>(1, kTaskValues / columns);
  if (tensor.panels) {
    const auto most = std::min<int64_t>(cut.rows_per_task, kPackedRows);
    cut.rows_per_task = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(most)));
  }
  cut.tasks_per_wave = std::max<int64_t>(1, kWaveValues / (cut.rows_per_task * columns));
  if (tensor.panels) {
    // A wave is whole panels.
    const int64_t tasks = kPackedRows / cut.rows_per_task;
    cut.tasks_per_wave = ceil_div(cut.tasks_per_wave, tasks) * tasks;
  }
  return cut;
}

uint64_t run_buffer_bytes(const ConvertPlan& plan) {
  constexpr uint64_t kThreads = 64;
  uint64_t most = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.target.is_matrix()) continue;
    const int64_t columns = tensor.target.shape[1];
    const TensorCut cut = cut_of(tensor);
    const int64_t rows = std::min(cut.rows_per_task * cut.tasks_per_wave, tensor.target.shape[0]);
    const std::vector<int64_t> planes = tensor.grid.plane_row_bytes(columns);
    auto bytes = static_cast<uint64_t>(2 * rows * tensor.grid.row_bytes(columns));
    if (tensor.panels) {
      bytes +=
          2 * static_cast<uint64_t>(packed_bytes(*tensor.panels, rows).value_or(INT64_MAX / 4));
    }
    for (size_t p = 1; p < planes.size() && !tensor.panels; ++p) {
      // A vector that grows holds up to twice what is in it, and for a moment the old copy.
      bytes += static_cast<uint64_t>(3 * tensor.target.shape[0] * planes[p]);
    }
    const auto task = static_cast<uint64_t>(cut.rows_per_task * columns);
    most = std::max(most, bytes + kThreads * (2 * task * sizeof(float) + sizeof(RowEncoder)));
  }
  return most;
}

Result<ConvertResult> run_conversion(const Runtime& runtime, const ConvertPlan& plan,
                                     const std::string& output, const OnConverted& on_converted,
                                     const CancelFlag* cancel) {
  PHIAL_TRY(check_output(*runtime.files, *plan.model->checkpoint, output));
  PHIAL_ASSIGN(const std::string place, runtime.files->destination(output));
  PHIAL_TRY(runtime.files->remove_leftovers(place));
  PHIAL_ASSIGN(const std::unique_ptr<Output> out, open_output(*runtime.files, plan, place));
  return Run(runtime, plan, *out, on_converted, cancel).run();
}

}  // namespace phial

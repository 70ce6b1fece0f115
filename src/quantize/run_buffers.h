// How a run cuts tensors: into tasks of some rows each, which threads take one by one, and waves of
// some tasks, which are written while the next wave is computed. The cuts depend on the tensor
// alone, so that sums over tasks do not depend on threads.
#pragma once

#include <cstdint>

#include "quantize/convert.h"

namespace phial {

struct TensorCut {
  int64_t rows_per_task = 1;
  int64_t tasks_per_wave = 1;
};
TensorCut cut_of(const PlannedTensor& tensor);

// Anonymous memory that running the plan takes at most, for any number of threads up to 64; more
// threads take about a megabyte each.
uint64_t run_buffer_bytes(const ConvertPlan& plan);

}  // namespace phial

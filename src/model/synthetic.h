// Models without files: the sizes of a published model and weights at random, for measuring speed,
// which does not depend on what the weights say.
//
// The shapes have the published widths, heads, layers and vocabularies, with plain rope and without
// windows, so that every depth can be measured: what is computed per token is the same.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/model.h"
#include "sys/thread_pool.h"

namespace phial {

// `name` is "SHAPE:GRID", such as "phi-3-mini:q4_0". GRID is one of grid_table() that weights can
// have, or a grid with scales beside the codes: g32, g64, g128 (4 bits, scale and minimum in
// float16, as MLX has them), onnx-g32 (MatMulNBits), openvino-g128 and openvino-row8 (8 bits). All
// matrices have it, the embedding too; values have a standard deviation of about 0.02, norms are 1.
// `layers` cuts the shape to its first layers; 0: all.
//
// The weights are anonymous memory that the model owns, filled by all of `threads` within seconds.
// The same name gives the same bytes, whatever the number of threads. Errors: usage (an unknown
// shape or grid, with the known ones; more layers than the shape has), unsupported (the widths are
// no multiples of the grid's blocks), out_of_memory.
Result<std::shared_ptr<const Model>> make_synthetic(std::string_view name, int64_t layers,
                                                    ThreadPool& threads);

// The names of shapes and of grids, separated by ", ".
std::string synthetic_shape_names();
std::string synthetic_grid_names();

}  // namespace phial

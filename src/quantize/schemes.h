// Schemes: which tensor of a model is stored in which grid. They are data - one table for all
// formats in schemes.cc - so that adding one means adding lines there.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/model_spec.h"
#include "model/target.h"
#include "quantize/convert.h"
#include "quantize/stored_grid.h"

namespace phial {

// Parts of a model that schemes tell apart.
enum class Part : uint8_t {
  output,       // the lm_head, and an embedding that is it
  embedding,    // any other
  attention_v,  // v, and q, k and v as one matrix
  attention_out,
  mlp_down,
  other,
};
Part part_of(const TargetTensor& tensor, const ModelSpec& spec);

// Which layers a line is for.
enum class Layers : uint8_t {
  all,
  first_two,
  first_four,
  first_sixteenth,
  first_eighth,
  more,  // the first and the last eighth, and every third of the others
};
bool holds_layer(Layers layers, int64_t layer, int64_t layer_count);

// When a line holds.
enum class When : uint8_t {
  always,
  grouped_queries,  // four or more query heads for each key head
  with_importance,  // there is an importance matrix
  without_importance,
};

struct SchemeLine {
  Part part;
  Layers layers;
  When when;
  const char* grid;
};

struct Scheme {
  TargetFormat format;
  const char* name;                   // in lower case, as options and reports say it
  const char* grid;                   // of what no line is for
  std::span<const SchemeLine> lines;  // the first that fits counts
  const char* summary;                // a few words for help
};

std::span<const Scheme> scheme_table();
// Whether `scheme` is one of the format's: of its own, or for packed files one of GGUF.
bool has_scheme(TargetFormat format, const Scheme& scheme);

// The format's scheme called `name`, in any case. usage when there is none: lists them.
Result<const Scheme*> find_scheme(TargetFormat format, std::string_view name);
// What is taken when nothing is said.
const Scheme& default_scheme(TargetFormat format);

// A grid by the name that schemes and rules use: but for MLX a name of the grid table
// ("q4_0", "bf16"); for MLX a float, "mxfp4", or bits and group ("4", "6-g32"). usage when the
// format cannot hold it or phial cannot encode it. MLX scales get `scale`.
Result<StoredGrid> grid_by_name(TargetFormat format, std::string_view name, ScaleKind scale);

// The names that grid_by_name() takes for rows of so many columns (0: of any), with commas.
std::string known_grids(TargetFormat format, int64_t columns = 0);

// Every grid that a format can hold and phial can encode, for rows of so many columns. MLX scales
// get `scale`.
std::vector<StoredGrid> written_grids(TargetFormat format, int64_t columns, ScaleKind scale);

// What `scheme` stores `tensor` in, before fallbacks.
const char* scheme_grid(const Scheme& scheme, const TargetTensor& tensor, const ModelSpec& spec,
                        bool has_importance);

// llama.cpp's choice for rows that are no whole number of the grid's blocks: a grid of smaller
// blocks that takes about as many bits, or f16. The grid itself where the rows fit.
Grid fallback_grid(Grid grid, int64_t columns);

inline constexpr TargetFormat kTargetFormats[] = {TargetFormat::gguf, TargetFormat::mlx,
                                                  TargetFormat::safetensors, TargetFormat::phial};
// "gguf", "mlx", "safetensors", "phial".
const char* format_name(TargetFormat format);

}  // namespace phial

#include "model/mlx_weights.h"

#include <fmt/format.h>

#include <span>

namespace phial {
namespace {

constexpr const char* kKey = "quantization";
constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kScales = ".scales";
constexpr std::string_view kBiases = ".biases";

std::string entry_place(std::string_view module) {
  return module.empty() ? fmt::format("config.json: {}", kKey)
                        : fmt::format("config.json: {}: {}", kKey, printable(module, 200));
}

Result<int32_t> small_integer(const Json& entry, const char* key, int32_t fallback,
                              std::string_view module) {
  const Json* value = entry.find(key);
  if (value == nullptr || value->is_null()) return fallback;
  const int64_t* integer = value->if_integer();
  if (integer == nullptr || *integer < 1 || *integer > INT32_MAX) {
    return damaged(entry_place(module), fmt::format("{}: expected a positive integer, got {}", key,
                                                    printable(to_text(*value), 60)));
  }
  return static_cast<int32_t>(*integer);
}

// An entry: {"group_size", "bits", "mode"} and, in the one for all, those of single modules.
Result<MlxQuantization> read_entry(const Json& entry, std::string_view module) {
  MlxQuantization out;
  if (const Json* mode = entry.find("mode"); mode != nullptr && !mode->is_null()) {
    if (mode->if_string() == nullptr) {
      return damaged(entry_place(module),
                     fmt::format("mode: expected a string, got {}", mode->kind_name()));
    }
    out.mode = *mode->if_string();
  }
  if (out.mode == "mxfp8") out.bits = 8;
  if (out.mode != "affine") out.group_size = 32;
  PHIAL_ASSIGN(out.bits, small_integer(entry, "bits", out.bits, module));
  PHIAL_ASSIGN(out.group_size, small_integer(entry, "group_size", out.group_size, module));
  if (const Result<AffineGrid> grid = mlx_grid(out, ScaleKind::f16); !grid.ok()) {
    return make_error(grid.error().code, entry_place(module), grid.error().message,
                      grid.error().hint);
  }
  return out;
}

Error wrong_shape(const NamedTensor& tensor, std::span<const int64_t> expected,
                  const MlxQuantization& quantization) {
  return damaged(tensor.file + ": " + tensor.name,
                 fmt::format("expected the shape [{}] of {}, found [{}]", fmt::join(expected, ", "),
                             to_text(quantization), fmt::join(tensor.view.shape, ", ")),
                 "config.json's \"quantization\" says how it was quantized");
}

// A plane of one number per group.
Status check_numbers(const NamedTensor& tensor, Grid grid, std::span<const int64_t> shape,
                     const MlxQuantization& quantization) {
  if (tensor.view.grid != grid) {
    return damaged(tensor.file + ": " + tensor.name,
                   fmt::format("expected {} numbers, found {}", grid_info(grid).name,
                               grid_info(tensor.view.grid).name));
  }
  if (!std::equal(shape.begin(), shape.end(), tensor.view.shape.begin(), tensor.view.shape.end())) {
    return wrong_shape(tensor, shape, quantization);
  }
  return {};
}

Error not_there(const NamedTensor& weight, std::string_view module, std::string_view ending) {
  return damaged(weight.file + ": " + weight.name,
                 fmt::format("is stored as {}, but {}{} is missing", weight.dtype,
                             printable(module, 200), ending));
}

// The planes of a module whose entry is `quantization`.
Result<MlxWeight> bind_planes(const Checkpoint& checkpoint, const NamedTensor& weight,
                              const NamedTensor& scales, const MlxQuantization& quantization,
                              int64_t rows, int64_t columns) {
  const std::string module(mlx_module(weight.name));
  const bool is_affine = quantization.mode == "affine";
  const std::optional<ScaleKind> kind = scale_kind_of(scales.view.grid);
  if (is_affine && !kind) {
    return damaged(scales.file + ": " + scales.name,
                   fmt::format("expected F16, BF16 or F32 numbers, found {}", scales.dtype));
  }
  PHIAL_ASSIGN(const AffineGrid grid, mlx_grid(quantization, kind.value_or(ScaleKind::e8m0)));
  if (columns % grid.group_columns != 0) {
    return damaged(
        weight.file + ": " + weight.name,
        fmt::format("groups of {} do not divide {} columns", grid.group_columns, columns),
        "config.json's \"quantization\" says how it was quantized");
  }
  const int64_t words[] = {rows, columns * grid.bits / 32};
  if (weight.view.grid != Grid::u32) {
    return damaged(weight.file + ": " + weight.name,
                   fmt::format("expected U32 words of codes, found {}", weight.dtype));
  }
  if (!std::equal(std::begin(words), std::end(words), weight.view.shape.begin(),
                  weight.view.shape.end())) {
    return wrong_shape(weight, words, quantization);
  }
  const int64_t groups[] = {rows, columns / grid.group_columns};
  const Grid numbers = is_affine ? scales.view.grid : Grid::u8;
  PHIAL_TRY(check_numbers(scales, numbers, groups, quantization));

  MlxWeight out;
  out.companions = {&scales};
  out.matrix = {.grid = grid,
                .codes = weight.view.bytes.data(),
                .code_row_bits = columns * grid.bits,
                .scales = scales.view.bytes.data(),
                .scale_row = groups[1]};
  if (!is_affine) return out;
  const NamedTensor* biases = checkpoint.find(module + std::string(kBiases));
  if (biases == nullptr) return not_there(weight, module, kBiases);
  PHIAL_TRY(check_numbers(*biases, numbers, groups, quantization));
  out.companions.push_back(biases);
  out.matrix.offsets = biases->view.bytes.data();
  out.matrix.offset_row = groups[1];
  return out;
}

}  // namespace

bool is_mlx_quantized(const Checkpoint& checkpoint) {
  const Json* entry = checkpoint.config.find(kKey);
  return checkpoint.format == Checkpoint::Format::safetensors && entry != nullptr &&
         !entry->is_null();
}

Result<std::optional<MlxQuantization>> mlx_quantization_of(const Checkpoint& checkpoint,
                                                           std::string_view module) {
  const Json* common = checkpoint.config.find(kKey);
  if (common == nullptr || common->if_object() == nullptr) {
    return damaged(entry_place(""), "expected an object");
  }
  const Json* own = common->find(module);
  if (own == nullptr || own->is_null()) own = common;
  if (const bool* flag = own->if_bool()) {
    if (!*flag) return std::optional<MlxQuantization>();
    own = common;
  }
  if (own->if_object() == nullptr) {
    return damaged(entry_place(module), fmt::format("expected an object or false, got {}",
                                                    printable(to_text(*own), 60)));
  }
  PHIAL_ASSIGN(MlxQuantization out, read_entry(*own, own == common ? "" : module));
  return std::optional<MlxQuantization>(std::move(out));
}

Result<MlxWeight> bind_mlx_weight(const Checkpoint& checkpoint, const NamedTensor& weight,
                                  int64_t rows, int64_t columns) {
  const std::string module(mlx_module(weight.name));
  const NamedTensor* scales = checkpoint.find(module + std::string(kScales));
  if (scales == nullptr) {
    if (weight.view.grid == Grid::u32) return not_there(weight, module, kScales);
    return MlxWeight{};
  }
  PHIAL_ASSIGN(const auto quantization, mlx_quantization_of(checkpoint, module));
  if (!quantization) {
    return damaged(scales->file + ": " + scales->name,
                   "config.json's \"quantization\" says that this module is not quantized");
  }
  return bind_planes(checkpoint, weight, *scales, *quantization, rows, columns);
}

std::optional<MlxPart> mlx_part(const Checkpoint& checkpoint, const NamedTensor& tensor) {
  if (!is_mlx_quantized(checkpoint)) return std::nullopt;
  for (const std::string_view ending : {kWeight, kScales, kBiases}) {
    if (!tensor.name.ends_with(ending)) continue;
    const std::string module = tensor.name.substr(0, tensor.name.size() - ending.size());
    const NamedTensor* codes = checkpoint.find(module + std::string(kWeight));
    if (codes == nullptr || codes->view.grid != Grid::u32) return std::nullopt;
    if (checkpoint.find(module + std::string(kScales)) == nullptr) return std::nullopt;
    const auto quantization = mlx_quantization_of(checkpoint, module);
    if (!quantization.ok() || !*quantization) return std::nullopt;
    MlxPart part{to_text(**quantization), 0};
    if (&tensor == codes) part.weights = tensor.view.elements() * 32 / (*quantization)->bits;
    return part;
  }
  return std::nullopt;
}

}  // namespace phial

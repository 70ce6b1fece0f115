#include "quantize/recode.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "tensor/block_pack.h"
#include "tensor/numbers.h"
#include "tensor/packed.h"
#include "tensor/planes.h"

namespace phial {
namespace {

constexpr int kGroup = 32;  // columns that are carried over at a time

// What whole numbers a grid's codes stand for: value = scale * number + (with_minimum) minimum.
struct Numbers {
  int low = 0, high = 0;
  bool with_minimum = false;
  int group_columns = kGroup;
  ScaleKind scale = ScaleKind::f16;
  // Where high - low is 0 there are none.
  bool any() const { return high > low; }
};

Numbers numbers_of(Grid grid) {
  switch (grid) {
    case Grid::q4_0:
      return {-8, 7};
    case Grid::q5_0:
      return {-16, 15};
    case Grid::q8_0:
    case Grid::iq4_nl:
      return {-128, 127};
    case Grid::q4_1:
      return {0, 15, true};
    case Grid::q5_1:
      return {0, 31, true};
    default:
      return {};
  }
}

Numbers numbers_of(const AffineGrid& grid) {
  const bool has_minimums = grid.codes == CodeKind::unsigned_bits &&
                            grid.offset == OffsetKind::minimum && grid.group_rows == 1;
  // Numbers of one byte would be no scales of the targets, whose minimums are of the same kind.
  if (!has_minimums || grid.scale == ScaleKind::e8m0) return {};
  if (grid.group_columns % kGroup != 0) return {};
  return {0, (1 << grid.bits) - 1, true, grid.group_columns, grid.scale};
}

Numbers numbers_of(const MatrixView& view) {
  return view.has_affine_grid() ? numbers_of(view.affine.grid) : numbers_of(view.grid);
}

// Those of a target: iq4_nl takes nothing but itself.
Numbers numbers_of(const StoredGrid& grid) {
  if (!grid.has_planes()) return grid.grid == Grid::iq4_nl ? Numbers{} : numbers_of(grid.grid);
  return grid.bits == 0 ? Numbers{} : numbers_of(grid.affine());
}

bool fits(const Numbers& from, const Numbers& into) {
  if (!from.any() || !into.any() || from.scale != into.scale) return false;
  if (from.group_columns % into.group_columns != 0) return false;
  if (from.with_minimum) return into.with_minimum && from.high <= into.high;
  const int zero = into.with_minimum ? (into.high + 1) / 2 : 0;
  return from.low >= into.low - zero && from.high <= into.high - zero;
}

bool is_mxfp4(const MatrixView& view) {
  return !view.has_affine_grid() && view.grid == Grid::mxfp4;
}

bool is_mxfp4(const StoredGrid& grid) { return !grid.has_planes() && grid.grid == Grid::mxfp4; }

bool is_mlx_mxfp4(const AffineGrid& grid) {
  return grid.codes == CodeKind::f4_e2m1 && grid.scale == ScaleKind::e8m0 &&
         grid.offset == OffsetKind::none && grid.group_columns == kGroup && grid.group_rows == 1;
}
bool is_mlx_mxfp4(const MatrixView& view) {
  return view.has_affine_grid() && is_mlx_mxfp4(view.affine.grid);
}
bool is_mlx_mxfp4(const StoredGrid& grid) {
  return grid.has_planes() && is_mlx_mxfp4(grid.affine());
}

bool is_same_planes(const AffineGrid& a, const AffineGrid& b) {
  return a.codes == b.codes && a.bits == b.bits && a.group_columns == b.group_columns &&
         a.group_rows == 1 && b.group_rows == 1 && a.scale == b.scale && a.offset == b.offset;
}

// A group of 32 columns.
struct Carried {
  uint32_t scale = 0, minimum = 0;  // the bits of numbers of the kind that source and target share
  int16_t numbers[kGroup] = {};
};

Carried carried_from_block(Grid grid, const uint8_t* block) {
  Carried out;
  out.scale = load_number<uint16_t>(block);
  const auto nibble = [](const uint8_t* qs, int i) {
    return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
  };
  for (int i = 0; i < kGroup; ++i) {
    int number = 0;
    switch (grid) {
      case Grid::q4_0:
        number = nibble(block + 2, i) - 8;
        break;
      case Grid::iq4_nl:
        number = kIq4Levels[nibble(block + 2, i)];
        break;
      case Grid::q4_1:
        number = nibble(block + 4, i);
        break;
      case Grid::q5_0:
        number = (nibble(block + 6, i) | (block[2 + i / 8] >> i % 8 & 1) << 4) - 16;
        break;
      case Grid::q5_1:
        number = nibble(block + 8, i) | (block[4 + i / 8] >> i % 8 & 1) << 4;
        break;
      default:
        number = static_cast<int8_t>(block[2 + i]);
    }
    out.numbers[i] = static_cast<int16_t>(number);
  }
  if (numbers_of(grid).with_minimum) out.minimum = load_number<uint16_t>(block + 2);
  return out;
}

// Number `i` of a plane, as bits.
uint32_t raw_number(ScaleKind kind, const uint8_t* plane, int64_t i) {
  return kind == ScaleKind::f32 ? load_number<uint32_t>(plane + 4 * i)
                                : load_number<uint16_t>(plane + 2 * i);
}
void put_raw_number(ScaleKind kind, uint32_t bits, int64_t i, uint8_t* plane) {
  if (kind == ScaleKind::f32) return store_number<uint32_t>(bits, plane + 4 * i);
  store_number<uint16_t>(static_cast<uint16_t>(bits), plane + 2 * i);
}

// The scale and the minimum of planes.
Carried carried_scales(const AffineMatrix& matrix, int64_t row, int64_t column) {
  const int64_t plane_row = matrix.first_row + row;
  const int64_t group = column / matrix.grid.group_columns;
  const ScaleKind kind = matrix.grid.scale;
  Carried out;
  out.scale = raw_number(kind, matrix.scales, plane_row * matrix.scale_row + group);
  out.minimum = raw_number(kind, matrix.offsets, plane_row * matrix.offset_row + group);
  return out;
}

Carried carried_from(const MatrixView& view, int64_t row, int64_t column) {
  if (!view.is_affine()) {
    return carried_from_block(view.grid, view.row(row) + row_bytes(view.grid, column));
  }
  const AffineMatrix& matrix = view.affine;
  const int64_t plane_row = matrix.first_row + row;
  Carried out = carried_scales(matrix, row, column);
  for (int i = 0; i < kGroup; ++i) {
    out.numbers[i] = static_cast<int16_t>(
        load_bits(matrix.codes, plane_row * matrix.code_row_bits + (column + i) * matrix.grid.bits,
                  matrix.grid.bits));
  }
  return out;
}

// Gives a group without a minimum the one that makes its numbers start at 0.
Status shift_to(const Numbers& into, Carried& group) {
  const int zero = (into.high + 1) / 2;
  const float minimum = f16_to_f32(static_cast<uint16_t>(group.scale)) * static_cast<float>(-zero);
  const uint16_t stored = f32_to_f16(minimum);
  group.minimum = stored;
  if (f16_to_f32(stored) != minimum) {
    return unsupported("scale", "a minimum is beyond what float16 holds",
                       "choose a grid of floats for it");
  }
  for (int16_t& number : group.numbers) number = static_cast<int16_t>(number + zero);
  return {};
}

float number_of(ScaleKind kind, uint32_t bits) {
  switch (kind) {
    case ScaleKind::f16:
      return f16_to_f32(static_cast<uint16_t>(bits));
    case ScaleKind::bf16:
      return bf16_to_f32(static_cast<uint16_t>(bits));
    default:
      return std::bit_cast<float>(bits);
  }
}

bool put_as_f16(ScaleKind kind, uint32_t& bits) {
  const float value = number_of(kind, bits);
  const uint16_t stored = f32_to_f16(value);
  bits = stored;
  return f16_to_f32(stored) == value;
}

// Makes scale and minimum those of a block of `into`, and says what is to be taken off the numbers;
// nothing where some value has no such form. A grid without a minimum has one where the minimum is
// a whole multiple of the scale.
std::optional<int> fit_scales(const Numbers& from, const Numbers& into, Carried& group) {
  int zero = 0;
  if (!into.with_minimum) {
    const float scale = number_of(from.scale, group.scale);
    const float minimum = number_of(from.scale, group.minimum);
    const float multiple = scale == 0 ? 0 : -minimum / scale;
    if (!(std::abs(multiple) <= 256) || std::nearbyint(multiple) * scale != -minimum) {
      return std::nullopt;
    }
    zero = static_cast<int>(std::nearbyint(multiple));
  } else if (!put_as_f16(from.scale, group.minimum)) {
    return std::nullopt;
  }
  if (!put_as_f16(from.scale, group.scale)) return std::nullopt;
  return zero;
}

bool shift_by(int zero, const Numbers& into, Carried& group) {
  bool all = true;
  for (int16_t& number : group.numbers) {
    number = static_cast<int16_t>(number - zero);
    all = all && number >= into.low && number <= into.high;
  }
  return all;
}

void put_block(Grid grid, const Carried& group, int low, uint8_t* block) {
  BlockCodes codes;
  codes.d = static_cast<uint16_t>(group.scale);
  codes.m = static_cast<uint16_t>(group.minimum);
  const int zero = grid == Grid::q8_0 ? 0 : -low;
  for (int i = 0; i < kGroup; ++i) codes.codes[i] = static_cast<uint8_t>(group.numbers[i] + zero);
  pack_block(grid, codes, block);
}

void put_planes(const StoredGrid& grid, const Carried& group, int64_t column,
                uint8_t* const* planes) {
  const int64_t index = column / grid.group_columns;
  put_raw_number(grid.scale, group.scale, index, planes[1]);
  put_raw_number(grid.scale, group.minimum, index, planes[2]);
  for (int i = 0; i < kGroup; ++i) {
    store_bits(static_cast<uint32_t>(group.numbers[i]), (column + i) * grid.bits, grid.bits,
               planes[0]);
  }
}

// ggml keeps codes i and i + 16 in a byte, MLX 2 i and 2 i + 1.
void put_mlx_mxfp4(const MatrixView& view, int64_t row, uint8_t* const* planes) {
  for (int64_t b = 0; b < view.columns / kGroup; ++b) {
    const uint8_t* block = view.row(row) + b * static_cast<int64_t>(sizeof(BlockMXFP4));
    planes[1][b] = block[0];
    for (int i = 0; i < 16; ++i) {
      const auto code = [block](int j) { return j < 16 ? block[1 + j] & 15 : block[j - 15] >> 4; };
      planes[0][b * 16 + i] = static_cast<uint8_t>(code(2 * i) | code(2 * i + 1) << 4);
    }
  }
}

// The same the other way round.
void put_mxfp4(const MatrixView& view, int64_t row, uint8_t* out) {
  const AffineMatrix& matrix = view.affine;
  const int64_t plane_row = matrix.first_row + row;
  for (int64_t b = 0; b < view.columns / kGroup; ++b) {
    const auto code = [&](int i) {
      return load_bits(matrix.codes, plane_row * matrix.code_row_bits + 4 * (b * kGroup + i), 4);
    };
    uint8_t* block = out + b * static_cast<int64_t>(sizeof(BlockMXFP4));
    block[0] = matrix.scales[plane_row * matrix.scale_row + b];
    for (int i = 0; i < 16; ++i) block[1 + i] = static_cast<uint8_t>(code(i) | code(i + 16) << 4);
  }
}

void copy_planes(const MatrixView& view, int64_t row, const StoredGrid& grid,
                 uint8_t* const* planes) {
  const AffineMatrix& matrix = view.affine;
  const int64_t plane_row = matrix.first_row + row;
  const std::vector<int64_t> bytes = grid.plane_row_bytes(view.columns);
  const int64_t scale = scale_bytes(grid.affine().scale);
  const auto copy = [&](size_t plane, const uint8_t* from) {
    std::memcpy(planes[plane], from, static_cast<size_t>(bytes[plane]));
  };
  copy(0, matrix.codes + plane_row * matrix.code_row_bits / 8);
  copy(1, matrix.scales + plane_row * matrix.scale_row * scale);
  if (bytes.size() > 2) copy(2, matrix.offsets + plane_row * matrix.offset_row * scale);
}

// A row of a packed matrix as a matrix of its own, in the grid that was packed.
struct RestoredRow {
  RestoredRow(const MatrixView& packed, int64_t row) {
    view.grid = packed.grid;
    view.rows = 1;
    view.columns = packed.columns;
    if (!packed.was_affine) {
      view.row_stride = row_bytes(packed.grid, packed.columns);
      bytes.resize(static_cast<size_t>(view.row_stride));
      restore_row(packed.packed, packed.grid, row, bytes.data());
      view.data = bytes.data();
      return;
    }
    const AffineGrid& grid = packed.affine.grid;
    const AffineRowBytes sizes = affine_row_bytes(grid, packed.columns);
    bytes.resize(static_cast<size_t>(sizes.codes + sizes.scales + sizes.offsets));
    uint8_t* scales = bytes.data() + sizes.codes;
    uint8_t* offsets = scales + sizes.scales;
    restore_row(packed.packed, grid, row, bytes.data(), scales, offsets);
    view.affine = {.grid = grid,
                   .codes = bytes.data(),
                   .code_row_bits = 8 * sizes.codes,
                   .scales = scales,
                   .offsets = offsets};
  }
  RestoredRow(const RestoredRow&) = delete;
  RestoredRow& operator=(const RestoredRow&) = delete;

  MatrixView view;  // into `bytes`
  std::vector<uint8_t> bytes;
};

// Whether every float of `from` is one of `into`.
bool is_wider(Grid from, Grid into) {
  if (from == into || into == Grid::f32) {
    return from == Grid::f32 || from == Grid::f16 || from == Grid::bf16 || from == Grid::f8_e4m3 ||
           from == Grid::f8_e5m2;
  }
  const bool is_f8 = from == Grid::f8_e4m3 || from == Grid::f8_e5m2;
  return is_f8 && (into == Grid::f16 || into == Grid::bf16);
}

bool is_same_grid(const MatrixView& view, const StoredGrid& grid) {
  if (view.has_affine_grid() != grid.has_planes()) return false;
  if (!view.has_affine_grid()) return view.grid == grid.grid;
  // Rows of codes that begin within a byte are no plane of MLX.
  return is_same_planes(view.affine.grid, grid.affine()) && view.affine.code_row_bits % 8 == 0;
}

// Whether the data decide if codes can be carried over.
bool may_recode(const MatrixView& view, const StoredGrid& grid) {
  return view.has_affine_grid() && !grid.has_planes() && numbers_of(view).any() &&
         numbers_of(grid).any();
}

bool row_fits(const MatrixView& view, int64_t row, const Numbers& from, const Numbers& into) {
  for (int64_t column = 0; column < view.columns; column += from.group_columns) {
    Carried head = carried_scales(view.affine, row, column);
    const std::optional<int> zero = fit_scales(from, into, head);
    if (!zero) return false;
    if (from.low - *zero >= into.low && from.high - *zero <= into.high) continue;
    for (int64_t c = column; c < column + from.group_columns; c += kGroup) {
      Carried group = carried_from(view, row, c);
      if (!shift_by(*zero, into, group)) return false;
    }
  }
  return true;
}

// Whether codes can be carried over, whatever they are.
bool can_recode(const MatrixView& view, const StoredGrid& grid) {
  if (is_mxfp4(view)) return is_mlx_mxfp4(grid);
  if (is_mlx_mxfp4(view)) return is_mxfp4(grid);
  return fits(numbers_of(view), numbers_of(grid));
}

}  // namespace

std::string source_grid_name(const MatrixView& view) {
  if (!view.has_affine_grid()) return grid_info(view.grid).name;
  const AffineGrid& grid = view.affine.grid;
  if (grid.codes == CodeKind::f8_e4m3 || grid.codes == CodeKind::f8_e5m2) {
    return grid_info(view.grid).name;
  }
  return affine_grid_name(grid);
}

bool holds_exactly(const MatrixView& view, const StoredGrid& grid) {
  if (is_same_grid(view, grid) || can_recode(view, grid)) return true;
  // Decoding to float32 is what a reader of the source sees.
  if (grid.is_number() && grid.grid == Grid::f32) return true;
  return !view.has_affine_grid() && grid.is_number() && is_wider(view.grid, grid.grid);
}

bool holds_data(const MatrixView& view, const StoredGrid& grid) {
  if (!may_recode(view, grid)) return false;
  const Numbers from = numbers_of(view), into = numbers_of(grid);
  for (int64_t row = 0; row < view.rows; ++row) {
    if (view.is_packed()) {
      const RestoredRow restored(view, row);
      if (!row_fits(restored.view, 0, from, into)) return false;
    } else if (!row_fits(view, row, from, into)) {
      return false;
    }
  }
  return true;
}

StoredGrid kept_grid(TargetFormat format, const TargetTensor& tensor) {
  const MatrixView& view = tensor.pieces[0].view;
  std::vector<StoredGrid> candidates;
  if (format == TargetFormat::gguf) {
    if (!view.has_affine_grid() && gguf_can_hold(view.grid)) {
      candidates.push_back({.grid = view.grid});
    }
    for (const Grid grid :
         {Grid::mxfp4, Grid::q4_0, Grid::q4_1, Grid::q5_0, Grid::q5_1, Grid::q8_0}) {
      candidates.push_back({.grid = grid});
    }
  } else if (format == TargetFormat::mlx) {
    candidates.push_back({.grid = Grid::mxfp4, .group_columns = kGroup});
    const bool has_scales = view.has_affine_grid() && view.affine.grid.scale != ScaleKind::e8m0;
    const ScaleKind scale = has_scales ? view.affine.grid.scale : ScaleKind::f16;
    for (const int bits : {2, 3, 4, 5, 6, 8}) {
      for (const int group : {128, 64, 32}) {
        candidates.push_back({.group_columns = group, .bits = bits, .scale = scale});
      }
    }
  } else if (format == TargetFormat::phial) {
    const AffineGrid& affine = view.affine.grid;
    if (!view.has_affine_grid()) {
      if (grid_info(view.grid).block_values > 1) candidates.push_back({.grid = view.grid});
    } else if (numbers_of(affine).any()) {
      candidates.push_back(
          {.group_columns = affine.group_columns, .bits = affine.bits, .scale = affine.scale});
    } else {
      candidates.push_back({.grid = Grid::mxfp4});
    }
  }
  candidates.push_back({.grid = Grid::f16});
  candidates.push_back({.grid = Grid::bf16});
  for (const StoredGrid& grid : candidates) {
    bool all = tensor.shape[1] % grid.block_columns() == 0;
    for (const TargetRows& piece : tensor.pieces) {
      all = all && (holds_exactly(piece.view, grid) || holds_data(piece.view, grid));
    }
    if (all) return grid;
  }
  return {};
}

Transfer transfer_of(const TargetTensor& tensor, const StoredGrid& grid) {
  Transfer transfer = Transfer::copied;
  for (const TargetRows& piece : tensor.pieces) {
    if (is_same_grid(piece.view, grid)) continue;
    if (!can_recode(piece.view, grid) && !holds_data(piece.view, grid)) return Transfer::encoded;
    transfer = Transfer::recoded;
  }
  return transfer;
}

Status recode_row(const MatrixView& view, int64_t row, const StoredGrid& grid,
                  uint8_t* const* planes) {
  if (view.is_packed()) {
    const RestoredRow restored(view, row);
    return recode_row(restored.view, 0, grid, planes);
  }
  if (is_same_grid(view, grid)) {
    if (grid.has_planes()) {
      copy_planes(view, row, grid, planes);
      return {};
    }
    std::memcpy(planes[0], view.row(row), static_cast<size_t>(row_bytes(view.grid, view.columns)));
    return {};
  }
  if (is_mlx_mxfp4(grid)) {
    put_mlx_mxfp4(view, row, planes);
    return {};
  }
  if (is_mlx_mxfp4(view)) {
    put_mxfp4(view, row, planes[0]);
    return {};
  }
  const Numbers from = numbers_of(view), into = numbers_of(grid);
  const bool as_they_are = fits(from, into);
  for (int64_t column = 0; column < view.columns; column += kGroup) {
    Carried group = carried_from(view, row, column);
    if (!as_they_are) {
      const std::optional<int> zero = fit_scales(from, into, group);
      if (!zero || !shift_by(*zero, into, group)) {
        return internal_error("codes", "do not fit the grid they were found to fit");
      }
    } else if (into.with_minimum && !from.with_minimum) {
      PHIAL_TRY(shift_to(into, group));
    }
    if (grid.has_planes()) {
      put_planes(grid, group, column, planes);
    } else {
      put_block(grid.grid, group, into.low, planes[0] + phial::row_bytes(grid.grid, column));
    }
  }
  return {};
}

std::optional<MlxQuantization> mlx_quantization(const StoredGrid& grid) {
  if (!grid.has_planes()) return std::nullopt;
  if (grid.bits == 0) return MlxQuantization{"mxfp4", 4, grid.group_columns};
  return MlxQuantization{"affine", grid.bits, grid.group_columns};
}

}  // namespace phial

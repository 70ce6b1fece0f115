#include "model/phial_target.h"

#include <fmt/format.h>

#include <utility>

#include "base/checked.h"
#include "base/json.h"
#include "tensor/packed.h"

namespace phial {
namespace {

constexpr const char* kPanels = "panels-1";
constexpr const char* kRows = "rows-1";
constexpr size_t kMostBytes = 4096;
constexpr int64_t kMostExtent = int64_t{1} << 40;  // so that bytes of a row are far below 63 bits

constexpr std::pair<const char*, CodeKind> kCodes[] = {{"unsigned", CodeKind::unsigned_bits},
                                                       {"signed", CodeKind::signed_bits}};
constexpr std::pair<const char*, ScaleKind> kScales[] = {
    {"f32", ScaleKind::f32},
    {"f16", ScaleKind::f16},
    {"bf16", ScaleKind::bf16},
    {"e8m0", ScaleKind::e8m0},
};
constexpr std::pair<const char*, OffsetKind> kOffsets[] = {
    {"none", OffsetKind::none}, {"middle", OffsetKind::middle},   {"codes", OffsetKind::codes},
    {"real", OffsetKind::real}, {"minimum", OffsetKind::minimum},
};

template <class T, size_t kCount>
const char* name_of(const std::pair<const char*, T> (&names)[kCount], T value) {
  for (const auto& [name, named] : names) {
    if (named == value) return name;
  }
  return "";
}

// Reads the members of a description.
class Reader {
 public:
  explicit Reader(const std::string& where) : where_(where) {}

  Result<const Json*> member(const Json& object, const char* key) const {
    const Json* value = object.find(key);
    if (value == nullptr) return damaged(where_, fmt::format("its description has no \"{}\"", key));
    return value;
  }

  Result<std::string> text(const Json& object, const char* key) const {
    PHIAL_ASSIGN(const Json* value, member(object, key));
    if (value->if_string() == nullptr) return wrong(key, "a string", *value);
    return *value->if_string();
  }

  Result<int64_t> integer(const Json& object, const char* key, int64_t most) const {
    PHIAL_ASSIGN(const Json* value, member(object, key));
    const int64_t* number = value->if_integer();
    if (number == nullptr || *number < 1 || *number > most) {
      return wrong(key, fmt::format("an integer from 1 to {}", most), *value);
    }
    return *number;
  }

  template <class T, size_t kCount>
  Result<T> choice(const Json& object, const char* key,
                   const std::pair<const char*, T> (&names)[kCount]) const {
    PHIAL_ASSIGN(const std::string name, text(object, key));
    for (const auto& [known, value] : names) {
      if (name == known) return value;
    }
    return unknown(key, name);
  }

  Result<std::pair<int64_t, int64_t>> shape(const Json& object) const {
    PHIAL_ASSIGN(const Json* value, member(object, "shape"));
    const Json::Array* extents = value->if_array();
    const auto extent = [&](size_t i) {
      const int64_t* number = (*extents)[i].if_integer();
      return number == nullptr || *number > kMostExtent ? int64_t{0} : *number;
    };
    if (extents == nullptr || extents->size() != 2 || extent(0) < 1 || extent(1) < 1) {
      return wrong("shape", fmt::format("two integers from 1 to {}", kMostExtent), *value);
    }
    return std::pair(extent(0), extent(1));
  }

  Error unknown(const char* key, const std::string& name) const {
    return unsupported(
        where_, fmt::format("{}: \"{}\" is unknown to this version", key, printable(name, 60)),
        "a newer phial may read it");
  }

 private:
  Error wrong(const char* key, std::string_view expected, const Json& found) const {
    return damaged(where_, fmt::format("{}: expected {}, found {}", key, expected,
                                       printable(phial::to_text(found), 60)));
  }

  const std::string& where_;
};

Result<AffineGrid> read_affine(const Reader& reader, const Json& object) {
  AffineGrid grid;
  PHIAL_ASSIGN(grid.codes, reader.choice(object, "codes", kCodes));
  PHIAL_ASSIGN(const int64_t bits, reader.integer(object, "bits", 8));
  PHIAL_ASSIGN(const int64_t group, reader.integer(object, "group", INT32_MAX));
  PHIAL_ASSIGN(grid.scale, reader.choice(object, "scale", kScales));
  PHIAL_ASSIGN(grid.offset, reader.choice(object, "offset", kOffsets));
  const bool has_numbers = grid.offset == OffsetKind::real || grid.offset == OffsetKind::minimum;
  if (grid.scale == ScaleKind::e8m0 && has_numbers) {
    return reader.unknown("offset", "of the kind e8m0");
  }
  grid.bits = static_cast<int32_t>(bits);
  grid.group_columns = static_cast<int32_t>(group);
  return grid;
}

Json to_json(const AffineGrid& grid) {
  Json out;
  out.set("codes", name_of(kCodes, grid.codes));
  out.set("bits", static_cast<int64_t>(grid.bits));
  out.set("group", static_cast<int64_t>(grid.group_columns));
  out.set("scale", name_of(kScales, grid.scale));
  out.set("offset", name_of(kOffsets, grid.offset));
  return out;
}

Status read_grid(const Reader& reader, const Json& description, PhialMatrix& out) {
  PHIAL_ASSIGN(const Json* grid, reader.member(description, "grid"));
  if (grid->if_object() != nullptr) {
    PHIAL_ASSIGN(const AffineGrid affine, read_affine(reader, *grid));
    out.affine = affine;
    return {};
  }
  PHIAL_ASSIGN(const std::string name, reader.text(description, "grid"));
  for (const GridInfo& info : grid_table()) {
    if (name != info.name || info.is_integer) continue;
    out.grid = info.grid;
    return {};
  }
  return reader.unknown("grid", name);
}

}  // namespace

std::optional<PackedLayout> layout_of(const PhialMatrix& matrix) {
  return matrix.affine ? packed_layout(*matrix.affine, matrix.columns)
                       : packed_layout(matrix.grid, matrix.columns);
}

Result<SafetensorsTensor> phial_tensor(std::string_view name, const PhialMatrix& matrix) {
  SafetensorsTensor tensor;
  tensor.name = name;
  tensor.grid = Grid::u8;
  if (matrix.in_panels) {
    const std::optional<PackedLayout> layout = layout_of(matrix);
    if (!layout) return internal_error(tensor.name, "panels do not hold it");
    tensor.shape = {ceil_div<int64_t>(matrix.rows, kPackedRows), layout->panel_bytes};
  } else {
    tensor.shape = {matrix.rows, row_bytes(matrix.grid, matrix.columns)};
  }
  return tensor;
}

std::string to_text(const PhialMatrix& matrix) {
  Json shape{Json::Array()};
  shape.push(matrix.rows);
  shape.push(matrix.columns);
  Json out;
  out.set("layout", matrix.in_panels ? kPanels : kRows);
  out.set("grid", matrix.affine ? to_json(*matrix.affine) : Json(grid_info(matrix.grid).name));
  out.set("shape", std::move(shape));
  return to_text(out);
}

Result<PhialMatrix> parse_description(std::string_view text, const std::string& where) {
  if (text.size() > kMostBytes) {
    return damaged(where, fmt::format("its description has {} bytes", text.size()));
  }
  PHIAL_ASSIGN(const Json description, parse_json(text, where));
  if (description.if_object() == nullptr) {
    return damaged(where, fmt::format("its description: expected an object, found {}",
                                      description.kind_name()));
  }
  const Reader reader(where);
  PhialMatrix out;
  PHIAL_ASSIGN(const std::string layout, reader.text(description, "layout"));
  if (layout != kPanels && layout != kRows) return reader.unknown("layout", layout);
  out.in_panels = layout == kPanels;
  PHIAL_TRY(read_grid(reader, description, out));
  PHIAL_ASSIGN(const auto shape, reader.shape(description));
  out.rows = shape.first;
  out.columns = shape.second;
  if (out.in_panels) {
    const std::optional<PackedLayout> panels = layout_of(out);
    if (!panels || !packed_bytes(*panels, out.rows)) {
      return unsupported(where, fmt::format("panels do not hold {} rows of {} columns of {}",
                                            out.rows, out.columns, grid_name(out)));
    }
  } else if (out.affine || out.columns % grid_info(out.grid).block_values != 0) {
    return unsupported(
        where, fmt::format("rows do not hold {} columns of {}", out.columns, grid_name(out)));
  }
  return out;
}

std::string grid_name(const PhialMatrix& matrix) {
  return matrix.affine ? affine_grid_name(*matrix.affine) : grid_info(matrix.grid).name;
}

}  // namespace phial

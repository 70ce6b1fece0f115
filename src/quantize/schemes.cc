#include "quantize/schemes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace phial {
namespace {

using enum Part;
using enum Layers;
using enum When;

// llama.cpp's mixes (llama-quant.cpp). The name says the grid of most matrices; parts that matter
// more get more bits.
constexpr SchemeLine kPlain[] = {{output, all, always, "q6_k"}};
constexpr SchemeLine kQ2K[] = {
    {output, all, always, "q6_k"},        {attention_v, all, grouped_queries, "q4_k"},
    {attention_v, all, always, "q3_k"},   {mlp_down, all, always, "q3_k"},
    {attention_out, all, always, "q3_k"},
};
constexpr SchemeLine kQ3KM[] = {
    {output, all, always, "q6_k"},      {attention_v, first_two, always, "q5_k"},
    {attention_v, all, always, "q4_k"}, {mlp_down, first_sixteenth, always, "q5_k"},
    {mlp_down, all, always, "q4_k"},    {attention_out, all, always, "q4_k"},
};
constexpr SchemeLine kQ3KL[] = {
    {output, all, always, "q6_k"},
    {attention_v, all, always, "q5_k"},
    {mlp_down, all, always, "q5_k"},
    {attention_out, all, always, "q5_k"},
};
constexpr SchemeLine kQ4KS[] = {
    {output, all, always, "q6_k"},
    {attention_v, first_four, always, "q5_k"},
    {mlp_down, first_eighth, always, "q5_k"},
};
constexpr SchemeLine kMedium[] = {
    {output, all, always, "q6_k"},
    {attention_v, more, always, "q6_k"},
    {mlp_down, more, always, "q6_k"},
};
constexpr SchemeLine kIq4[] = {
    {output, all, always, "q6_k"},
    {attention_v, all, grouped_queries, "q5_k"},
    {mlp_down, first_eighth, without_importance, "q5_k"},
};
constexpr SchemeLine kQ40[] = {
    {output, all, always, "q6_k"},
    {mlp_down, first_eighth, with_importance, "q4_1"},
};
constexpr SchemeLine kQ50[] = {
    {output, all, always, "q6_k"},
    {mlp_down, first_eighth, with_importance, "q5_1"},
};

// mlx-lm's mixed recipes: groups of 64; what is raised goes by the names v_proj, down_proj and
// lm_head, so that a fused qkv is not.
#define PHIAL_MLX_MIX(high)                                           \
  {                                                                   \
    {output, all, always, high}, {attention_v, more, always, high}, { \
      mlp_down, more, always, high                                    \
    }                                                                 \
  }
constexpr SchemeLine kMixTo4[] = PHIAL_MLX_MIX("4");
constexpr SchemeLine kMixTo6[] = PHIAL_MLX_MIX("6");
#undef PHIAL_MLX_MIX

constexpr TargetFormat kGguf = TargetFormat::gguf;
constexpr TargetFormat kMlx = TargetFormat::mlx;
constexpr TargetFormat kSafetensors = TargetFormat::safetensors;

constexpr Scheme kSchemes[] = {
    {kGguf, "q4_k_m", "q4_k", kMedium, "4 bits, half of v and down in 6"},
    {kGguf, "q4_k_s", "q4_k", kQ4KS, "4 bits"},
    {kGguf, "q5_k_m", "q5_k", kMedium, "5 bits, half of v and down in 6"},
    {kGguf, "q5_k_s", "q5_k", kPlain, "5 bits"},
    {kGguf, "q6_k", "q6_k", kPlain, "6 bits"},
    {kGguf, "q8_0", "q8_0", {}, "8 bits"},
    {kGguf, "q3_k_l", "q3_k", kQ3KL, "3 bits, v, down and attention output in 5"},
    {kGguf, "q3_k_m", "q3_k", kQ3KM, "3 bits, v, down and attention output in 4"},
    {kGguf, "q3_k_s", "q3_k", kPlain, "3 bits"},
    {kGguf, "q2_k", "q2_k", kQ2K, "2 bits, v, down and attention output in 3"},
    {kGguf, "iq4_nl", "iq4_nl", kIq4, "4 bits, uneven levels"},
    {kGguf, "iq4_xs", "iq4_xs", kIq4, "4.25 bits, uneven levels"},
    {kGguf, "q4_0", "q4_0", kQ40, "4 bits, groups of 32"},
    {kGguf, "q4_1", "q4_1", kPlain, "4 bits and a minimum, groups of 32"},
    {kGguf, "q5_0", "q5_0", kQ50, "5 bits, groups of 32"},
    {kGguf, "q5_1", "q5_1", kPlain, "5 bits and a minimum, groups of 32"},
    {kGguf, "mxfp4", "mxfp4", kPlain, "4-bit floats, groups of 32"},
    {kGguf, "f16", "f16", {}, "half precision"},
    {kGguf, "bf16", "bf16", {}, "bfloat16"},
    {kGguf, "f32", "f32", {}, "single precision"},
    {kMlx, "4", "4", {}, "4 bits, groups of 64"},
    {kMlx, "2", "2", {}, "2 bits, groups of 64"},
    {kMlx, "3", "3", {}, "3 bits, groups of 64"},
    {kMlx, "5", "5", {}, "5 bits, groups of 64"},
    {kMlx, "6", "6", {}, "6 bits, groups of 64"},
    {kMlx, "8", "8", {}, "8 bits, groups of 64"},
    {kMlx, "mixed_2_6", "2", kMixTo6, "2 bits, half of v and down in 6"},
    {kMlx, "mixed_3_4", "3", kMixTo4, "3 bits, half of v and down in 4"},
    {kMlx, "mixed_3_6", "3", kMixTo6, "3 bits, half of v and down in 6"},
    {kMlx, "mixed_4_6", "4", kMixTo6, "4 bits, half of v and down in 6"},
    {kMlx, "mxfp4", "mxfp4", {}, "4-bit floats, groups of 32"},
    {kMlx, "2-g32", "2-g32", {}, "2 bits, groups of 32"},
    {kMlx, "3-g32", "3-g32", {}, "3 bits, groups of 32"},
    {kMlx, "4-g32", "4-g32", {}, "4 bits, groups of 32"},
    {kMlx, "5-g32", "5-g32", {}, "5 bits, groups of 32"},
    {kMlx, "6-g32", "6-g32", {}, "6 bits, groups of 32"},
    {kMlx, "8-g32", "8-g32", {}, "8 bits, groups of 32"},
    {kMlx, "2-g128", "2-g128", {}, "2 bits, groups of 128"},
    {kMlx, "3-g128", "3-g128", {}, "3 bits, groups of 128"},
    {kMlx, "4-g128", "4-g128", {}, "4 bits, groups of 128"},
    {kMlx, "5-g128", "5-g128", {}, "5 bits, groups of 128"},
    {kMlx, "6-g128", "6-g128", {}, "6 bits, groups of 128"},
    {kMlx, "8-g128", "8-g128", {}, "8 bits, groups of 128"},
    {kMlx, "f16", "f16", {}, "half precision"},
    {kMlx, "bf16", "bf16", {}, "bfloat16"},
    {kMlx, "f32", "f32", {}, "single precision"},
    {kSafetensors, "bf16", "bf16", {}, "bfloat16"},
    {kSafetensors, "f16", "f16", {}, "half precision"},
    {kSafetensors, "f32", "f32", {}, "single precision"},
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

bool holds(When when, const ModelSpec& spec, bool has_importance) {
  switch (when) {
    case always:
      return true;
    case grouped_queries:
      return spec.attention.heads >= 4 * spec.attention.kv_heads;
    case with_importance:
      return has_importance;
    case without_importance:
      return !has_importance;
  }
  return false;
}

// Of numbers and blocks.
bool is_written(TargetFormat format, const GridInfo& info) {
  if (!info.can_encode) return false;
  if (format == TargetFormat::gguf || format == TargetFormat::phial) {
    return gguf_can_hold(info.grid);
  }
  return info.grid == Grid::f32 || info.grid == Grid::f16 || info.grid == Grid::bf16;
}

// "4", "4-g32".
std::optional<StoredGrid> mlx_grid(std::string_view name, ScaleKind scale) {
  StoredGrid grid = {.group_columns = 64, .scale = scale};
  const char* end = name.data() + name.size();
  const auto bits = std::from_chars(name.data(), end, grid.bits);
  if (bits.ec != std::errc()) return std::nullopt;
  const std::string_view rest(bits.ptr, static_cast<size_t>(end - bits.ptr));
  if (!rest.empty()) {
    if (!rest.starts_with("-g")) return std::nullopt;
    const auto group = std::from_chars(rest.data() + 2, end, grid.group_columns);
    if (group.ec != std::errc() || group.ptr != end) return std::nullopt;
  }
  const bool known_bits = grid.bits >= 2 && grid.bits <= 8 && grid.bits != 7;
  const bool known_group =
      grid.group_columns == 32 || grid.group_columns == 64 || grid.group_columns == 128;
  if (!known_bits || !known_group) return std::nullopt;
  return grid;
}

}  // namespace

Part part_of(const TargetTensor& tensor, const ModelSpec& spec) {
  switch (tensor.role) {
    case Role::lm_head:
      return output;
    case Role::token_embedding:
      return spec.tied_embeddings ? output : embedding;
    case Role::v:
    case Role::qkv:
      return attention_v;
    case Role::attention_out:
      return attention_out;
    case Role::down:
      return mlp_down;
    default:
      return other;
  }
}

bool holds_layer(Layers layers, int64_t layer, int64_t n) {
  switch (layers) {
    case all:
      return true;
    case first_two:
      return layer < 2;
    case first_four:
      return layer < 4;
    case first_sixteenth:
      return layer < n / 16;
    case first_eighth:
      return layer < n / 8;
    case more:
      return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
  }
  return false;
}

std::span<const Scheme> scheme_table() { return kSchemes; }

bool has_scheme(TargetFormat format, const Scheme& scheme) {
  return scheme.format == (format == TargetFormat::phial ? TargetFormat::gguf : format);
}

Result<const Scheme*> find_scheme(TargetFormat format, std::string_view name) {
  const std::string wanted = lower(name);
  std::string known;
  for (const Scheme& scheme : kSchemes) {
    if (!has_scheme(format, scheme)) continue;
    if (wanted == scheme.name) return &scheme;
    known += known.empty() ? "" : ", ";
    known += scheme.name;
  }
  return usage_error("scheme", fmt::format("{} has no scheme '{}'", format_name(format), name),
                     "it has " + known);
}

const Scheme& default_scheme(TargetFormat format) {
  // The first of each format.
  for (const Scheme& scheme : kSchemes) {
    if (has_scheme(format, scheme)) return scheme;
  }
  return kSchemes[0];
}

Result<StoredGrid> grid_by_name(TargetFormat format, std::string_view name, ScaleKind scale) {
  const std::string wanted = lower(name);
  for (const GridInfo& info : grid_table()) {
    if (wanted != info.name) continue;
    if (format == TargetFormat::mlx && info.grid == Grid::mxfp4) {
      return StoredGrid{.grid = Grid::mxfp4, .group_columns = 32, .scale = ScaleKind::e8m0};
    }
    if (is_written(format, info)) return StoredGrid{.grid = info.grid};
    return usage_error("grid",
                       fmt::format("{} cannot be written in {}", format_name(format), wanted),
                       "it has " + known_grids(format));
  }
  if (format == TargetFormat::mlx) {
    if (const auto grid = mlx_grid(wanted, scale)) return *grid;
  }
  return usage_error("grid", fmt::format("{} has no grid '{}'", format_name(format), name),
                     "it has " + known_grids(format));
}

std::string known_grids(TargetFormat format, int64_t columns) {
  std::string known;
  const auto add = [&known](std::string_view name) {
    known += known.empty() ? "" : ", ";
    known += name;
  };
  for (const GridInfo& info : grid_table()) {
    if (is_written(format, info) && columns % info.block_values == 0) add(info.name);
  }
  if (format != TargetFormat::mlx || columns % 32 != 0) return known;
  add("mxfp4");
  known += ", and 2, 3, 4, 5, 6 or 8 bits";
  if (columns % 64 == 0) known += ", such as 4 (groups of 64)";
  known += columns % 128 == 0  ? " or 4-g32 (groups of 32, or 128)"
           : columns % 64 == 0 ? " or 4-g32 (groups of 32)"
                               : " in groups of 32, such as 4-g32";
  return known;
}

std::vector<StoredGrid> written_grids(TargetFormat format, int64_t columns, ScaleKind scale) {
  std::vector<StoredGrid> grids;
  for (const GridInfo& info : grid_table()) {
    if (is_written(format, info) && columns % info.block_values == 0) {
      grids.push_back({.grid = info.grid});
    }
  }
  if (format != TargetFormat::mlx) return grids;
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {32, 64, 128}) {
      if (columns % group != 0) continue;
      grids.push_back({.group_columns = group, .bits = bits, .scale = scale});
    }
  }
  return grids;
}

const char* scheme_grid(const Scheme& scheme, const TargetTensor& tensor, const ModelSpec& spec,
                        bool has_importance) {
  const Part part = part_of(tensor, spec);
  for (const SchemeLine& line : scheme.lines) {
    // mlx-lm goes by names: a fused qkv is no v_proj, a tied embedding no lm_head.
    if (scheme.format == TargetFormat::mlx &&
        (tensor.role == Role::qkv || tensor.role == Role::token_embedding)) {
      continue;
    }
    if (line.part == part && holds_layer(line.layers, tensor.layer, spec.layers) &&
        holds(line.when, spec, has_importance)) {
      return line.grid;
    }
  }
  return scheme.grid;
}

Grid fallback_grid(Grid grid, int64_t columns) {
  if (columns % grid_info(grid).block_values == 0) return grid;
  if (columns % 32 != 0) return Grid::f16;
  switch (grid) {
    case Grid::q2_k:
    case Grid::q3_k:
    case Grid::tq1_0:
    case Grid::tq2_0:
      return Grid::q4_0;
    case Grid::q4_k:
      return Grid::q5_0;
    case Grid::q5_k:
      return Grid::q5_1;
    case Grid::q6_k:
      return Grid::q8_0;
    case Grid::iq4_xs:
      return Grid::iq4_nl;
    default:
      return Grid::f16;
  }
}

const char* format_name(TargetFormat format) {
  switch (format) {
    case TargetFormat::gguf:
      return "gguf";
    case TargetFormat::mlx:
      return "mlx";
    case TargetFormat::safetensors:
      return "safetensors";
    case TargetFormat::phial:
      return "phial";
  }
  return "";
}

}  // namespace phial

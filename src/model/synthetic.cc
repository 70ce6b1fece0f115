#include "model/synthetic.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/rng.h"
#include "model/family.h"
#include "sys/memory.h"
#include "tensor/random_rows.h"

namespace phial {
namespace {

// As the config.json of each says; 0: not given.
struct Shape {
  const char* name;
  const char* model_type;
  int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocabulary, context;
  double theta, partial_rotary;
  bool tied;
};

constexpr Shape kShapes[] = {
    {"phi-3-mini", "phi3", 3072, 8192, 32, 32, 32, 0, 32064, 131072, 1e4, 0, false},
    {"phi-4-mini", "phi3", 3072, 8192, 32, 24, 8, 0, 200064, 131072, 1e4, 0.75, true},
    {"llama-3.2-1b", "llama", 2048, 8192, 16, 32, 8, 64, 128256, 131072, 5e5, 0, true},
    {"llama-3.2-3b", "llama", 3072, 8192, 28, 24, 8, 128, 128256, 131072, 5e5, 0, true},
    {"llama-3.1-8b", "llama", 4096, 14336, 32, 32, 8, 128, 128256, 131072, 5e5, 0, false},
    {"qwen2.5-0.5b", "qwen2", 896, 4864, 24, 14, 2, 0, 151936, 32768, 1e6, 0, true},
    {"qwen2.5-1.5b", "qwen2", 1536, 8960, 28, 12, 2, 0, 151936, 32768, 1e6, 0, true},
    {"qwen3-4b", "qwen3", 2560, 9728, 36, 32, 8, 128, 151936, 40960, 1e6, 0, true},
    {"smollm2-135m", "llama", 576, 1536, 30, 9, 3, 0, 49152, 8192, 1e5, 0, true},
    {"smollm2-1.7b", "llama", 2048, 8192, 24, 32, 32, 0, 49152, 8192, 1.3e5, 0, true},
    // Small enough for tests, wide enough for every grid.
    {"tiny", "llama", 256, 512, 2, 4, 2, 0, 512, 16384, 1e4, 0, false},
};

struct NamedAffine {
  const char* name;
  AffineGrid grid;
};

constexpr AffineGrid mlx(int32_t group) {
  return {.group_columns = group, .offset = OffsetKind::minimum};
}

constexpr NamedAffine kAffine[] = {
    {"g32", mlx(32)},
    {"g64", mlx(64)},
    {"g128", mlx(128)},
    {"onnx-g32", {.group_columns = 32, .offset = OffsetKind::middle}},
    {"openvino-g128", {.codes = CodeKind::signed_bits, .group_columns = 128}},
    // One scale for a row, however long.
    {"openvino-row8", {.codes = CodeKind::signed_bits, .bits = 8, .group_columns = 1 << 20}},
};

// Uniform in +-kSize has the standard deviation of weights of published models, about kDeviation.
constexpr double kSize = 0.035;
constexpr double kDeviation = 0.02;

// What the rows of a grid are made of: one of the two.
struct RowKind {
  Grid grid = Grid::f32;
  const AffineGrid* affine = nullptr;
};

// Bytes of a row in each plane: codes, and for affine grids scales and offsets.
constexpr int kPlanes = 3;
struct RowBytes {
  int64_t planes[kPlanes] = {};
};

int64_t groups_of(const AffineGrid& grid, int64_t columns) {
  return (columns + grid.group_columns - 1) / grid.group_columns;
}

RowBytes bytes_of(const RowKind& kind, int64_t columns) {
  if (kind.affine == nullptr) return {{row_bytes(kind.grid, columns), 0, 0}};
  const AffineGrid& grid = *kind.affine;
  const int64_t scales = groups_of(grid, columns) * scale_bytes(grid.scale);
  return {{(columns * grid.bits + 7) / 8, scales, grid.offset == OffsetKind::minimum ? scales : 0}};
}

// Rows that were encoded once, to be copied: encoding all of a model would take minutes.
constexpr int64_t kPatterns = 64;
struct Patterns {
  RowBytes row;
  std::vector<uint8_t> planes[kPlanes];  // [kPatterns, row bytes]
};

// What to ask fill_row for: where it draws codes and not values, it knows only a bound of them.
double size_of(Grid grid) {
  const GridInfo& info = grid_info(grid);
  if (info.can_encode) return kSize;
  constexpr int64_t kValues = 64 * kMaxBlockValues;
  Rng rng(kValues);
  std::vector<uint8_t> codes(static_cast<size_t>(row_bytes(grid, kValues)));
  std::vector<float> values(static_cast<size_t>(kValues));
  fill_row(grid, rng, kValues, kSize, codes.data());
  decode_row(grid, codes.data(), kValues, values.data());
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  return kSize * kDeviation / std::sqrt(squares / kValues);
}

Patterns make_patterns(const RowKind& kind, int64_t columns) {
  Patterns patterns;
  patterns.row = bytes_of(kind, columns);
  for (int plane = 0; plane < kPlanes; ++plane) {
    patterns.planes[plane].resize(static_cast<size_t>(kPatterns * patterns.row.planes[plane]));
  }
  Rng rng(static_cast<uint64_t>(columns));
  std::vector<float> values(static_cast<size_t>(columns));
  const double size = kind.affine == nullptr ? size_of(kind.grid) : kSize;
  for (int64_t r = 0; r < kPatterns; ++r) {
    uint8_t* at[kPlanes];
    for (int plane = 0; plane < kPlanes; ++plane) {
      at[plane] = patterns.planes[plane].data() + r * patterns.row.planes[plane];
    }
    if (kind.affine == nullptr) {
      fill_row(kind.grid, rng, columns, size, at[0]);
    } else {
      for (float& value : values) value = static_cast<float>(kSize * (2 * rng.uniform() - 1));
      encode_affine_row(*kind.affine, values.data(), columns, at[0], at[1], at[2]);
    }
  }
  return patterns;
}

// A plane of a matrix in the buffer.
struct Region {
  int64_t offset;
  int64_t rows, columns;
  int plane;
  int64_t matrix;  // number of the matrix
};

// Lays matrices one after another. Without memory (`base` null) it only counts: the views that come
// out are of no use then.
class Layout {
 public:
  Layout(const RowKind& kind, uint8_t* base) : kind_(kind), base_(base) {}

  MatrixView matrix(int64_t rows, int64_t columns) {
    const RowBytes row = bytes_of(kind_, columns);
    const uint8_t* planes[kPlanes] = {};
    for (int plane = 0; plane < kPlanes; ++plane) {
      if (row.planes[plane] == 0) continue;
      regions_.push_back({bytes_, rows, columns, plane, matrices_});
      if (base_ != nullptr) planes[plane] = base_ + bytes_;
      bytes_ += (rows * row.planes[plane] + kAlignment - 1) / kAlignment * kAlignment;
    }
    ++matrices_;
    MatrixView view;
    view.rows = rows;
    view.columns = columns;
    if (kind_.affine == nullptr) {
      view.grid = kind_.grid;
      view.row_stride = row.planes[0];
      view.data = planes[0];
    } else {
      const int64_t groups = groups_of(*kind_.affine, columns);
      view.affine = {.grid = *kind_.affine,
                     .codes = planes[0],
                     .code_row_bits = row.planes[0] * 8,
                     .scales = planes[1],
                     .scale_row = groups,
                     .offsets = planes[2],
                     .offset_row = planes[2] == nullptr ? 0 : groups};
    }
    return view;
  }

  int64_t bytes() const { return bytes_; }
  const std::vector<Region>& regions() const { return regions_; }

 private:
  static constexpr int64_t kAlignment = 64;

  RowKind kind_;
  uint8_t* base_;
  int64_t bytes_ = 0;
  int64_t matrices_ = 0;
  std::vector<Region> regions_;
};

NormWeights unit_norm(const ModelSpec& spec, int64_t width) {
  NormWeights norm;
  norm.weight.assign(static_cast<size_t>(width), 1.0f);
  if (spec.norm == NormKind::layer) norm.bias.assign(static_cast<size_t>(width), 0.0f);
  return norm;
}

Linear linear(Layout& layout, int64_t rows, int64_t columns, bool bias) {
  Linear out;
  out.weight = layout.matrix(rows, columns);
  if (bias) out.bias.assign(static_cast<size_t>(rows), 0.0f);
  return out;
}

LayerWeights lay_layer(const ModelSpec& spec, Layout& layout) {
  const AttentionSpec& attention = spec.attention;
  const int64_t q_rows = attention.heads * attention.head_dim;
  const int64_t kv_rows = attention.kv_heads * attention.head_dim;
  LayerWeights layer;
  layer.attention_norm = unit_norm(spec, spec.hidden);
  if (attention.qk_norm) {
    layer.q_norm = layer.k_norm = unit_norm(spec, attention.head_dim);
  }
  layer.q = linear(layout, q_rows, spec.hidden, spec.bias.qkv);
  layer.k = linear(layout, kv_rows, spec.hidden, spec.bias.qkv);
  layer.v = linear(layout, kv_rows, spec.hidden, spec.bias.qkv);
  layer.attention_out = linear(layout, spec.hidden, q_rows, spec.bias.attention_out);
  if (spec.norm_place == NormPlace::before_and_after) {
    layer.attention_post_norm = layer.mlp_post_norm = unit_norm(spec, spec.hidden);
  }
  if (spec.block_order == BlockOrder::serial) layer.mlp_norm = unit_norm(spec, spec.hidden);
  if (is_gated(spec.mlp)) {
    layer.gate = linear(layout, spec.intermediate, spec.hidden, spec.bias.mlp);
  }
  layer.up = linear(layout, spec.intermediate, spec.hidden, spec.bias.mlp);
  layer.down = linear(layout, spec.hidden, spec.intermediate, spec.bias.mlp);
  return layer;
}

Weights lay_weights(const ModelSpec& spec, Layout& layout) {
  Weights weights;
  weights.embedding = layout.matrix(spec.vocabulary, spec.hidden);
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    weights.layers.push_back(lay_layer(spec, layout));
  }
  weights.final_norm = unit_norm(spec, spec.hidden);
  if (spec.tied_embeddings) {
    weights.lm_head.weight = weights.embedding;
  } else {
    weights.lm_head = linear(layout, spec.vocabulary, spec.hidden, spec.bias.lm_head);
  }
  return weights;
}

void fill(const RowKind& kind, const std::vector<Region>& regions, uint8_t* bytes,
          ThreadPool& threads) {
  std::map<int64_t, Patterns> by_columns;
  for (const Region& region : regions) {
    if (!by_columns.contains(region.columns)) {
      by_columns.emplace(region.columns, make_patterns(kind, region.columns));
    }
  }
  threads.run([&](int worker) {
    for (const Region& region : regions) {
      const Patterns& patterns = by_columns.at(region.columns);
      const int64_t size = patterns.row.planes[region.plane];
      const uint8_t* source = patterns.planes[region.plane].data();
      uint8_t* target = bytes + region.offset;
      const Share share = share_of(region.rows, 1, worker, threads.size());
      for (int64_t r = share.begin; r < share.end; ++r) {
        const uint64_t mixed =
            static_cast<uint64_t>(region.matrix * 0x10001 + r) * 0x9E3779B97F4A7C15ull;
        std::memcpy(target + r * size, source + static_cast<int64_t>(mixed >> 58) * size,
                    static_cast<size_t>(size));
      }
    }
  });
}
static_assert(kPatterns == 1 << (64 - 58));

// Keeps the buffer alive as a checkpoint keeps the files of other models.
class BufferMapping final : public MappedFile {
 public:
  BufferMapping(PageBuffer buffer, int64_t bytes)
      : buffer_(std::move(buffer)), bytes_(static_cast<size_t>(bytes)) {}
  std::span<const uint8_t> bytes() const override { return {buffer_.data(), bytes_}; }

 private:
  PageBuffer buffer_;
  size_t bytes_;
};

Json config_of(const Shape& shape, int64_t layers) {
  Json config;
  config.set("model_type", shape.model_type);
  config.set("hidden_size", shape.hidden);
  config.set("intermediate_size", shape.intermediate);
  config.set("num_hidden_layers", layers);
  config.set("num_attention_heads", shape.heads);
  config.set("num_key_value_heads", shape.kv_heads);
  if (shape.head_dim > 0) config.set("head_dim", shape.head_dim);
  config.set("vocab_size", shape.vocabulary);
  config.set("max_position_embeddings", shape.context);
  config.set("rms_norm_eps", 1e-5);
  config.set("rope_theta", shape.theta);
  if (shape.partial_rotary > 0) config.set("partial_rotary_factor", shape.partial_rotary);
  config.set("tie_word_embeddings", shape.tied);
  return config;
}

Result<const Shape*> find_shape(std::string_view name) {
  for (const Shape& shape : kShapes) {
    if (name == shape.name) return &shape;
  }
  return usage_error("synthetic", fmt::format("'{}' is no known shape", printable(name, 40)),
                     "there are " + synthetic_shape_names());
}

// Grids of weights; q8_k is made for sums, not for files.
bool is_weight_grid(const GridInfo& info) { return !info.is_integer && info.grid != Grid::q8_k; }

Result<RowKind> find_kind(std::string_view name) {
  for (const NamedAffine& affine : kAffine) {
    if (name == affine.name) return RowKind{.affine = &affine.grid};
  }
  for (const GridInfo& info : grid_table()) {
    if (name == info.name && is_weight_grid(info)) return RowKind{.grid = info.grid};
  }
  return usage_error("synthetic", fmt::format("'{}' is no grid of weights", printable(name, 40)),
                     "there are " + synthetic_grid_names());
}

Status check_widths(const RowKind& kind, std::string_view name, const ModelSpec& spec) {
  const int64_t block = kind.affine == nullptr ? grid_info(kind.grid).block_values : 1;
  for (const int64_t width :
       {spec.hidden, spec.intermediate, spec.attention.heads * spec.attention.head_dim}) {
    if (width % block != 0) {
      return unsupported("synthetic " + std::string(name),
                         fmt::format("rows of {} values are no multiple of {}", width, block));
    }
  }
  return {};
}

}  // namespace

std::string synthetic_shape_names() {
  std::string names;
  for (const Shape& shape : kShapes) names += (names.empty() ? "" : ", ") + std::string(shape.name);
  return names;
}

std::string synthetic_grid_names() {
  std::string names;
  for (const GridInfo& info : grid_table()) {
    if (is_weight_grid(info)) names += (names.empty() ? "" : ", ") + std::string(info.name);
  }
  for (const NamedAffine& affine : kAffine) names += ", " + std::string(affine.name);
  return names;
}

Result<std::shared_ptr<const Model>> make_synthetic(std::string_view name, int64_t layers,
                                                    ThreadPool& threads) {
  const size_t colon = name.find(':');
  if (colon == std::string_view::npos) {
    return usage_error("synthetic",
                       fmt::format("expected SHAPE:GRID, got '{}'", printable(name, 60)),
                       "shapes: " + synthetic_shape_names());
  }
  PHIAL_ASSIGN(const Shape* shape, find_shape(name.substr(0, colon)));
  PHIAL_ASSIGN(const RowKind kind, find_kind(name.substr(colon + 1)));
  if (layers < 0 || layers > shape->layers) {
    return usage_error(
        "layers", fmt::format("is not in 1..{}, the layers of {}", shape->layers, shape->name));
  }
  auto checkpoint = std::make_shared<Checkpoint>();
  checkpoint->path = "synthetic " + std::string(name);
  checkpoint->config = config_of(*shape, layers == 0 ? shape->layers : layers);
  auto model = std::make_shared<Model>();
  PHIAL_ASSIGN(model->spec, model_spec_of(*checkpoint));
  PHIAL_TRY(check_widths(kind, name, model->spec));

  Layout sizes(kind, nullptr);
  lay_weights(model->spec, sizes);
  const uint64_t available = machine_memory().available;
  if (available > 0 && static_cast<uint64_t>(sizes.bytes()) > available) {
    return out_of_memory(
        checkpoint->path,
        fmt::format("its weights take {} bytes, {} are available", sizes.bytes(), available),
        "cut it with --layers");
  }
  PHIAL_ASSIGN(PageBuffer buffer, PageBuffer::create(sizes.bytes()));
  Layout layout(kind, buffer.data());
  model->weights = lay_weights(model->spec, layout);
  fill(kind, layout.regions(), buffer.data(), threads);
  checkpoint->file_bytes = static_cast<uint64_t>(layout.bytes());
  checkpoint->mappings.push_back(
      std::make_shared<BufferMapping>(std::move(buffer), layout.bytes()));
  model->checkpoint = std::move(checkpoint);
  return std::shared_ptr<const Model>(std::move(model));
}

}  // namespace phial

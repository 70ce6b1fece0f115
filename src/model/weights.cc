#include "model/weights.h"

#include <fmt/format.h>

#include <cmath>

#include "base/checked.h"
#include "model/config_reader.h"
#include "model/f8_weights.h"
#include "model/mlx_weights.h"
#include "model/phial_weights.h"
#include "model/roles.h"

namespace phial {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// Finds tensors, checks their shapes and remembers which were used.
class Binder {
 public:
  Binder(const Checkpoint& checkpoint, const ModelSpec& spec, const Family& family)
      : checkpoint_(checkpoint),
        spec_(spec),
        family_(family),
        is_mlx_(is_mlx_quantized(checkpoint)),
        used_(checkpoint.tensors.size(), false) {}

  Result<Weights> bind() {
    Weights weights;
    PHIAL_ASSIGN(weights.embedding,
                 matrix(Role::token_embedding, 0, spec_.vocabulary, spec_.hidden));
    PHIAL_ASSIGN(weights.final_norm, norm(Role::final_norm, 0, spec_.hidden));
    PHIAL_TRY(bind_head(weights));
    for (int64_t layer = 0; layer < spec_.layers; ++layer) {
      PHIAL_ASSIGN(LayerWeights bound, bind_layer(layer));
      weights.layers.push_back(std::move(bound));
    }
    PHIAL_TRY(check_all_used());
    return weights;
  }

 private:
  bool is_gguf() const { return checkpoint_.format == Checkpoint::Format::gguf; }

  bool has(Role role, int64_t layer) const {
    return find_role(checkpoint_, role, layer, ".weight") != nullptr;
  }

  Result<const NamedTensor*> take(Role role, int64_t layer, std::string_view ending,
                                  const std::vector<int64_t>& shape) {
    const NamedTensor* tensor = find_role(checkpoint_, role, layer, ending);
    if (tensor == nullptr) {
      return damaged(checkpoint_.path, fmt::format("the tensor {} is missing",
                                                   role_name(checkpoint_, role, layer, ending)));
    }
    if (is_described(*tensor)) {
      return damaged(tensor->file + ": " + tensor->name,
                     "is described as a packed matrix, which norms and biases are not");
    }
    if (tensor->view.shape != shape) {
      return damaged(tensor->file + ": " + tensor->name,
                     fmt::format("expected the shape {} from the configuration, found {}",
                                 shape_text(shape), shape_text(tensor->view.shape)));
    }
    if (grid_info(tensor->view.grid).is_integer) {
      return unsupported(
          tensor->file + ": " + tensor->name,
          fmt::format("is stored as {}, which are codes of a quantization that phial does not know",
                      tensor->dtype));
    }
    mark_used(tensor);
    return tensor;
  }

  void mark_used(const NamedTensor* tensor) {
    used_[static_cast<size_t>(tensor - checkpoint_.tensors.data())] = true;
  }

  // Nothing when the matrix is not in planes of MLX.
  Result<AffineMatrix> mlx_matrix(Role role, int64_t layer, int64_t rows, int64_t columns) {
    const NamedTensor* tensor = is_mlx_ ? find_role(checkpoint_, role, layer, ".weight") : nullptr;
    if (tensor == nullptr) return AffineMatrix{};
    PHIAL_ASSIGN(const MlxWeight bound, bind_mlx_weight(checkpoint_, *tensor, rows, columns));
    if (bound.matrix.codes != nullptr) mark_used(tensor);
    for (const NamedTensor* companion : bound.companions) mark_used(companion);
    return bound.matrix;
  }

  Result<MatrixView> matrix(Role role, int64_t layer, int64_t rows, int64_t columns) {
    MatrixView view;
    view.rows = rows;
    view.columns = columns;
    PHIAL_ASSIGN(view.affine, mlx_matrix(role, layer, rows, columns));
    if (view.is_affine()) return view;
    if (const NamedTensor* packed = find_role(checkpoint_, role, layer, ".weight");
        packed != nullptr && is_described(*packed)) {
      if (role == Role::qkv || role == Role::gate_up) {
        return unsupported(packed->file + ": " + packed->name,
                           "packed files hold q, k, v, gate and up as matrices of their own");
      }
      mark_used(packed);
      return bind_phial_weight(*packed, rows, columns);
    }
    PHIAL_ASSIGN(const NamedTensor* tensor, take(role, layer, ".weight", {rows, columns}));
    view.grid = tensor->view.grid;
    view.row_stride = row_bytes(view.grid, columns);
    view.data = tensor->view.bytes.data();
    if (view.grid == Grid::f8_e4m3 || view.grid == Grid::f8_e5m2) {
      PHIAL_ASSIGN(const F8Weight f8, bind_f8_weight(checkpoint_, *tensor, rows, columns));
      view.affine = f8.matrix;
      for (const NamedTensor* companion : f8.companions) mark_used(companion);
    }
    return view;
  }

  Result<std::vector<float>> vector(Role role, int64_t layer, std::string_view ending, int64_t n) {
    PHIAL_ASSIGN(const NamedTensor* tensor, take(role, layer, ending, {n}));
    if (n % grid_info(tensor->view.grid).block_values != 0) {
      return unsupported(tensor->file + ": " + tensor->name,
                         "a vector of this length cannot be in blocks");
    }
    std::vector<float> values(static_cast<size_t>(n));
    decode_row(tensor->view.grid, tensor->view.bytes.data(), n, values.data());
    for (const float value : values) {
      if (!std::isfinite(value)) {
        return damaged(tensor->file + ": " + tensor->name, "holds NaN or infinity");
      }
    }
    return values;
  }

  Result<Linear> linear(Role role, int64_t layer, int64_t rows, int64_t columns, bool bias) {
    Linear out;
    PHIAL_ASSIGN(out.weight, matrix(role, layer, rows, columns));
    if (bias) {
      PHIAL_ASSIGN(out.bias, vector(role, layer, ".bias", rows));
    }
    return out;
  }

  Result<NormWeights> norm(Role role, int64_t layer, int64_t width) {
    NormWeights out;
    PHIAL_ASSIGN(out.weight, vector(role, layer, ".weight", width));
    if (family_.norm_weights_minus_one && !is_gguf()) {
      for (float& weight : out.weight) weight += 1.0f;
    }
    if (spec_.norm == NormKind::layer) {
      PHIAL_ASSIGN(out.bias, vector(role, layer, ".bias", width));
    }
    return out;
  }

  // Rows [begin, begin + count) of a fused layer.
  static Linear part(const Linear& fused, int64_t begin, int64_t count) {
    Linear out;
    out.weight = fused.weight.row_range(begin, count);
    if (!fused.bias.empty()) {
      out.bias.assign(fused.bias.begin() + begin, fused.bias.begin() + begin + count);
    }
    return out;
  }

  void mark_interleaved(Linear& layer) const {
    layer.weight.row_order = RowOrder::interleaved_heads;
    layer.weight.head_rows = spec_.attention.head_dim;
  }

  Status bind_attention(int64_t layer, LayerWeights& out) {
    const AttentionSpec& attention = spec_.attention;
    const int64_t q_rows = attention.heads * attention.head_dim;
    const int64_t kv_rows = attention.kv_heads * attention.head_dim;
    if (has(Role::qkv, layer)) {
      PHIAL_ASSIGN(const Linear fused,
                   linear(Role::qkv, layer, q_rows + 2 * kv_rows, spec_.hidden, spec_.bias.qkv));
      out.q = part(fused, 0, q_rows);
      out.k = part(fused, q_rows, kv_rows);
      out.v = part(fused, q_rows + kv_rows, kv_rows);
    } else {
      PHIAL_ASSIGN(out.q, linear(Role::q, layer, q_rows, spec_.hidden, spec_.bias.qkv));
      PHIAL_ASSIGN(out.k, linear(Role::k, layer, kv_rows, spec_.hidden, spec_.bias.qkv));
      PHIAL_ASSIGN(out.v, linear(Role::v, layer, kv_rows, spec_.hidden, spec_.bias.qkv));
    }
    if (is_gguf() && family_.gguf_interleaves_heads) {
      mark_interleaved(out.q);
      mark_interleaved(out.k);
    }
    if (attention.qk_norm) {
      PHIAL_ASSIGN(out.q_norm, norm(Role::q_norm, layer, attention.head_dim));
      PHIAL_ASSIGN(out.k_norm, norm(Role::k_norm, layer, attention.head_dim));
    }
    PHIAL_ASSIGN(out.attention_out, linear(Role::attention_out, layer, spec_.hidden, q_rows,
                                           spec_.bias.attention_out));
    return {};
  }

  Status bind_mlp(int64_t layer, LayerWeights& out) {
    const int64_t width = spec_.intermediate;
    const bool gated = is_gated(spec_.mlp);
    if (gated && !has(Role::gate, layer)) {
      PHIAL_ASSIGN(const Linear fused,
                   linear(Role::gate_up, layer, 2 * width, spec_.hidden, spec_.bias.mlp));
      out.gate = part(fused, 0, width);
      out.up = part(fused, width, width);
    } else {
      if (gated) {
        PHIAL_ASSIGN(out.gate, linear(Role::gate, layer, width, spec_.hidden, spec_.bias.mlp));
      }
      PHIAL_ASSIGN(out.up, linear(Role::up, layer, width, spec_.hidden, spec_.bias.mlp));
    }
    PHIAL_ASSIGN(out.down, linear(Role::down, layer, spec_.hidden, width, spec_.bias.mlp));
    return {};
  }

  Result<LayerWeights> bind_layer(int64_t layer) {
    LayerWeights out;
    PHIAL_ASSIGN(out.attention_norm, norm(Role::attention_norm, layer, spec_.hidden));
    PHIAL_TRY(bind_attention(layer, out));
    if (spec_.block_order == BlockOrder::serial) {
      PHIAL_ASSIGN(out.mlp_norm, norm(Role::mlp_norm, layer, spec_.hidden));
    }
    if (spec_.norm_place == NormPlace::before_and_after) {
      PHIAL_ASSIGN(out.attention_post_norm, norm(Role::attention_post_norm, layer, spec_.hidden));
      PHIAL_ASSIGN(out.mlp_post_norm, norm(Role::mlp_post_norm, layer, spec_.hidden));
    }
    PHIAL_TRY(bind_mlp(layer, out));
    return out;
  }

  Status bind_head(Weights& weights) {
    if (!spec_.tied_embeddings) {
      PHIAL_ASSIGN(weights.lm_head,
                   linear(Role::lm_head, 0, spec_.vocabulary, spec_.hidden, spec_.bias.lm_head));
      return {};
    }
    weights.lm_head.weight = weights.embedding;
    // Some files repeat a tied head; the configuration says that it is the embedding.
    for (const char* ending : {".weight", ".scales", ".biases"}) {
      const NamedTensor* head = find_role(checkpoint_, Role::lm_head, 0, ending);
      if (head != nullptr) mark_used(head);
    }
    return {};
  }

  Status check_all_used() const {
    for (size_t i = 0; i < used_.size(); ++i) {
      if (used_[i]) continue;
      const NamedTensor& tensor = checkpoint_.tensors[i];
      bool ignored = is_gguf() && is_config_tensor(tensor.name);
      for (const char* pattern : family_.ignored_tensors) {
        ignored = ignored || matches_name(pattern, tensor.name);
      }
      if (!ignored) {
        return unsupported(
            tensor.file + ": " + tensor.name,
            fmt::format("this tensor has no place in a {} model as phial knows it", spec_.family));
      }
    }
    return {};
  }

  const Checkpoint& checkpoint_;
  const ModelSpec& spec_;
  const Family& family_;
  const bool is_mlx_;  // with quantized matrices
  std::vector<bool> used_;
};

}  // namespace

Result<Weights> bind_weights(const Checkpoint& checkpoint, const ModelSpec& spec,
                             const Family& family) {
  return Binder(checkpoint, spec, family).bind();
}

Status check_finite(const Checkpoint& checkpoint) {
  std::vector<float> row;
  for (const NamedTensor& tensor : checkpoint.tensors) {
    if (is_described(tensor)) {
      PHIAL_TRY(check_finite_phial_weight(tensor));
      continue;
    }
    // A tensor without axes is one number.
    const int64_t columns = tensor.view.shape.empty() ? 1 : tensor.view.shape.back();
    if (columns == 0 || columns % grid_info(tensor.view.grid).block_values != 0) continue;
    const int64_t stride = row_bytes(tensor.view.grid, columns);
    row.resize(static_cast<size_t>(columns));
    for (int64_t r = 0; r < tensor.view.elements() / columns; ++r) {
      decode_row(tensor.view.grid, tensor.view.bytes.data() + r * stride, columns, row.data());
      for (const float value : row) {
        if (!std::isfinite(value)) {
          return damaged(tensor.file + ": " + tensor.name,
                         fmt::format("row {} holds NaN or infinity", r));
        }
      }
    }
  }
  return {};
}

}  // namespace phial

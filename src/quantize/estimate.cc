#include "quantize/estimate.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "model/roles.h"

namespace phial {
namespace {

// Rows of the embedding that are looked at, at most: enough for 2 % of a mean square.
constexpr int64_t kEmbeddingRows = 4096;
constexpr int64_t kRowsPerTask = 64;
// What is left of the values' second moment when attention has averaged over positions.
constexpr float kMixed = 0.3f;
// Least moment, of the mean: nothing is sure to be 0.
constexpr float kLeast = 1e-6f;

float finite_or_zero(float value) { return std::isfinite(value) ? value : 0.0f; }

// In an order that does not depend on the machine.
float weighted_squares(const float* x, const float* weights, int64_t n) {
  constexpr int64_t kChains = 16;
  float sums[kChains] = {};
  const int64_t whole = n / kChains * kChains;
  for (int64_t c = 0; c < whole; c += kChains) {
    for (int64_t l = 0; l < kChains; ++l) sums[l] += x[c + l] * x[c + l] * weights[c + l];
  }
  for (int64_t c = whole; c < n; ++c) sums[0] += x[c] * x[c] * weights[c];
  float sum = 0;
  for (const float part : sums) sum += part;
  return finite_or_zero(sum);
}

// Divided by their mean, or all 1 when there is none.
std::vector<float> with_mean_one(std::vector<float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value);
  const auto mean = static_cast<float>(sum / static_cast<double>(values.size()));
  for (float& value : values) {
    value = mean > 0 && std::isfinite(mean) ? std::max(value / mean, kLeast) : 1.0f;
  }
  return values;
}

// E[f(z)^2] of z normal with variance `s`: s / 4 + c s^2 for small s, s / 2 for large; within 3 %
// in between. No function of the math library: its last bits differ between machines.
float activation_moment(MlpKind mlp, float s) {
  const float bend = mlp == MlpKind::silu_gated ? 0.75f : 1.9f;  // 4 c
  return s * (0.25f + 0.5f * bend * s) / (1.0f + bend * s);
}

class Estimate {
 public:
  Estimate(const Model& model, ThreadPool& threads, const CancelFlag* cancel)
      : spec_(model.spec), weights_(model.weights), threads_(threads), cancel_(cancel) {}

  Result<Imatrix> run() {
    enter_embedding();
    for (int64_t l = 0; l < spec_.layers; ++l) PHIAL_TRY(pass_layer(l));
    const Role head = spec_.tied_embeddings ? Role::token_embedding : Role::lm_head;
    put(head, -1, normed(weights_.final_norm));
    return std::move(out_);
  }

 private:
  // An estimate may be wrong: every column counts at least as much as the median one is thought to.
  void put(Role role, int64_t layer, std::vector<float> columns) {
    std::vector<float> sorted = columns;
    const auto middle = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    for (float& value : columns) value = finite_or_zero(value + *middle);
    out_.columns[gguf_role_name(role, layer, ".weight")] = with_mean_one(std::move(columns));
  }

  // The mean square of each column, over rows spread evenly.
  void enter_embedding() {
    const MatrixView& view = weights_.embedding;
    stream_.assign(static_cast<size_t>(view.columns), 0.0f);
    std::vector<float> row(static_cast<size_t>(view.columns));
    const int64_t step = std::max<int64_t>(1, view.rows / kEmbeddingRows);
    int64_t count = 0;
    for (int64_t r = 0; r < view.rows; r += step, ++count) {
      view.decode(r, row.data());
      for (size_t c = 0; c < row.size(); ++c) stream_[c] += finite_or_zero(row[c] * row[c]);
    }
    const float factor = spec_.scales.embedding * spec_.scales.embedding;
    for (float& value : stream_) value *= factor / static_cast<float>(std::max<int64_t>(1, count));
  }

  // What a norm makes of the stream.
  std::vector<float> normed(const NormWeights& norm) const {
    std::vector<float> squares(stream_.size());
    const std::vector<float> relative = with_mean_one(stream_);
    for (size_t c = 0; c < squares.size(); ++c) squares[c] = relative[c] * relative[c];
    std::vector<float> out = with_mean_one(std::move(squares));
    for (size_t c = 0; c < out.size(); ++c) {
      const float bias = norm.bias.empty() ? 0.0f : norm.bias[c];
      out[c] = finite_or_zero(out[c] * norm.weight[c] * norm.weight[c] + bias * bias);
    }
    return out;
  }

  // Of each output of `linear`.
  std::vector<float> outputs(const Linear& linear, const std::vector<float>& inputs) const {
    const MatrixView& view = linear.weight;
    std::vector<float> out(static_cast<size_t>(view.rows));
    std::atomic<int64_t> next{0};
    threads_.run([&](int) {
      std::vector<float> row(static_cast<size_t>(view.columns));
      for (int64_t from = next.fetch_add(kRowsPerTask); from < view.rows;
           from = next.fetch_add(kRowsPerTask)) {
        for (int64_t r = from; r < std::min(from + kRowsPerTask, view.rows); ++r) {
          view.decode(r, row.data());
          const float bias = linear.bias.empty() ? 0.0f : linear.bias[static_cast<size_t>(r)];
          out[static_cast<size_t>(r)] = finite_or_zero(
              weighted_squares(row.data(), inputs.data(), view.columns) + bias * bias);
        }
      }
    });
    return out;
  }

  // Adds what a block writes, `share` of it.
  void add(std::vector<float> written, const NormWeights& post_norm, float share) {
    if (spec_.norm_place == NormPlace::before_and_after) {
      written = with_mean_one(std::move(written));
      for (size_t c = 0; c < written.size(); ++c) {
        written[c] *= post_norm.weight[c] * post_norm.weight[c];
      }
    }
    const float factor = share * spec_.scales.residual * spec_.scales.residual;
    for (size_t c = 0; c < stream_.size(); ++c) {
      stream_[c] = finite_or_zero(stream_[c] + factor * written[c]);
    }
  }

  Status pass_layer(int64_t l) {
    PHIAL_TRY(check_cancelled(cancel_, "quantize"));
    const LayerWeights& layer = weights_.layers[static_cast<size_t>(l)];
    const std::vector<float> input = normed(layer.attention_norm);
    for (const Role role : {Role::q, Role::k, Role::v}) put(role, l, input);
    const std::vector<float> heads = spread(outputs(layer.v, input));
    put(Role::attention_out, l, heads);
    std::vector<float> attended = outputs(layer.attention_out, heads);
    if (spec_.block_order == BlockOrder::parallel) {
      std::vector<float> mlp = pass_mlp(l, input);
      add(std::move(attended), layer.attention_post_norm, kMixed);
      add(std::move(mlp), layer.mlp_post_norm, 1.0f);
      return {};
    }
    add(std::move(attended), layer.attention_post_norm, kMixed);
    add(pass_mlp(l, normed(layer.mlp_norm)), layer.mlp_post_norm, 1.0f);
    return {};
  }

  // Every query head reads the values of its key/value head.
  std::vector<float> spread(const std::vector<float>& values) const {
    const AttentionSpec& attention = spec_.attention;
    const int64_t sharing = attention.heads / attention.kv_heads;
    std::vector<float> out;
    for (int64_t h = 0; h < attention.heads; ++h) {
      const auto* from = values.data() + h / sharing * attention.head_dim;
      out.insert(out.end(), from, from + attention.head_dim);
    }
    return out;
  }

  // What the mlp writes.
  std::vector<float> pass_mlp(int64_t l, const std::vector<float>& input) {
    const LayerWeights& layer = weights_.layers[static_cast<size_t>(l)];
    put(Role::up, l, input);
    std::vector<float> inner = outputs(layer.up, input);
    if (is_gated(spec_.mlp)) {
      put(Role::gate, l, input);
      const std::vector<float> gates = outputs(layer.gate, input);
      for (size_t i = 0; i < inner.size(); ++i) {
        inner[i] = finite_or_zero(inner[i] * activation_moment(spec_.mlp, gates[i]));
      }
    } else {
      for (float& value : inner) value = finite_or_zero(activation_moment(spec_.mlp, value));
    }
    put(Role::down, l, inner);
    return outputs(layer.down, inner);
  }

  const ModelSpec& spec_;
  const Weights& weights_;
  ThreadPool& threads_;
  const CancelFlag* const cancel_;
  std::vector<float> stream_;  // [hidden]: second moments of the residual stream
  Imatrix out_;
};

}  // namespace

Result<Imatrix> estimate_importance(const Model& model, ThreadPool& threads,
                                    const CancelFlag* cancel) {
  return Estimate(model, threads, cancel).run();
}

}  // namespace phial

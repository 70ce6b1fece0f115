// The reference kernels: each is the shortest loop that says what the kernel means. Sums are taken
// in double precision and rounded once, except where the contract fixes the order of rounding.

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/tables.h"

namespace phial {
namespace {

// `decode(row, column, count, out)` gives weights; a block of 256 columns at a time.
template <class Decode>
void gemv_with(const GemvArgs& args, const Decode& decode) {
  for (int64_t r = args.row_begin; r < args.row_end; ++r) {
    double sums[kMaxGemvRows] = {};
    for (int64_t c = 0; c < args.columns; c += kMaxBlockValues) {
      const int64_t count = std::min<int64_t>(kMaxBlockValues, args.columns - c);
      float w[kMaxBlockValues];
      decode(r, c, count, w);
      for (int32_t m = 0; m < args.x_rows; ++m) {
        const float* x = args.x + m * args.x_stride + c;
        for (int64_t i = 0; i < count; ++i) sums[m] += static_cast<double>(w[i]) * x[i];
      }
    }
    for (int32_t m = 0; m < args.x_rows; ++m) {
      args.y[m * args.y_stride + r] = static_cast<float>(sums[m]);
    }
  }
}

template <class Decode>
void unpack_with(const UnpackArgs& args, const Decode& decode) {
  std::fill_n(args.panel, args.k * kPanelRows, 0.0f);
  for (int32_t r = 0; r < args.n; ++r) {
    for (int64_t c = 0; c < args.k; c += kMaxBlockValues) {
      const int64_t count = std::min<int64_t>(kMaxBlockValues, args.k - c);
      float w[kMaxBlockValues];
      decode(args.row_begin + r, args.column_begin + c, count, w);
      for (int64_t i = 0; i < count; ++i) args.panel[(c + i) * kPanelRows + r] = w[i];
    }
  }
}

template <Grid grid, class Args>
auto block_decoder(const Args& args) {
  return [&args](int64_t row, int64_t column, int64_t count, float* out) {
    decode_row(grid, args.weights + row * args.row_stride + row_bytes(grid, column), count, out);
  };
}
template <class Args>
auto affine_decoder(const Args& args) {
  return [&args](int64_t row, int64_t column, int64_t count, float* out) {
    decode_affine(*args.affine, row, column, count, out);
  };
}

template <Grid grid>
void gemv(const GemvArgs& args) {
  gemv_with(args, block_decoder<grid>(args));
}
template <Grid grid>
void unpack(const UnpackArgs& args) {
  unpack_with(args, block_decoder<grid>(args));
}
void gemv_affine(const GemvArgs& args) { gemv_with(args, affine_decoder(args)); }
void unpack_affine(const UnpackArgs& args) { unpack_with(args, affine_decoder(args)); }

void gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_stride, const float* b,
          int64_t b_stride, float* c, int64_t c_stride, bool accumulate) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float value = accumulate ? c[i * c_stride + j] : 0.0f;
      for (int64_t l = 0; l < k; ++l) {
        value = std::fma(a[i * a_stride + l], b[l * b_stride + j], value);
      }
      c[i * c_stride + j] = value;
    }
  }
}

void rms_norm(int64_t n, const float* x, const float* weight, float eps, float* out) {
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
  const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(x[i] * factor * weight[i]);
}

void layer_norm(int64_t n, const float* x, const float* weight, const float* bias, float eps,
                float* out) {
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += x[i] / static_cast<double>(n);
  double variance = 0;
  for (int64_t i = 0; i < n; ++i)
    variance += (x[i] - mean) * (x[i] - mean) / static_cast<double>(n);
  const double factor = 1 / std::sqrt(variance + eps);
  for (int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<float>((x[i] - mean) * factor * weight[i] + bias[i]);
  }
}

void add(int64_t n, const float* y, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void scale(int64_t n, float factor, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

void silu_mul(int64_t n, const float* gate, const float* up, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const double g = gate[i];
    out[i] = static_cast<float>(g / (1 + std::exp(-g)) * up[i]);
  }
}

double gelu(double v) {
  const double factor = std::sqrt(2 / 3.14159265358979323846);
  return 0.5 * v * (1 + std::tanh(factor * (v + 0.044715 * v * v * v)));
}

void gelu_tanh(int64_t n, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(gelu(x[i]));
}

void gelu_tanh_mul(int64_t n, const float* gate, const float* up, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(gelu(gate[i]) * up[i]);
}

void softcap(int64_t n, float scale_factor, float cap, float* x) {
  for (int64_t i = 0; i < n; ++i) {
    const double score = static_cast<double>(x[i]) * scale_factor;
    x[i] = static_cast<float>(cap * std::tanh(score / cap));
  }
}

void rope(int64_t heads, int64_t head_dim, int64_t rotary, const float* cos, const float* sin,
          float* x) {
  const int64_t half = rotary / 2;
  for (int64_t h = 0; h < heads; ++h, x += head_dim) {
    for (int64_t i = 0; i < half; ++i) {
      const double a = x[i];
      const double b = x[i + half];
      x[i] = static_cast<float>(a * cos[i] - b * sin[i]);
      x[i + half] = static_cast<float>(b * cos[i] + a * sin[i]);
    }
  }
}

float softmax_block(int64_t n, int64_t valid, float scale_factor, float* s, float* row_max,
                    float* row_sum) {
  const float old_max = *row_max;
  float new_max = old_max;
  for (int64_t j = 0; j < valid; ++j) {
    s[j] *= scale_factor;
    new_max = std::max(new_max, s[j]);
  }
  double total = 0;
  for (int64_t j = 0; j < valid; ++j) {
    s[j] = std::exp(s[j] - new_max);
    total += s[j];
  }
  std::fill(s + valid, s + n, 0.0f);
  const float correction = std::exp(old_max - new_max);
  *row_max = new_max;
  *row_sum = static_cast<float>(static_cast<double>(*row_sum) * correction + total);
  return correction;
}

template <int index>
constexpr void set_grids(KernelTable& table) {
  if constexpr (index < kGridCount) {
    table.gemv[index] = gemv<static_cast<Grid>(index)>;
    table.unpack[index] = unpack<static_cast<Grid>(index)>;
    set_grids<index + 1>(table);
  }
}

constexpr KernelTable make_table() {
  KernelTable table = {};
  table.isa = "reference";
  table.attention = &kReferenceAttention;
  set_grids<0>(table);
  table.gemv_affine = gemv_affine;
  table.unpack_affine = unpack_affine;
  table.gemm = gemm;
  table.rms_norm = rms_norm;
  table.layer_norm = layer_norm;
  table.add = add;
  table.silu_mul = silu_mul;
  table.gelu_tanh = gelu_tanh;
  table.gelu_tanh_mul = gelu_tanh_mul;
  table.softcap = softcap;
  table.rope = rope;
  table.softmax_block = softmax_block;
  table.scale = scale;
  return table;
}

}  // namespace

constexpr KernelTable kReferenceKernels = make_table();

}  // namespace phial

// Compute kernels: one table per instruction set, chosen once. Every kernel has a contract here, a
// line in a table, a plain reference (the definition of correct), versions per instruction set and
// a generated test. Kernels take plain pointers, allocate nothing and know no threads: callers give
// each thread its own rows.
//
// All arrays are float32, row-major, aligned as floats are; 64-byte alignment makes activations
// faster to read. Weights are bytes at any address. No output may overlap an input unless said so.
// n, k, m >= 0. Sums run in a fixed order: a kernel gives the same bits on every call and on every
// machine with its instruction set. NaN in an input becomes NaN in all outputs that depend on it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "tensor/affine.h"
#include "tensor/grid.h"

namespace phial {

struct AttentionKernels;

inline constexpr int kMaxGemvRows = 8;  // activation rows that the direct kernels take
inline constexpr int kPanelRows = 64;   // weight rows in an unpacked panel

// y[m][r] = sum over c of W[r][c] * x[m][c], for weight rows r in [row_begin, row_end) and
// activation rows m in [0, x_rows), straight from the codes.
// A row's result depends neither on x_rows nor on the range of rows: bit for bit the same for
// 1..kMaxGemvRows activation rows and for any division of the rows among threads. Weights count as
// exactly the values of decode_row (decode_affine), columns are summed in float32.
struct GemvArgs {
  const uint8_t* weights;  // row 0 of the matrix; unaligned
  int64_t row_stride;      // bytes
  int64_t columns;         // a multiple of the grid's block
  int64_t row_begin, row_end;
  const float* x;    // [x_rows, x_stride], the first `columns` of each row are read
  int64_t x_stride;  // floats
  int32_t x_rows;    // 1..kMaxGemvRows
  float* y;          // [x_rows, y_stride]; y[m][r] is written, nothing else
  int64_t y_stride;
  // For gemv_affine, which looks at neither weights nor row_stride.
  const AffineMatrix* affine = nullptr;
};
using GemvFn = void (*)(const GemvArgs&);

// Decodes weight rows [row_begin, row_begin + n) and columns [column_begin, column_begin + k),
// transposed: panel[c][r], c in [0, k), r in [0, kPanelRows); rows from n up to kPanelRows are
// zero. Values are bit for bit those of decode_row (of a NaN that arithmetic made, the payload may
// differ). REQUIRES: 1 <= n <= kPanelRows; column_begin and k are multiples of the grid's block.
struct UnpackArgs {
  const uint8_t* weights;
  int64_t row_stride;
  int64_t row_begin;
  int32_t n;
  int64_t column_begin, k;
  float* panel;  // [k, kPanelRows]
  // For unpack_affine, which looks at neither weights nor row_stride.
  const AffineMatrix* affine = nullptr;
};
using UnpackFn = void (*)(const UnpackArgs&);

struct KernelTable {
  const char* isa;  // "reference", "avx2", "avxvnni", "avx512", "neon", "dotprod", "i8mm"

  GemvFn gemv[kGridCount];      // by Grid
  UnpackFn unpack[kGridCount];  // by Grid
  GemvFn gemv_affine;           // of any AffineMatrix
  UnpackFn unpack_affine;

  // c[m][n] (+)= sum over k of a[m][k] * b[k][n]. Each element is one chain of fused multiply-adds
  // in the order of k, starting from c (accumulate) or 0: the result does not depend on m, on the
  // tile or on the instruction set.
  void (*gemm)(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_stride, const float* b,
               int64_t b_stride, float* c, int64_t c_stride, bool accumulate);

  // out[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]   (RMSNorm, Zhang and Sennrich 2019). May be
  // in place.
  void (*rms_norm)(int64_t n, const float* x, const float* weight, float eps, float* out);
  // out[i] = (x[i] - mean) / sqrt(variance + eps) * weight[i] + bias[i]   (LayerNorm, Ba et al.
  // 2016; biased variance). May be in place.
  void (*layer_norm)(int64_t n, const float* x, const float* weight, const float* bias, float eps,
                     float* out);
  // x[i] += y[i]
  void (*add)(int64_t n, const float* y, float* x);
  // silu_mul, gelu_tanh, gelu_tanh_mul, softcap and softmax_block use an exp that is within 2 units
  // in the last place, and 0 where the result would be subnormal.

  // out[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)). May be in place in gate or up.
  void (*silu_mul)(int64_t n, const float* gate, const float* up, float* out);
  // x[i] = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))   (gelu_new, gelu_pytorch_tanh)
  void (*gelu_tanh)(int64_t n, float* x);
  // out[i] = gelu_tanh(gate[i]) * up[i]. May be in place in gate or up.
  void (*gelu_tanh_mul)(int64_t n, const float* gate, const float* up, float* out);
  // x[i] = cap tanh(x[i] * scale / cap)   (soft cap of scores and logits, Gemma 2). REQUIRES:
  // cap > 0. The absolute error is at most 2^-20 cap: small values lose relative precision.
  void (*softcap)(int64_t n, float scale, float cap, float* x);
  // Rotates `heads` rows of head_dim floats in place, halves layout (GPT-NeoX): for i < rotary/2,
  // (a, b) = (x[i], x[i + rotary/2]) becomes (a cos[i] - b sin[i], b cos[i] + a sin[i]); the
  // dimensions from `rotary` on stay.
  void (*rope)(int64_t heads, int64_t head_dim, int64_t rotary, const float* cos, const float* sin,
               float* x);

  // One step of softmax over blocks of keys (online softmax, Milakov and Gimelshein 2018), for one
  // query row: s[0..n) *= scale; m_new = max(*row_max, max s); s[j] = exp(s[j] - m_new);
  // *row_sum = *row_sum * f + sum s[j]; returns f = exp(old max - m_new), 0 at the first block
  // (*row_max = -inf). Entries from `valid` on are not read and count as -inf: their s becomes
  // exactly 0. A NaN in s makes *row_sum NaN.
  // REQUIRES: n is a multiple of 16; valid <= n; valid >= 1 at the first block.
  float (*softmax_block)(int64_t n, int64_t valid, float scale, float* s, float* row_max,
                         float* row_sum);
  // x[i] *= factor
  void (*scale)(int64_t n, float factor, float* x);

  const AttentionKernels* attention;  // kernels/attention.h; see attention_kernels()
};

// The reference first, then the instruction sets this build has, best last.
std::span<const KernelTable* const> kernel_tables();

// Whether this machine can run `table`.
bool is_supported(const KernelTable& table);

// The table named `isa`; the best supported one when it is empty. usage for an unknown name (lists
// the known ones), unavailable for one this machine lacks.
Result<const KernelTable*> select_kernels(std::string_view isa);

}  // namespace phial

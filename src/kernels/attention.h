// Attention kernels: what is stored of a position, and softmax(scale q k) v over one page for many
// query rows. General rules of kernels: kernels/kernels.h.
#pragma once

#include <cstdint>

#include "kernels/kv_head.h"

namespace phial {

struct KernelTable;

// Puts a position's key and value into slot `slot` of a block, rounded to nearest. float32 results
// are the same bits on every instruction set. int8: the scale is max |x| / 127, rounded up to a
// bfloat16; int4: max |x| / 15. KvHead says what is rotated before. NaN or an infinity makes the
// position's scale NaN.
struct KvStoreArgs {
  const KvHead* head;
  int64_t slot;    // 0..63
  const float* k;  // [head_dim]
  const float* v;  // [head_dim]
  uint8_t* block;  // only bytes of this slot are written
  float* scratch;  // [2 * width]
};
using KvStoreFn = void (*)(const KvStoreArgs&);

// Numbers as two planes of integers: x[i] = (128 hi[i] + lo[i]) * scale, |hi|, |lo| <= 64, rounded
// to nearest with 8191 steps for max |x|. Dot products of codes with planes are exact in int32 on
// every instruction set, also where products of bytes are summed in pairs of 16 bits
// (255 * 64 * 2 < 2^15).
struct Planes {
  int8_t* codes;  // [rows][2][n]: hi, then lo
  float* scale;   // [rows]; NaN when a number of the row is NaN or infinite: codes are 0 then
  int32_t*
      correction;  // [rows]: -128 * the sum of 128 hi + lo, for codes that stand for code - 128
};
inline constexpr int kPlaneSteps = 8191;

// One step of online softmax attention (kernels.h: softmax_block) of query rows with a page.
//
// Rows come as groups of `group` that stand for one position; row r has position
// first_position + r / group, counted from the first one of the page. It sees the positions
// (own - window, own] (window 0: all up to its own one) of the page. For each row that sees any,
//   s = scale * (q . k), or with a cap > 0: cap tanh(scale * (q . k) / cap)
//   p = exp(s - new max), row_sum = row_sum * f + sum p, out = out * f + p v, f = exp(old - new
//   max)
// with row_max = -infinity, row_sum = 0, out = 0 at the row's first page; of the other rows nothing
// is changed. A row's result does not depend on the other rows, bit for bit.
//
// Roundings: f32, f16 and bf16 pages multiply in float32, each sum one chain in the order of its
// index. int8 and int4 pages take the query as `planes` and make planes of p times the scales of
// the values, for each row and page; sums of products are exact.
struct AttentionPageArgs {
  const KvHead* head;
  const uint8_t* block;
  const uint8_t* next;  // the block that is read after this one, fetched ahead; may be `block`
  int64_t rows, group;
  int64_t first_position;  // of row 0, from the beginning of the page on; may be negative
  int64_t window;
  float scale, cap;
  const float* q;  // [rows][width], zeros behind head_dim; not read by int8 and int4
  Planes planes;   // of q, rotated as keys are; not read by other types
  float* row_max;  // [rows]
  float* row_sum;  // [rows]
  float* out;      // [rows][width]
  // Scratch.
  float* scores;        // [rows][64]
  float* factors;       // [rows]
  Planes value_planes;  // [rows], n = 64
  uint8_t* codes;       // [64 * width]; int4 only
};
using AttentionPageFn = void (*)(const AttentionPageArgs&);

// The part of a softmax that some of the keys made, for `rows` rows.
struct AttentionPart {
  float* row_max;
  float* row_sum;
  float* out;  // [rows][width]
};

inline constexpr int64_t kMostRotated = 1024;

struct AttentionKernels {
  KvStoreFn store[kKvTypes];       // by KvType
  AttentionPageFn page[kKvTypes];  // by KvType

  void (*make_planes)(int64_t rows, int64_t n, const float* x, const Planes& planes);

  // x becomes H x / sqrt(n), or the inverse of that, for an n x n Hadamard matrix H: the Kronecker
  // product of Sylvester's of 2^a and one of order 1, 12 or 20 (Paley 1933) when n = 2^a, 12 * 2^a,
  // 20 * 2^a; for other n, blocks of the largest power of two in n. REQUIRES: n <= kMostRotated
  void (*rotate)(int64_t n, bool inverse, float* x);

  // Makes `into` what online softmax would have made of the keys of both, for each row. A row of no
  // keys (row_max = -infinity) changes nothing, and becomes a copy of the other one.
  void (*merge)(int64_t rows, int64_t width, const AttentionPart& part, const AttentionPart& into);
};

// The attention kernels of a table. Where this processor has instructions beyond those that give
// the table its name (AVX512_VNNI), those that use them: with the same bits.
const AttentionKernels& attention_kernels(const KernelTable& table);

}  // namespace phial

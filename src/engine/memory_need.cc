#include "engine/memory_need.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "base/checked.h"
#include "engine/cpu/attention.h"
#include "engine/cpu/rope_table.h"
#include "kernels/packed.h"

namespace phial {
namespace {

int64_t saturating_product(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  for (const int64_t factor : factors) {
    const auto next = checked_mul(product, factor);
    if (!next) return INT64_MAX;
    product = *next;
  }
  return product;
}

int64_t saturating_sum(std::initializer_list<int64_t> terms) {
  int64_t sum = 0;
  for (const int64_t term : terms) sum = checked_add(sum, term).value_or(INT64_MAX);
  return sum;
}

constexpr int64_t kFloat = sizeof(float);
// A worker's own: an unpacked panel of weights, an attention tile's queries, scores and sums.
constexpr int64_t kWorkerBytes = int64_t{1} << 20;

// Attention's results of ranges that several workers compute: of each row and range, all heads'
// with their maximums and sums, in three pieces of whole lines.
int64_t part_bytes(const ModelSpec& spec, int64_t rows, KvType type) {
  if (type == KvType::f32) return 0;  // is one range
  const int64_t ranges = ceil_div(ceil_div(spec.context, kPagePositions), kRangePages);
  const int64_t width = KvHead::of(type, spec.attention.head_dim).width;
  const int64_t row =
      saturating_sum({saturating_product({kFloat, spec.attention.heads, width + 2}), 3 * 64});
  return std::min(kMaxAttentionPartBytes, saturating_product({rows, ranges, row}));
}

}  // namespace

int64_t kv_bytes(const ModelSpec& spec, int64_t context, KvType type) {
  return saturating_product({spec.layers, spec.attention.kv_heads,
                             KvHead::of(type, spec.attention.head_dim).bytes,
                             ceil_div(context, kPagePositions)});
}

int64_t pass_bytes(const ModelSpec& spec, int64_t rows, int threads, const Numerics& numerics) {
  rows = std::min(rows, spec.context);
  const AttentionSpec& attention = spec.attention;
  const int64_t q_width = saturating_product({attention.heads, attention.head_dim});
  // The residual stream, what is normed, what is added and what the head reads; q and the
  // attention's result; k and v; gate and up; angles, which are
  // kept for two sets of frequencies.
  const int64_t row_floats =
      saturating_sum({saturating_product({4, spec.hidden}), saturating_product({2, q_width}),
                      saturating_product({2, attention.kv_heads, attention.head_dim}),
                      saturating_product({2, spec.intermediate}), spec.rope.rotary});
  // Inputs of layers as codes, with their scales and sums; a slab of a row alone takes most.
  const auto codes_of = [&](int64_t width) {
    QuantizedRows slab;
    slab.rows = slab.tile.rows = 1;
    slab.columns = kSlabColumns;
    return saturating_product(
        {rows, ceil_div<int64_t>(width, kSlabColumns), quantized_bytes(slab)});
  };
  const int64_t codes =
      numerics.compute != Compute::int8
          ? 0
          : saturating_sum({codes_of(spec.hidden),
                            codes_of(std::max({spec.hidden, q_width, spec.intermediate}))});
  return saturating_sum({saturating_product({kFloat, row_floats, rows}),
                         saturating_product({kFloat, 2, kKeptRopePositions, spec.rope.rotary}),
                         saturating_product({kWorkerBytes, threads}), codes,
                         part_bytes(spec, rows, numerics.kv), logits_bytes(spec, kKeptLogitsRows)});
}

int64_t choose_pass_rows(const ModelSpec& spec, int threads, const Numerics& numerics,
                         const MemoryBudget* budget) {
  int64_t rows = kMostPassRows;
  while (budget != nullptr && rows > kLeastPassRows &&
         pass_bytes(spec, rows, threads, numerics) > budget->left() / 4) {
    rows /= 2;
  }
  return rows;
}

int64_t logits_bytes(const ModelSpec& spec, int64_t rows) {
  return saturating_product({kFloat, spec.vocabulary, rows});
}

int64_t held_logits_bytes(const ModelSpec& spec) { return logits_bytes(spec, 2); }

int64_t least_bytes(const ModelSpec& spec, int threads, const Numerics& numerics) {
  return saturating_sum({pass_bytes(spec, kLeastPassRows, threads, numerics),
                         kv_bytes(spec, 1, numerics.kv), held_logits_bytes(spec)});
}

std::string size_text(int64_t bytes) {
  constexpr int64_t kMegabyte = int64_t{1} << 20;
  if (bytes < 10 * kMegabyte) return fmt::format("{} KB", bytes / 1024 + (bytes % 1024 != 0));
  return fmt::format("{} MB", bytes / kMegabyte + (bytes % kMegabyte != 0));
}

Result<MemoryLease> take_memory(const std::shared_ptr<MemoryBudget>& budget, int64_t bytes,
                                std::string_view what, std::string_view hint) {
  if (budget == nullptr) return MemoryLease();
  if (budget->take(bytes)) return MemoryLease(budget, bytes);
  return over_limit(
      "max_memory",
      fmt::format("{} take {}; of the {} of memory allowed, {} are left", what, size_text(bytes),
                  size_text(budget->limit()), size_text(budget->left())),
      hint);
}

}  // namespace phial

#include "engine/cpu/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace phial {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Query heads of one key/value head lie side by side in a row of q, so a position's group is one
// run of group * head_dim floats.
void gather_queries(const AttentionTile& tile, int64_t group_floats, int64_t offset, float* q) {
  for (int64_t p = 0; p < tile.positions; ++p) {
    std::memcpy(q + p * group_floats, tile.q + p * tile.row_stride + offset,
                static_cast<size_t>(group_floats) * sizeof(float));
  }
}

}  // namespace

int64_t attention_tile_positions(const AttentionSpec& spec) {
  return std::max<int64_t>(1, kAttentionTileRows / (spec.heads / spec.kv_heads));
}

void run_attention(const KernelTable& kernels, const AttentionSpec& spec, const AttentionTile& tile,
                   AttentionScratch& scratch) {
  const int64_t group = spec.heads / spec.kv_heads;
  const int64_t head_dim = spec.head_dim;
  const int64_t rows = tile.positions * group;
  const int64_t offset = tile.kv_head * group * head_dim;
  scratch.q.resize(static_cast<size_t>(rows * head_dim));
  scratch.scores.resize(static_cast<size_t>(rows * kPagePositions));
  scratch.out.assign(static_cast<size_t>(rows * head_dim), 0.0f);
  scratch.row_max.assign(static_cast<size_t>(rows), kMinusInfinity);
  scratch.row_sum.assign(static_cast<size_t>(rows), 0.0f);
  gather_queries(tile, group * head_dim, offset, scratch.q.data());

  // The cap scales the scores itself.
  const bool capped = spec.softcap > 0;
  const float scale = capped ? 1.0f : spec.scale;
  const auto first_visible = [&](int64_t position) {
    return tile.window > 0 ? std::max<int64_t>(0, position - tile.window + 1) : 0;
  };
  const int64_t last_position = tile.first_position + tile.positions - 1;
  const int64_t first_page = first_visible(tile.first_position) / kPagePositions;
  for (int64_t page = first_page; page <= last_position / kPagePositions; ++page) {
    const int64_t page_begin = page * kPagePositions;
    float* scores = scratch.scores.data();
    kernels.gemm(rows, kPagePositions, head_dim, scratch.q.data(), head_dim,
                 tile.cache->keys(tile.layer, tile.kv_head, page), kPagePositions, scores,
                 kPagePositions, /*accumulate=*/false);
    if (capped) kernels.softcap(rows * kPagePositions, spec.scale, spec.softcap, scores);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t position = tile.first_position + r / group;
      const int64_t begin = std::max<int64_t>(0, first_visible(position) - page_begin);
      const int64_t end = std::min<int64_t>(kPagePositions, position + 1 - page_begin);
      float* s = scores + r * kPagePositions;
      if (begin >= end) {  // this row sees nothing of the page: weight 0 for all of it
        std::fill_n(s, kPagePositions, 0.0f);
        continue;
      }
      std::fill_n(s, begin, kMinusInfinity);
      const float factor = kernels.softmax_block(kPagePositions, end, scale, s,
                                                 &scratch.row_max[static_cast<size_t>(r)],
                                                 &scratch.row_sum[static_cast<size_t>(r)]);
      if (factor != 1.0f) kernels.scale(head_dim, factor, scratch.out.data() + r * head_dim);
    }
    kernels.gemm(rows, head_dim, kPagePositions, scores, kPagePositions,
                 tile.cache->values(tile.layer, tile.kv_head, page), head_dim, scratch.out.data(),
                 head_dim, /*accumulate=*/true);
  }
  for (int64_t p = 0; p < tile.positions; ++p) {
    for (int64_t h = 0; h < group; ++h) {
      const int64_t r = p * group + h;
      float* out = scratch.out.data() + r * head_dim;
      kernels.scale(head_dim, 1.0f / scratch.row_sum[static_cast<size_t>(r)], out);
      std::memcpy(tile.out + p * tile.row_stride + offset + h * head_dim, out,
                  static_cast<size_t>(head_dim) * sizeof(float));
    }
  }
}

}  // namespace phial

// Attention over the pages of a KvCache: softmax(scale q k) v with a causal mask, an optional
// sliding window and an optional soft cap of the scores, online over pages, the query heads of one
// key/value head together.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/kv_cache.h"
#include "kernels/kernels.h"
#include "model/model_spec.h"

namespace phial {

// Query rows (positions x heads of a group) that meet a page together.
inline constexpr int64_t kAttentionTileRows = 48;

// Memory of one worker.
struct AttentionScratch {
  std::vector<float> q;       // [tile rows, head_dim]
  std::vector<float> scores;  // [tile rows, kPagePositions]
  std::vector<float> out;     // [tile rows, head_dim]
  std::vector<float> row_max;
  std::vector<float> row_sum;
};

// Consecutive positions of one sequence and one key/value head.
struct AttentionTile {
  const KvCache* cache;
  int64_t layer;
  int64_t window;  // of the layer, as LayerKind::window
  int64_t kv_head;
  int64_t first_position;
  int64_t positions;
  const float* q;  // query of the first position, [positions, row_stride], heads side by side
  float* out;      // likewise
  int64_t row_stride;
};

// Positions of a tile, so that it has at most kAttentionTileRows query rows.
int64_t attention_tile_positions(const AttentionSpec& spec);

// The result of a query row does not depend on the other rows of the tile.
void run_attention(const KernelTable& kernels, const AttentionSpec& spec, const AttentionTile& tile,
                   AttentionScratch& scratch);

}  // namespace phial

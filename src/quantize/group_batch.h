// Sixteen groups of values on their way through a search: loaded side by side, with what the search
// found, and the integers that come of it.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/search.h"
#include "tensor/block_pack.h"

namespace phial {

// How far a search looks.
struct SearchPlan {
  std::span<const float> steps;  // for fit_scale
  std::span<const float> cuts;   // for fit_range
  int refits = 0;
  int rounds = 0;  // of the two-level search: scales' neighbours, then the superblock's scales
};

struct GroupBatch {
  alignas(64) float x[kMaxGroupValues * kSearchLanes];
  alignas(64) float w[kMaxGroupValues * kSearchLanes];
  alignas(64) float scales[kSearchLanes];
  alignas(64) float minimums[kSearchLanes];
  SearchSums sums;
  uint8_t codes[kSearchLanes * kMaxGroupValues];  // [lane, n]
  int n = 0;

  SearchGroups groups() const { return {n, x, w}; }
  const uint8_t* lane_codes(int lane) const { return codes + lane * n; }

  // Loads groups [first, first + count) of rows that hold groups_per_row groups of `n` each; lanes
  // from `count` on are zeros.
  void load(const float* values, int64_t first, int count, int group_values, int64_t groups_per_row,
            const float* importance);
};

// Superblocks of the batch's lanes, groups_per_block lanes each: integers and codes of each.
// q2_k, q4_k, q5_k.
void search_with_minimums(const SearchTable& search, const SearchPlan& plan, int groups_per_block,
                          int top_scale, int top_code, GroupBatch& batch, BlockCodes* blocks);
// q3_k, q6_k, iq4_xs. Scales are integers in [lowest_scale, -lowest_scale - 1].
void search_signed(const SearchTable& search, const SearchPlan& plan, int groups_per_block,
                   int lowest_scale, const SearchCodes& codes, GroupBatch& batch,
                   BlockCodes* blocks);

}  // namespace phial

// Searches for the scales of quantized weights: sixteen groups at once, one in each lane of a
// vector. Lanes do not mix and every lane runs the same chain of rounded operations, so all
// instruction sets give the same bits; the units differ in width alone.
//
// Arrays are [n, kSearchLanes]: value j of group l at [j * kSearchLanes + l]. All numbers are
// finite; weights are >= 0. A lane without values is one of zeros.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernels.h"

namespace phial {

inline constexpr int kSearchLanes = 16;
inline constexpr int kMaxGroupValues = 256;

struct SearchGroups {
  int32_t n = 0;             // values of each group, 1 .. kMaxGroupValues
  const float* x = nullptr;  // values
  const float* w = nullptr;  // what the squared error of each value counts
};

// The codes of a grid: whole numbers, or places in a table of 16 rising numbers.
struct SearchCodes {
  float low = 0, high = 0;         // whole numbers
  const int8_t* levels = nullptr;  // a table; then low and high are its ends
};

// Sums over the values of each group, with the code's number q that was chosen for each.
struct SearchSums {
  float w[kSearchLanes];      // w
  float wx[kSearchLanes];     // w x
  float wq[kSearchLanes];     // w q
  float wqq[kSearchLanes];    // w q q
  float wxq[kSearchLanes];    // w x q
  float error[kSearchLanes];  // w (x - (scale q + minimum))^2
};

struct SearchTable {
  const char* isa;  // as KernelTable::isa; "reference" is plain code for any machine

  // scales[l] near the one that makes the sum of w (x - scale q)^2 least, q the nearest code. Tried
  // are those that take the value of largest magnitude to each of steps[0 .. count), each then made
  // the best for its codes; then the winner, `refits` times, with the codes that are nearest to it.
  // 0 where all values are 0.
  void (*fit_scale)(const SearchGroups& groups, const SearchCodes& codes, const float* steps,
                    int count, int refits, float* scales);

  // The same with a minimum, x = scale q + minimum for codes 0 .. codes.high. Tried are the ranges
  // from lowest + cuts[2 i] r to highest - cuts[2 i + 1] r of the group's range r. With
  // `never_positive` the range holds 0 and no minimum is above it. Scales are >= 0.
  void (*fit_range)(const SearchGroups& groups, const SearchCodes& codes, const float* cuts,
                    int count, int refits, bool never_positive, float* scales, float* minimums);

  // The nearest codes for given scales (0: all codes are that of 0 or the lowest) and minimums
  // (null: none), and their sums. codes[l * n + j] counts from 0 on; may be null.
  void (*choose)(const SearchGroups& groups, const SearchCodes& codes, const float* scales,
                 const float* minimums, SearchSums* sums, uint8_t* chosen);
};

// The reference first, then the instruction sets this build has, best last.
std::span<const SearchTable* const> search_tables();

// The one that goes with the kernels in use.
const SearchTable& search_table_for(const KernelTable& kernels);

}  // namespace phial

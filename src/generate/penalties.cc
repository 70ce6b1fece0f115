#include "generate/penalties.h"

namespace phial {
namespace {

// Calls `change(id, count)` once for each id in `tokens`.
template <class Change>
void for_each_id(std::span<const int32_t> tokens, IdCounts& counts, const Change& change) {
  for (const int32_t id : tokens) ++counts[static_cast<size_t>(id)];
  for (const int32_t id : tokens) {
    int32_t& count = counts[static_cast<size_t>(id)];
    if (count > 0) change(static_cast<size_t>(id), count);
    count = 0;
  }
}

}  // namespace

void apply_repetition_penalty(std::span<const int32_t> tokens, float penalty, IdCounts& counts,
                              std::span<float> scores) {
  for_each_id(tokens, counts, [&](size_t id, int32_t) {
    scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
  });
}

void apply_count_penalties(std::span<const int32_t> new_tokens, float presence, float frequency,
                           IdCounts& counts, std::span<float> scores) {
  for_each_id(new_tokens, counts, [&](size_t id, int32_t count) {
    scores[id] -= presence + frequency * static_cast<float>(count);
  });
}

}  // namespace phial

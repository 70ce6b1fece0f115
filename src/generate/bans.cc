#include "generate/bans.h"

#include <algorithm>
#include <limits>

namespace phial {
namespace {

constexpr float kBanned = -std::numeric_limits<float>::infinity();

}  // namespace

void ban_repeated_ngrams(std::span<const int32_t> tokens, int32_t n, std::span<float> scores) {
  const auto size = static_cast<size_t>(n);
  if (tokens.size() < size) return;
  const std::span<const int32_t> prefix = tokens.last(size - 1);
  for (size_t at = 0; at + size <= tokens.size(); ++at) {
    if (std::ranges::equal(tokens.subspan(at, size - 1), prefix)) {
      scores[static_cast<size_t>(tokens[at + size - 1])] = kBanned;
    }
  }
}

void ban_ids(std::span<const int32_t> ids, std::span<float> scores) {
  for (const int32_t id : ids) {
    if (id >= 0 && static_cast<size_t>(id) < scores.size()) {
      scores[static_cast<size_t>(id)] = kBanned;
    }
  }
}

}  // namespace phial

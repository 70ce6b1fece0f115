#include "generate/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace phial {

double log_sum_exp(std::span<const float> logits) {
  double top = -HUGE_VAL;
  for (const float logit : logits) top = double{logit} > top ? double{logit} : top;
  if (std::isinf(top)) return top;
  double sum = 0;
  for (const float logit : logits) {
    if (!std::isnan(logit)) sum += std::exp(double{logit} - top);
  }
  return top + std::log(sum);
}

TokenLogprobs token_logprobs(std::span<const float> logits, int32_t chosen, int32_t top) {
  const double normalizer = log_sum_exp(logits);
  const auto logprob = [&](int32_t id) {
    return TokenLogprob{id,
                        static_cast<float>(double{logits[static_cast<size_t>(id)]} - normalizer)};
  };
  TokenLogprobs out{logprob(chosen), {}};
  if (top == 0) return out;
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const size_t n = std::min(ids.size(), static_cast<size_t>(top));
  const auto key = [&](int32_t id) {  // NaN has no order
    const float logit = logits[static_cast<size_t>(id)];
    return std::isnan(logit) ? -HUGE_VALF : logit;
  };
  std::partial_sort(
      ids.begin(), ids.begin() + static_cast<ptrdiff_t>(n), ids.end(),
      [&key](int32_t a, int32_t b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
  out.top.reserve(n);
  for (size_t i = 0; i < n; ++i) out.top.push_back(logprob(ids[i]));
  return out;
}

}  // namespace phial

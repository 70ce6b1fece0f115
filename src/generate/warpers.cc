#include "generate/warpers.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

namespace phial {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Candidates = std::vector<Candidate>;

void sort_by_id(Candidates& candidates) { std::ranges::sort(candidates, {}, &Candidate::id); }

float largest_score(std::span<const Candidate> candidates) {
  return std::ranges::max(candidates, {}, &Candidate::score).score;
}

// The candidates in the order of `before`, sorted piece by piece as far as they are looked at: the
// filters that need an order mostly look at a few of many.
template <class Before>
class SortedPrefix {
 public:
  SortedPrefix(Candidates& candidates, Before before) : candidates_(candidates), before_(before) {}

  const Candidate& operator[](size_t i) {
    while (i >= sorted_) {
      const size_t next = std::min(candidates_.size(), std::max<size_t>(64, sorted_ * 4));
      const auto begin = candidates_.begin() + static_cast<ptrdiff_t>(sorted_);
      const auto end = candidates_.begin() + static_cast<ptrdiff_t>(next);
      if (next < candidates_.size()) {
        std::nth_element(begin, end, candidates_.end(), before_);
      }
      std::sort(begin, end, before_);
      sorted_ = next;
    }
    return candidates_[i];
  }

 private:
  Candidates& candidates_;
  Before before_;
  size_t sorted_ = 0;
};

void keep_first(Candidates& candidates, size_t n) {
  candidates.resize(std::min(n, candidates.size()));
  sort_by_id(candidates);
}

// Keeps what is not below the k-th score, equals included.
void top_k(Candidates& candidates, size_t k) {
  if (k >= candidates.size()) return;
  std::vector<float> scores;
  scores.reserve(candidates.size());
  for (const Candidate& c : candidates) scores.push_back(c.score);
  const auto kth = scores.begin() + static_cast<ptrdiff_t>(k - 1);
  std::nth_element(scores.begin(), kth, scores.end(), std::greater<>());
  std::erase_if(candidates, [least = *kth](const Candidate& c) { return c.score < least; });
}

// Keeps the first tokens whose sum reaches p, the one that reaches it included.
void top_p(Candidates& candidates, double p, size_t min_keep) {
  const float top = largest_score(candidates);
  double sum = 0;
  for (const Candidate& c : candidates) sum += std::exp(double{c.score} - double{top});
  SortedPrefix sorted(candidates, [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.id > b.id;
  });
  double before = 0;
  size_t kept = 0;
  while (kept < candidates.size() && (kept < min_keep || before < p * sum)) {
    before += std::exp(double{sorted[kept++].score} - double{top});
  }
  keep_first(candidates, kept);
}

void min_p(Candidates& candidates, double p, size_t min_keep) {
  const float top = largest_score(candidates);
  const auto stays = [top, p](const Candidate& c) {
    return std::exp(double{c.score} - double{top}) >= p;
  };
  const auto staying = static_cast<size_t>(std::ranges::count_if(candidates, stays));
  if (staying >= min_keep) {
    std::erase_if(candidates, [&stays](const Candidate& c) { return !stays(c); });
    return;
  }
  const size_t kept = std::min(min_keep, candidates.size());
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(kept),
                    candidates.end(), [](const Candidate& a, const Candidate& b) {
                      return a.score != b.score ? a.score > b.score : a.id < b.id;
                    });
  keep_first(candidates, kept);
}

// Keeps the tokens whose information -log p is closest to its mean, the entropy, as many as reach
// the mass; tokens as far off as the last of them stay too.
void typical(Candidates& candidates, double mass, size_t min_keep) {
  const float top = largest_score(candidates);
  double sum = 0;
  double weighted = 0;
  for (const Candidate& c : candidates) {
    const double below = double{c.score} - double{top};
    sum += std::exp(below);
    weighted += below * std::exp(below);
  }
  // With z = log(sum), -log p = z - below and the entropy is z - weighted / sum.
  const double mean_below = weighted / sum;
  const auto distance = [top, mean_below](const Candidate& c) {
    return std::abs(mean_below - (double{c.score} - double{top}));
  };
  SortedPrefix sorted(candidates, [&distance](const Candidate& a, const Candidate& b) {
    const double da = distance(a);
    const double db = distance(b);
    return da != db ? da < db : a.id < b.id;
  });
  double reached = 0;
  size_t last = 0;  // of those that stay
  for (; last < candidates.size(); ++last) {
    reached += std::exp(double{sorted[last].score} - double{top});
    if (reached >= mass * sum) break;
  }
  last = std::min(last, candidates.size() - 1);
  const double farthest = distance(sorted[last]);
  size_t kept = last + 1;
  while (kept < candidates.size() && (kept < min_keep || distance(sorted[kept]) <= farthest)) {
    ++kept;
  }
  keep_first(candidates, kept);
}

// Scores by the temperature. The quotients of a tiny temperature overflow: then distances to the
// largest score are divided, which is the same to softmax.
Result<Candidates> possible(std::span<const float> scores, float temperature) {
  float top = -kInfinity;
  for (const float score : scores) top = score > top ? score : top;
  if (top == -kInfinity) {
    return failed("sampling", "no token is possible: every score is NaN or minus infinity");
  }
  const bool infinite = top == kInfinity;
  const bool overflows =
      !infinite && (std::isinf(top / temperature) || std::isinf(1 / temperature));
  Candidates candidates;
  candidates.reserve(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    const float score = scores[i];
    if (std::isnan(score) || score == -kInfinity || (infinite && score != kInfinity)) continue;
    float scaled = score / temperature;
    if (infinite) scaled = 0;
    if (overflows) scaled = score == top ? 0 : (score - top) / temperature;
    if (scaled == -kInfinity) continue;
    candidates.push_back({static_cast<int32_t>(i), scaled});
  }
  return candidates;
}

}  // namespace

Result<std::vector<Candidate>> warp(std::span<const float> scores, const SamplingOptions& options,
                                    size_t min_tokens_to_keep) {
  PHIAL_ASSIGN(Candidates candidates, possible(scores, options.temperature));
  if (options.top_k > 0) {
    top_k(candidates, std::max(static_cast<size_t>(options.top_k), min_tokens_to_keep));
  }
  if (options.top_p < 1) top_p(candidates, double{options.top_p}, min_tokens_to_keep);
  if (options.min_p > 0) min_p(candidates, double{options.min_p}, min_tokens_to_keep);
  if (options.typical_p < 1) typical(candidates, double{options.typical_p}, min_tokens_to_keep);
  return candidates;
}

std::vector<double> softmax_weights(std::span<const Candidate> candidates) {
  std::vector<double> weights;
  weights.reserve(candidates.size());
  const float top = candidates.empty() ? 0.0f : largest_score(candidates);
  for (const Candidate& c : candidates) {
    weights.push_back(std::exp(double{c.score} - double{top}));
  }
  return weights;
}

}  // namespace phial

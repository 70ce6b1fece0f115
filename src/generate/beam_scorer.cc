#include "generate/beam_scorer.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "generate/sampling.h"

namespace phial {
namespace {

bool better(const BeamCandidate& a, const BeamCandidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.beam != b.beam ? a.beam < b.beam : a.id < b.id;
}

}  // namespace

BeamScorer::BeamScorer(const BeamOptions& options, bool sampled, size_t end_ids,
                       int64_t max_new_tokens)
    : options_(options),
      sampled_(sampled),
      kept_candidates_(std::max<size_t>(2, 1 + end_ids) * static_cast<size_t>(options.num_beams)),
      max_new_tokens_(max_new_tokens) {}

void BeamScorer::prune() {
  if (offered_.size() <= kept_candidates_) return;
  const auto last = offered_.begin() + static_cast<ptrdiff_t>(kept_candidates_ - 1);
  std::nth_element(offered_.begin(), last, offered_.end(), better);
  offered_.resize(kept_candidates_);
}

void BeamScorer::offer(size_t beam, std::span<const Candidate> continuations) {
  const size_t limit = 4 * kept_candidates_ + 64;
  float least = -HUGE_VALF;  // below it nothing can be kept
  for (const Candidate& c : continuations) {
    const float score = c.score + running_[beam];
    if (!std::isfinite(score) || score < least) continue;
    offered_.push_back({score, beam, c.id, false});
    if (!sampled_ && offered_.size() >= limit) {
      prune();
      least = offered_.back().score;
    }
  }
}

Result<std::vector<BeamCandidate>> BeamScorer::candidates(Rng& rng) {
  if (offered_.empty()) {
    return failed("beam search", "no token is possible: every score is NaN or minus infinity");
  }
  std::vector<BeamCandidate> kept;
  if (sampled_) {
    const float top = std::ranges::max(offered_, {}, &BeamCandidate::score).score;
    std::vector<double> weights;
    weights.reserve(offered_.size());
    for (const BeamCandidate& c : offered_)
      weights.push_back(std::exp(double{c.score} - double{top}));
    for (const size_t i : draw_without_replacement(std::move(weights), kept_candidates_, rng)) {
      kept.push_back(offered_[i]);
    }
    offered_.clear();
    return kept;
  }
  prune();
  kept.swap(offered_);
  std::ranges::sort(kept, better);
  return kept;
}

float BeamScorer::normalized(float score, int64_t new_tokens) const {
  return score / static_cast<float>(std::pow(static_cast<double>(new_tokens),
                                             static_cast<double>(options_.length_penalty)));
}

bool BeamScorer::can_improve() const {
  if (finished_.size() < static_cast<size_t>(options_.num_beams)) return true;
  const bool at_any_length =
      options_.early_stopping == EarlyStopping::never && options_.length_penalty > 0;
  const float best = normalized(running_.front(), at_any_length ? max_new_tokens_ : new_tokens_);
  return best > finished_.back().score;
}

BeamScorer::Advance BeamScorer::advance(std::span<const BeamCandidate> candidates) {
  const auto beams = static_cast<size_t>(options_.num_beams);
  Advance out;
  ++new_tokens_;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i].ends) out.running.push_back(i);
  }
  std::ranges::stable_sort(out.running, std::greater<>(),
                           [&candidates](size_t i) { return candidates[i].score; });
  if (out.running.size() > beams) out.running.resize(beams);
  running_.clear();
  for (const size_t i : out.running) running_.push_back(candidates[i].score);

  for (size_t i = 0; i < std::min(beams, candidates.size()); ++i) {
    if (!candidates[i].ends) continue;
    const float score = normalized(candidates[i].score, new_tokens_);
    // Behind those of the same score that were there before.
    const auto place =
        std::ranges::upper_bound(finished_, score, std::greater<>(), &Finished::score);
    if (place == finished_.end() && finished_.size() == beams) continue;
    out.entered.push_back({i, next_tag_});
    finished_.insert(place, {score, next_tag_++});
    if (finished_.size() > beams) finished_.pop_back();
  }
  const bool full = finished_.size() == beams;
  out.done =
      running_.empty() || !can_improve() || (full && options_.early_stopping == EarlyStopping::yes);
  return out;
}

}  // namespace phial

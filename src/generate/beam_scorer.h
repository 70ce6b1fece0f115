// The bookkeeping of beam search as transformers 5.23 does it (GenerationMixin._beam_search),
// without a model: which candidates run on, which are finished, when to stop. Scores are float32
// there too.
//
// Each step takes the scores of all continuations of the running beams and keeps
// max(2, 1 + end ids) * num_beams candidates, the best ones, or drawn without putting back. Those
// of the first num_beams that end here are finished; the best num_beams of the others run on.
// transformers fills places that no candidate can take with scores of about -1e9; here they stay
// empty, so there may be fewer beams where processors leave few tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "generate/options.h"
#include "generate/warpers.h"

namespace phial {

struct BeamCandidate {
  float score = 0;    // accumulated
  size_t beam = 0;    // the running beam that it continues
  int32_t id = 0;     // its new token
  bool ends = false;  // with an end id, a stop string or the length; for the caller to set
};

class BeamScorer {
 public:
  // `sampled`: candidates are drawn. `max_new_tokens`: of the longest answer, >= 1.
  BeamScorer(const BeamOptions& options, bool sampled, size_t end_ids, int64_t max_new_tokens);

  // One step: offer() for each running beam, candidates(), advance().

  // Accumulated scores of the running beams, best first; one of score 0 at the beginning.
  const std::vector<float>& running() const { return running_; }
  // Tokens that every running beam holds.
  int64_t new_tokens() const { return new_tokens_; }
  // The possible next tokens of a running beam with their log-probabilities.
  void offer(size_t beam, std::span<const Candidate> continuations);
  // Of all that was offered, in the order that decides who may finish; of equal scores those of
  // earlier beams and smaller ids first. failed when there is none.
  Result<std::vector<BeamCandidate>> candidates(Rng& rng);

  struct Entered {
    size_t candidate = 0;
    int64_t tag = 0;
  };
  struct Advance {
    std::vector<size_t> running;   // candidates that run on, best first
    std::vector<Entered> entered;  // candidates that entered the finished ones
    bool done = false;
  };
  // Takes the step with `ends` set in what candidates() gave.
  Advance advance(std::span<const BeamCandidate> candidates);

  struct Finished {
    float score = 0;  // the sum of log-probabilities, normalized by the length
    int64_t tag = 0;  // of Entered
  };
  // At most num_beams, best first.
  const std::vector<Finished>& finished() const { return finished_; }
  // The score with which running beam `beam` would finish now.
  float score_if_finished(size_t beam) const { return normalized(running_[beam], new_tokens_); }

 private:
  float normalized(float score, int64_t new_tokens) const;
  bool can_improve() const;
  void prune();

  BeamOptions options_;
  bool sampled_;
  size_t kept_candidates_;
  int64_t max_new_tokens_;
  int64_t new_tokens_ = 0;
  int64_t next_tag_ = 0;
  std::vector<float> running_ = {0.0f};
  std::vector<BeamCandidate> offered_;  // unless sampled_, without some that cannot be kept
  std::vector<Finished> finished_;
};

}  // namespace phial

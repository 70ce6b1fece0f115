// Beam search and beam sampling: all beams in one pass, each a fork that shares the pages of what
// it has in common with the others.
#include <algorithm>
#include <map>

#include "generate/beam_scorer.h"
#include "generate/generation.h"
#include "generate/processors.h"
#include "generate/text_stream.h"

namespace phial {
namespace {

// An answer so far. The raw log-probabilities of beams that share their beginning are shared too.
struct LogprobNode {
  TokenLogprobs logprobs;
  std::shared_ptr<const LogprobNode> before;
};

struct Path {
  std::vector<int32_t> ids;
  std::shared_ptr<const LogprobNode> logprobs;
};

class BeamGeneration final : public Generation {
 public:
  explicit BeamGeneration(const GenerateRequest& request)
      : Generation(request),
        processors_(request.options),
        scorer_(options_.beams, options_.sampling.do_sample, options_.end_ids.size(),
                max_new_tokens_) {
    beams_.push_back({});
    done_ = max_new_tokens_ == 0;
  }

  std::vector<Sequence*> waiting() override {
    if (!started_) return {request_.sequence};
    std::vector<Sequence*> sequences;
    for (const Beam& beam : beams_) sequences.push_back(beam.sequence.get());
    return sequences;
  }

  Status advance() override {
    if (!started_) {
      PHIAL_ASSIGN(beams_.front().sequence, request_.sequence->fork());
      started_ = true;
    }
    for (size_t i = 0; i < beams_.size(); ++i) PHIAL_TRY(offer(i));
    PHIAL_ASSIGN(std::vector<BeamCandidate> candidates, scorer_.candidates(*request_.rng));
    for (BeamCandidate& candidate : candidates) PHIAL_TRY(decide_end(candidate));
    const BeamScorer::Advance advance = scorer_.advance(candidates);
    keep_finished(candidates, advance);
    done_ = advance.done;
    return run_on(candidates, advance.running);
  }

  void cancel() override {
    cancelled_ = true;
    done_ = true;
  }

  Result<std::vector<Output>> take() override;

 private:
  struct Beam {
    std::unique_ptr<Sequence> sequence;
    Path path;
  };
  struct FinishedPath {
    Path path;
    FinishReason reason = FinishReason::length;
  };

  Logits& logits_of(size_t beam) { return beams_[beam].sequence->logits(); }
  std::span<const float> raw_row(size_t beam) {
    Logits& logits = logits_of(beam);
    return logits.row(logits.rows() - 1);
  }

  // Hands the scorer what may follow beam `index`.
  Status offer(size_t index) {
    const std::span<const float> row = raw_row(index);
    const double normalizer = log_sum_exp(row);
    scores_.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) {
      scores_[i] = static_cast<float>(double{row[i]} - normalizer);
    }
    PHIAL_TRY(processors_.apply(index, beams_[index].sequence->tokens(), prompt_tokens_, scores_));
    if (options_.sampling.do_sample) {
      // One token that is no end must be left, or no beam would run on.
      const size_t least = std::max<size_t>(1, options_.end_ids.size()) + 1;
      auto left = warp(scores_, options_.sampling, least);
      if (left.ok()) scorer_.offer(index, *left);
      return {};
    }
    continuations_.clear();
    for (size_t i = 0; i < scores_.size(); ++i) {
      continuations_.push_back({static_cast<int32_t>(i), scores_[i]});
    }
    scorer_.offer(index, continuations_);
    return {};
  }

  Status decide_end(BeamCandidate& candidate) {
    PHIAL_ASSIGN(const bool stops, completes_stop(candidate));
    candidate.ends = stops || is_end(candidate.id) || scorer_.new_tokens() + 1 >= max_new_tokens_;
    return {};
  }

  Result<bool> completes_stop(const BeamCandidate& candidate) const {
    if (options_.stop_strings.empty()) return false;
    TextStream text(request_.tokenizer, options_.stop_strings);
    PHIAL_TRY(text.begin_behind(beams_[candidate.beam].sequence->tokens()));
    PHIAL_ASSIGN(const TextStream::Piece piece, text.push(candidate.id));
    return piece.stopped;
  }

  Path continued(const BeamCandidate& candidate) {
    const Path& before = beams_[candidate.beam].path;
    Path path = before;
    path.ids.push_back(candidate.id);
    std::vector<TokenLogprobs> added;
    add_logprobs(raw_row(candidate.beam), candidate.id, added);
    if (!added.empty()) {
      path.logprobs =
          std::make_shared<LogprobNode>(LogprobNode{std::move(added.front()), before.logprobs});
    }
    return path;
  }

  void keep_finished(std::span<const BeamCandidate> candidates,
                     const BeamScorer::Advance& advance) {
    for (const BeamScorer::Entered& entered : advance.entered) {
      const BeamCandidate& candidate = candidates[entered.candidate];
      const Result<bool> stops = completes_stop(candidate);
      const bool by_text = stops.ok() && *stops;
      finished_[entered.tag] = {continued(candidate), by_text || is_end(candidate.id)
                                                          ? FinishReason::stop
                                                          : FinishReason::length};
    }
    std::erase_if(finished_, [this](const auto& entry) {
      return std::ranges::find(scorer_.finished(), entry.first, &BeamScorer::Finished::tag) ==
             scorer_.finished().end();
    });
  }

  // Makes the beams of the next step. The last child of a beam takes its sequence, the others fork
  // it.
  Status run_on(std::span<const BeamCandidate> candidates, std::span<const size_t> running) {
    std::vector<Beam> next;
    for (const size_t i : running) next.push_back({nullptr, continued(candidates[i])});
    std::vector<size_t> children(beams_.size());
    for (const size_t i : running) ++children[candidates[i].beam];
    for (size_t i = 0; i < beams_.size(); ++i) {
      if (children[i] == 0) beams_[i].sequence = nullptr;  // makes room for forks
    }
    for (size_t i = 0; i < running.size(); ++i) {
      const size_t parent = candidates[running[i]].beam;
      if (--children[parent] == 0) {
        next[i].sequence = std::move(beams_[parent].sequence);
      } else {
        PHIAL_ASSIGN(next[i].sequence, beams_[parent].sequence->fork());
      }
    }
    for (Beam& beam : next) {
      if (done_) break;  // at the context there is no room for the last token
      const int32_t id = beam.path.ids.back();
      PHIAL_TRY(beam.sequence->append(std::span<const int32_t>(&id, 1)));
    }
    beams_ = std::move(next);
    return {};
  }

  Result<Output> output_of(const Path& path, FinishReason reason, float score) const;

  LogitsProcessors processors_;
  BeamScorer scorer_;
  std::vector<Beam> beams_;                   // as scorer_.running()
  std::map<int64_t, FinishedPath> finished_;  // by tag, as scorer_.finished()
  std::vector<float> scores_;                 // scratch
  std::vector<Candidate> continuations_;      // scratch
  bool started_ = false;
  bool cancelled_ = false;
};

Result<Output> BeamGeneration::output_of(const Path& path, FinishReason reason, float score) const {
  Output output;
  output.ids = path.ids;
  output.finish = reason;
  output.score = score;
  TextStream text(request_.tokenizer, options_.stop_strings);
  PHIAL_TRY(text.begin_behind(std::span<const int32_t>(request_.sequence->tokens())
                                  .first(static_cast<size_t>(prompt_tokens_))));
  for (const int32_t id : path.ids) {
    PHIAL_ASSIGN(const TextStream::Piece piece, text.push(id));
    output.text += piece.text;
    if (piece.stopped) break;
  }
  output.text += text.finish();
  for (const LogprobNode* node = path.logprobs.get(); node != nullptr; node = node->before.get()) {
    output.logprobs.push_back(node->logprobs);
  }
  std::ranges::reverse(output.logprobs);
  return output;
}

// Best first; cancelled, the running beams count with what they would score if they finished now.
Result<std::vector<Output>> BeamGeneration::take() {
  std::vector<Output> outputs;
  for (const BeamScorer::Finished& finished : scorer_.finished()) {
    const FinishedPath& entry = finished_.at(finished.tag);
    PHIAL_ASSIGN(Output output, output_of(entry.path, entry.reason, finished.score));
    outputs.push_back(std::move(output));
  }
  for (size_t i = 0; cancelled_ && i < beams_.size(); ++i) {
    const float score = beams_[i].path.ids.empty() ? 0 : scorer_.score_if_finished(i);
    PHIAL_ASSIGN(Output output, output_of(beams_[i].path, FinishReason::cancelled, score));
    outputs.push_back(std::move(output));
  }
  std::ranges::stable_sort(outputs, std::greater<>(), &Output::score);
  const auto wanted = static_cast<size_t>(options_.num_return_sequences);
  if (outputs.size() > wanted) outputs.resize(wanted);
  if (max_new_tokens_ == 0) outputs.resize(wanted);
  if (!outputs.empty()) {
    // The best answer becomes part of the sequence.
    PHIAL_TRY(request_.sequence->append(outputs.front().ids));
  }
  return outputs;
}

}  // namespace

std::unique_ptr<Generation> make_beam_generation(const GenerateRequest& request) {
  return std::make_unique<BeamGeneration>(request);
}

}  // namespace phial

// Generation without beams: the most likely tokens, or drawn ones; several answers share the pages
// of their prompt.
#include <algorithm>
#include <chrono>
#include <optional>

#include "generate/generation.h"
#include "generate/processors.h"
#include "generate/sampling.h"
#include "generate/speculation.h"
#include "generate/text_stream.h"

namespace phial {
namespace {

class SampleGeneration final : public Generation {
 public:
  explicit SampleGeneration(const GenerateRequest& request)
      : Generation(request), processors_(request.options) {
    const auto count = static_cast<size_t>(options_.num_return_sequences);
    for (size_t i = 0; i < count; ++i) {
      answers_.push_back(Answer(request.tokenizer, options_.stop_strings));
      if (i > 0) answers_.back().own_rng.emplace(request.seed + i);
    }
    answers_.front().sequence = request.sequence;
    if (max_new_tokens_ == 0) finish_all(FinishReason::length);
  }

  std::vector<Sequence*> waiting() override {
    if (!started_) return {request_.sequence};
    std::vector<Sequence*> sequences;
    for (const Answer& answer : answers_) {
      if (answer.running) sequences.push_back(answer.sequence);
    }
    return sequences;
  }

  Status advance() override {
    if (!started_) PHIAL_TRY(start());
    done_ = true;
    for (size_t i = 0; i < answers_.size(); ++i) {
      Answer& answer = answers_[i];
      if (answer.running) PHIAL_TRY(step(i));
      // A draft that was right has its logits already.
      while (answer.running && answer.sequence->logits().rows() > 0) {
        ++right_;
        PHIAL_TRY(step(i));
      }
      done_ = done_ && !answer.running;
    }
    return {};
  }

  Status compute_alone() override {
    Sequence& sequence = *waiting().front();
    const SpeculationOptions& options = options_.speculation;
    // Not worth looking at one after another what the end of the answer throws away.
    const int64_t left = max_new_tokens_ - (sequence.length() - prompt_tokens_) - 1;
    const int64_t limit = std::min({int64_t{options.max_drafts}, sequence.drafts_limit(), left});
    if (!speculates_ || limit <= 0 || answers_.size() > 1) {
      return sequence.compute_logits(LogitsRows::last, request_.cancel);
    }
    if (drafter_ == nullptr) PHIAL_TRY(make_drafter());
    learn();
    const auto start = Clock::now();
    const int64_t most = draft_length_.choose(limit);
    std::vector<int32_t> drafts;
    if (most > 0) {
      PHIAL_ASSIGN(drafts, drafter_->draft(sequence.tokens(), most, request_.cancel));
    }
    Status status = sequence.compute_logits_ahead(drafts, request_.cancel);
    if (!status.ok()) {
      if (drafts.empty() || status.error().code == ErrorCode::cancelled) return status;
      // There may be memory for one row of logits, or the drafts alone may overflow.
      speculates_ = false;
      return sequence.compute_logits(LogitsRows::last, request_.cancel);
    }
    pass_ = Pass{std::ssize(drafts), right_, Clock::now() - start};
    drafted_ += pass_->drafts;
    return {};
  }

  int64_t drafted() const override { return drafted_; }
  int64_t accepted() const override { return right_; }

  void cancel() override { finish_all(FinishReason::cancelled); }

  Result<std::vector<Output>> take() override {
    std::vector<Output> outputs;
    for (Answer& answer : answers_) outputs.push_back(std::move(answer.output));
    return outputs;
  }

 private:
  struct Answer {
    Answer(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<std::string>& stops)
        : text(tokenizer, stops) {}

    Sequence* sequence = nullptr;
    std::unique_ptr<Sequence> own_sequence;  // a fork; null for the first answer
    std::optional<Rng> own_rng;
    TextStream text;
    Output output;
    bool running = true;
  };

  // Every answer begins with the prompt and its logits.
  Status start() {
    for (Answer& answer : answers_) {
      if (answer.sequence == nullptr) {
        PHIAL_ASSIGN(answer.own_sequence, request_.sequence->fork());
        answer.sequence = answer.own_sequence.get();
      }
      PHIAL_TRY(answer.text.begin_behind(request_.sequence->tokens()));
    }
    started_ = true;
    return {};
  }

  Status step(size_t index) {
    Answer& answer = answers_[index];
    Sequence& sequence = *answer.sequence;
    Logits& logits = sequence.logits();
    const std::span<const float> row = logits.row(logits.rows() - 1);
    scores_.assign(row.begin(), row.end());
    PHIAL_TRY(processors_.apply(index, sequence.tokens(), prompt_tokens_, scores_));
    Rng& rng = answer.own_rng ? *answer.own_rng : *request_.rng;
    PHIAL_ASSIGN(const int32_t id, sample_token(scores_, options_.sampling, rng));
    add_logprobs(row, id, answer.output.logprobs);
    PHIAL_TRY(sequence.append(std::span<const int32_t>(&id, 1)));
    answer.output.ids.push_back(id);
    PHIAL_ASSIGN(const TextStream::Piece piece, answer.text.push(id));
    answer.output.text += piece.text;
    const bool go_on = !streams() || request_.on_token(id, piece.text);
    if (is_end(id) || piece.stopped) {
      finish(answer, FinishReason::stop, go_on);
    } else if (!go_on) {
      finish(answer, FinishReason::cancelled, go_on);
    } else if (static_cast<int64_t>(answer.output.ids.size()) >= max_new_tokens_) {
      finish(answer, FinishReason::length, go_on);
    }
    // What was drafted must not show in what the answer leaves behind.
    return answer.running ? Status() : sequence.forget_ahead();
  }

  Status make_drafter() {
    const std::shared_ptr<Decoder>& assistant = options_.speculation.assistant;
    if (assistant == nullptr) {
      drafter_ = std::make_unique<PromptLookup>();
      return {};
    }
    PHIAL_ASSIGN(drafter_, ModelDrafter::create(assistant, request_.sequence->context()));
    return {};
  }

  // How many drafts of the last pass were right is known when the next begins.
  void learn() {
    if (!pass_) return;
    draft_length_.learn(pass_->drafts, right_ - pass_->right_before, pass_->time.count());
    pass_.reset();
  }

  bool streams() const { return request_.on_token && answers_.size() == 1; }

  // `tell`: whoever asked to stop is not called again.
  void finish(Answer& answer, FinishReason reason, bool tell) {
    answer.running = false;
    answer.output.finish = reason;
    const std::string rest = answer.text.finish();
    answer.output.text += rest;
    if (tell && streams() && !rest.empty()) request_.on_token(-1, rest);
  }

  void finish_all(FinishReason reason) {
    for (Answer& answer : answers_) {
      if (answer.running) finish(answer, reason, true);
    }
    done_ = true;
  }

  LogitsProcessors processors_;
  std::vector<Answer> answers_;
  std::vector<float> scores_;
  bool started_ = false;

  using Clock = std::chrono::steady_clock;
  struct Pass {
    int64_t drafts;
    int64_t right_before;
    std::chrono::duration<double> time;
  };
  std::unique_ptr<Drafter> drafter_;
  DraftLength draft_length_;
  std::optional<Pass> pass_;  // the last one
  bool speculates_ = true;
  int64_t drafted_ = 0;
  int64_t right_ = 0;
};

}  // namespace

std::unique_ptr<Generation> make_sample_generation(const GenerateRequest& request) {
  return std::make_unique<SampleGeneration>(request);
}

}  // namespace phial

#include "engine/sequence.h"

#include <fmt/format.h>

#include <algorithm>

namespace phial {
namespace {

// Closes a sequence of the decoder again unless a Sequence has taken it over: there may be no
// memory for one.
class Opened {
 public:
  Opened(Decoder& decoder, SequenceId id) : decoder_(decoder), id_(id) {}
  ~Opened() {
    if (!taken_) decoder_.close(id_);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  void taken() { taken_ = true; }

 private:
  Decoder& decoder_;
  const SequenceId id_;
  bool taken_ = false;
};

}  // namespace

Sequence::Sequence(std::shared_ptr<Decoder> decoder, SequenceId id, int64_t context)
    : decoder_(std::move(decoder)),
      id_(id),
      context_(context),
      vocabulary_(decoder_->traits().vocabulary) {}

Sequence::~Sequence() { decoder_->close(id_); }

Result<std::unique_ptr<Sequence>> Sequence::create(std::shared_ptr<Decoder> decoder,
                                                   int64_t context) {
  const int64_t longest = decoder->traits().context;
  if (context == 0) context = longest;
  if (context < 0) return usage_error("context", fmt::format("expected 1..{}", longest));
  if (context > longest) {
    return over_limit("context",
                      fmt::format("{} tokens asked for, the model takes {}", context, longest),
                      fmt::format("a context of {} fits", longest));
  }
  PHIAL_ASSIGN(const SequenceId id, decoder->open(context));
  Opened opened(*decoder, id);
  std::unique_ptr<Sequence> sequence(new Sequence(decoder, id, context));
  opened.taken();
  return sequence;
}

Status Sequence::append(std::span<const int32_t> ids) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocabulary_) {
      return invalid_input(
          fmt::format("token {}", i),
          fmt::format("the id {} is outside the vocabulary of {}", ids[i], vocabulary_));
    }
  }
  if (static_cast<int64_t>(ids.size()) > context_ - length()) {
    return context_full("prompt",
                        fmt::format("{} tokens do not fit the context of {}, of which {} are taken",
                                    ids.size(), context_, length()),
                        "shorten the prompt or use a larger context");
  }
  if (ids.empty()) return {};
  if (ids.size() == 1 && ahead_.next < ahead_.drafts.size() &&
      ids[0] == ahead_.drafts[ahead_.next]) {
    tokens_.push_back(ids[0]);
    const std::span<const float> row = ahead_.logits.row(static_cast<int64_t>(ahead_.next));
    logits_.values.assign(row.begin(), row.end());
    ++ahead_.next;
    ++computed_;
    return {};
  }
  PHIAL_TRY(forget_drafts());
  tokens_.insert(tokens_.end(), ids.begin(), ids.end());
  logits_ = {};
  return {};
}

Status Sequence::forget_drafts() {
  if (ahead_.next < ahead_.drafts.size()) PHIAL_TRY(decoder_->truncate(id_, computed_));
  ahead_ = {};
  return {};
}

Status Sequence::forget_ahead() {
  const bool was_draft = ahead_.next > 0 && computed_ == length();
  PHIAL_TRY(forget_drafts());
  if (!was_draft) return {};
  PHIAL_TRY(forget(length() - 1));
  logits_ = {};
  return {};
}

int64_t Sequence::drafts_limit() const {
  if (length() - computed_ != 1 || !decoder_->traits().can_truncate) return 0;
  return std::min(decoder_->rows_as_alone(id_) - 1, context_ - length());
}

Status Sequence::compute_logits_ahead(std::span<const int32_t> drafts, const CancelFlag* cancel) {
  if (drafts.empty()) return compute_logits(LogitsRows::last, cancel);
  std::vector<int32_t> ids(tokens_.end() - 1, tokens_.end());
  ids.insert(ids.end(), drafts.begin(), drafts.end());
  std::vector<int32_t> own(drafts.begin(), drafts.end());
  Step step;
  step.sequence = id_;
  step.tokens = ids;
  step.logits = LogitsRows::all;
  // All memory first: what the decoder holds and what is said here of it must not part.
  Logits first;
  first.vocabulary = vocabulary_;
  first.first_row.assign(1, 0);
  first.values.resize(static_cast<size_t>(vocabulary_));
  Logits all;
  PHIAL_TRY(decoder_->forward(std::span<const Step>(&step, 1), all, cancel));
  computed_ = length();
  std::ranges::copy(all.row(0), first.values.begin());
  all.values.erase(all.values.begin(), all.values.begin() + static_cast<ptrdiff_t>(vocabulary_));
  logits_ = std::move(first);
  ahead_ = {std::move(own), std::move(all), 0};
  return {};
}

Status Sequence::prepare() {
  PHIAL_TRY(forget_drafts());
  if (computed_ < length()) return {};
  // After a rewind the last token is computed but its logits are gone: compute it again.
  if (computed_ == 0 || logits_.rows() > 0) {
    return usage_error("compute_logits", "there is no token to compute", "append tokens first");
  }
  return forget(computed_ - 1);
}

Step Sequence::step(LogitsRows rows) const {
  Step step;
  step.sequence = id_;
  step.tokens = std::span<const int32_t>(tokens_).subspan(static_cast<size_t>(computed_));
  step.logits = rows;
  return step;
}

Status Sequence::compute_logits(LogitsRows rows, const CancelFlag* cancel) {
  PHIAL_TRY(prepare());
  const Step step = this->step(rows);
  PHIAL_TRY(decoder_->forward(std::span<const Step>(&step, 1), logits_, cancel));
  computed_ = length();
  return {};
}

Status Sequence::compute_together(std::span<Sequence* const> sequences, const CancelFlag* cancel) {
  for (Sequence* sequence : sequences) PHIAL_TRY(sequence->prepare());
  Logits logits;
  std::vector<Step> steps;
  for (size_t first = 0; first < sequences.size(); first += steps.size()) {
    steps.clear();
    const DecoderTraits traits = sequences[first]->decoder_->traits();
    int64_t rows = 0;
    for (size_t i = first; i < sequences.size(); ++i) {
      const Step step = sequences[i]->step(LogitsRows::last);
      rows += static_cast<int64_t>(step.tokens.size());
      const bool alone = steps.empty();
      if (!alone && (rows > kTogetherRows ||
                     static_cast<int64_t>(steps.size()) == int64_t{traits.max_batch})) {
        break;
      }
      steps.push_back(step);
    }
    PHIAL_TRY(sequences[first]->decoder_->forward(steps, logits, cancel));
    for (size_t i = 0; i < steps.size(); ++i) {
      Sequence& sequence = *sequences[first + i];
      const std::span<const float> row = logits.row(logits.first_row[i]);
      sequence.logits_.vocabulary = logits.vocabulary;
      sequence.logits_.values.assign(row.begin(), row.end());
      sequence.logits_.first_row.assign(1, 0);
      sequence.computed_ = sequence.length();
    }
  }
  return {};
}

Status Sequence::forget(int64_t n) {
  if (decoder_->traits().can_truncate) {
    PHIAL_TRY(decoder_->truncate(id_, n));
    computed_ = n;
    return {};
  }
  PHIAL_ASSIGN(const SequenceId fresh, decoder_->open(context_));
  decoder_->close(id_);
  id_ = fresh;
  computed_ = 0;
  return {};
}

Status Sequence::rewind(int64_t length) {
  if (length < 0 || length > this->length()) {
    return usage_error("rewind",
                       fmt::format("expected a length in 0..{}, got {}", this->length(), length));
  }
  PHIAL_TRY(forget_drafts());
  if (length < computed_) PHIAL_TRY(forget(length));
  tokens_.resize(static_cast<size_t>(length));
  logits_ = {};
  return {};
}

Result<std::unique_ptr<Sequence>> Sequence::fork() {
  const bool shares = decoder_->traits().can_fork;
  SequenceId id = -1;
  if (shares) {
    PHIAL_ASSIGN(id, decoder_->fork(id_, computed_));
  } else {
    PHIAL_ASSIGN(id, decoder_->open(context_));
  }
  Opened opened(*decoder_, id);
  std::unique_ptr<Sequence> copy(new Sequence(decoder_, id, context_));
  opened.taken();
  copy->tokens_ = tokens_;
  copy->computed_ = shares ? computed_ : 0;
  copy->logits_ = logits_;
  return copy;
}

}  // namespace phial

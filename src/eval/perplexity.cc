#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace phial {
namespace {

// Logits held at once. A pass of the engine has 256 rows: more would only take memory.
constexpr int64_t kLogitsBytes = int64_t{64} << 20;
constexpr int64_t kMostRows = 256;
constexpr int64_t kFewestRows = 16;

// -log of the probability that softmax gives to `id`.
double surprise(std::span<const float> logits, int32_t id) {
  const float most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float value : logits) sum += std::exp(value - most);
  return std::log(sum) - (static_cast<double>(logits[static_cast<size_t>(id)]) - most);
}

Status check(const Sequence& sequence, std::span<const int32_t> ids,
             const PerplexityOptions& options) {
  static constexpr char kWhere[] = "perplexity";
  if (options.context < 2 || options.context > sequence.context()) {
    return usage_error(kWhere, "the window is " + std::to_string(options.context) +
                                   " tokens; expected 2.." + std::to_string(sequence.context()));
  }
  if (options.stride < 1 || options.stride > options.context) {
    return usage_error(kWhere, "the stride is " + std::to_string(options.stride) +
                                   " tokens; expected 1.." + std::to_string(options.context));
  }
  if (ids.size() < 2) {
    return invalid_input(
        kWhere, "the text has " + std::to_string(ids.size()) + " tokens; there is nothing to score",
        "two are the least");
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= sequence.vocabulary()) {
      return invalid_input(kWhere, "token " + std::to_string(i) + ", " + std::to_string(ids[i]) +
                                       ", is outside the vocabulary of " +
                                       std::to_string(sequence.vocabulary()));
    }
  }
  return {};
}

class Scorer {
 public:
  Scorer(Sequence& sequence, std::span<const int32_t> ids, const PerplexityOptions& options,
         const OnScored& on_scored, const CancelFlag* cancel)
      : sequence_(sequence),
        ids_(ids),
        options_(options),
        on_scored_(on_scored),
        cancel_(cancel),
        rows_(std::clamp(kLogitsBytes / (sequence.vocabulary() * int64_t{sizeof(float)}),
                         kFewestRows, kMostRows)) {}

  Result<PerplexityReport> run() {
    const auto count = static_cast<int64_t>(ids_.size());
    total_ = count - (options_.stride < options_.context
                          ? 1
                          : (count + options_.context - 1) / options_.context);
    PerplexityReport report;
    int64_t scored_end = 0;  // of the text, behind the last window
    for (int64_t begin = 0; scored_end < count; begin += options_.stride) {
      const int64_t end = std::min(begin + options_.context, count);
      PHIAL_TRY(score_window(begin, end, std::max(scored_end, begin + 1)));
      scored_end = end;
      ++report.windows;
    }
    report.tokens = scored_;
    report.nll = scored_ > 0 ? sum_ / static_cast<double>(scored_) : 0;
    report.perplexity = std::exp(report.nll);
    return report;
  }

 private:
  // Scores the tokens [first, end) of the text in the window that begins at `begin`.
  Status score_window(int64_t begin, int64_t end, int64_t first) {
    PHIAL_TRY(sequence_.rewind(0));
    // The token before the first scored one gives the first logits that are needed.
    int64_t at = begin;
    if (first - 1 > begin) {
      PHIAL_TRY(sequence_.append(slice(begin, first - 1)));
      PHIAL_TRY(sequence_.compute_logits(LogitsRows::last, cancel_));
      at = first - 1;
    }
    while (at < end - 1) {
      const int64_t next = std::min(at + rows_, end - 1);
      PHIAL_TRY(sequence_.append(slice(at, next)));
      PHIAL_TRY(sequence_.compute_logits(LogitsRows::all, cancel_));
      for (int64_t i = at; i < next; ++i) {
        sum_ += surprise(sequence_.logits().row(i - at), ids_[static_cast<size_t>(i + 1)]);
      }
      scored_ += next - at;
      at = next;
      if (on_scored_ && !on_scored_(scored_, total_)) return cancelled("perplexity");
    }
    return {};
  }

  std::span<const int32_t> slice(int64_t begin, int64_t end) const {
    return ids_.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }

  Sequence& sequence_;
  std::span<const int32_t> ids_;
  const PerplexityOptions& options_;
  const OnScored& on_scored_;
  const CancelFlag* cancel_;
  int64_t rows_;  // of logits at once
  int64_t total_ = 0;
  int64_t scored_ = 0;
  double sum_ = 0;
};

}  // namespace

Result<PerplexityReport> perplexity(Sequence& sequence, std::span<const int32_t> ids,
                                    const PerplexityOptions& options, const OnScored& on_scored,
                                    const CancelFlag* cancel) {
  PHIAL_TRY(check(sequence, ids, options));
  Result<PerplexityReport> report = Scorer(sequence, ids, options, on_scored, cancel).run();
  PHIAL_TRY(sequence.rewind(0));
  return report;
}

}  // namespace phial

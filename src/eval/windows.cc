#include "eval/windows.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace phial {
namespace {

// Logits held at once by a sequence, where memory is not limited further. A pass of the engine has
// 256 rows: more would only take memory.
constexpr int64_t kLogitsBytes = int64_t{64} << 20;
constexpr int64_t kMostRows = 256;
constexpr int64_t kFewestRows = 16;

Status check(const char* where, std::span<Sequence* const> sequences,
             const WindowOptions& options) {
  int64_t longest = INT64_MAX;
  for (const Sequence* sequence : sequences) longest = std::min(longest, sequence->context());
  if (options.context < 2) {
    return usage_error("context", "the window is " + std::to_string(options.context) +
                                      " tokens; expected 2 or more");
  }
  if (options.context > longest) {
    return over_limit("context",
                      "the window is " + std::to_string(options.context) + " tokens, the context " +
                          std::to_string(longest),
                      "a context of " + std::to_string(longest) + " fits");
  }
  if (options.stride < 1 || options.stride > options.context) {
    return usage_error(where, "the stride is " + std::to_string(options.stride) +
                                  " tokens; expected 1.." + std::to_string(options.context));
  }
  return {};
}

Status check(const char* where, const Sequence& sequence, std::span<const int32_t> ids) {
  if (ids.size() < 2) {
    return invalid_input(
        where, "the text has " + std::to_string(ids.size()) + " tokens; there is nothing to score",
        "two are the least");
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= sequence.vocabulary()) {
      return invalid_input(where, "token " + std::to_string(i) + ", " + std::to_string(ids[i]) +
                                      ", is outside the vocabulary of " +
                                      std::to_string(sequence.vocabulary()));
    }
  }
  return {};
}

class Reader {
 public:
  Reader(const char* where, std::span<Sequence* const> sequences, std::span<const int32_t> ids,
         const WindowOptions& options, const OnRows& on_rows, const OnScored& on_scored,
         const CancelFlag* cancel)
      : where_(where),
        sequences_(sequences),
        ids_(ids),
        options_(options),
        on_rows_(on_rows),
        on_scored_(on_scored),
        cancel_(cancel) {
    for (const Sequence* sequence : sequences) {
      rows_ = std::min(rows_,
                       std::clamp(kLogitsBytes / (sequence->vocabulary() * int64_t{sizeof(float)}),
                                  kFewestRows, kMostRows));
    }
  }

  Result<WindowCounts> run() {
    const auto count = static_cast<int64_t>(ids_.size());
    total_ = count - (options_.stride < options_.context
                          ? 1
                          : (count + options_.context - 1) / options_.context);
    int64_t scored_end = 0;  // of the text, behind the last window
    for (int64_t begin = 0; scored_end < count; begin += options_.stride) {
      const int64_t end = std::min(begin + options_.context, count);
      PHIAL_TRY(read_window(begin, end, std::max(scored_end, begin + 1)));
      scored_end = end;
      ++counts_.windows;
    }
    return counts_;
  }

 private:
  // Scores the tokens [first, end) of the text in the window that begins at `begin`.
  Status read_window(int64_t begin, int64_t end, int64_t first) {
    for (Sequence* sequence : sequences_) PHIAL_TRY(sequence->rewind(0));
    // The token before the first scored one gives the first logits that are needed.
    int64_t at = begin;
    if (first - 1 > begin) {
      PHIAL_TRY(compute(begin, first - 1, LogitsRows::last));
      at = first - 1;
    }
    while (at < end - 1) {
      const int64_t next = std::min(at + rows_, end - 1);
      if (Status status = compute(at, next, LogitsRows::all); !status.ok()) {
        if (status.error().code != ErrorCode::over_limit || rows_ == 1) return status;
        // Fewer logits may fit the memory that is allowed.
        rows_ = (rows_ + 1) / 2;
        for (Sequence* sequence : sequences_) PHIAL_TRY(sequence->rewind(at - begin));
        continue;
      }
      PHIAL_TRY(on_rows_(at, next - at));
      counts_.tokens += next - at;
      at = next;
      if (on_scored_ && !on_scored_(counts_.tokens, total_)) return cancelled(where_);
    }
    return {};
  }

  Status compute(int64_t begin, int64_t end, LogitsRows rows) {
    for (Sequence* sequence : sequences_) {
      PHIAL_TRY(sequence->append(
          ids_.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin))));
      PHIAL_TRY(sequence->compute_logits(rows, cancel_));
    }
    return {};
  }

  const char* where_;
  std::span<Sequence* const> sequences_;
  std::span<const int32_t> ids_;
  const WindowOptions& options_;
  const OnRows& on_rows_;
  const OnScored& on_scored_;
  const CancelFlag* cancel_;
  int64_t rows_ = kMostRows;  // of logits at once
  int64_t total_ = 0;
  WindowCounts counts_;
};

}  // namespace

Result<WindowCounts> read_windows(const char* where, std::span<Sequence* const> sequences,
                                  std::span<const int32_t> ids, const WindowOptions& options,
                                  const OnRows& on_rows, const OnScored& on_scored,
                                  const CancelFlag* cancel) {
  PHIAL_TRY(check(where, sequences, options));
  for (const Sequence* sequence : sequences) PHIAL_TRY(check(where, *sequence, ids));
  Result<WindowCounts> counts =
      Reader(where, sequences, ids, options, on_rows, on_scored, cancel).run();
  for (Sequence* sequence : sequences) PHIAL_TRY(sequence->rewind(0));
  return counts;
}

}  // namespace phial

#include "generate/speculation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/xxh64.h"
#include "generate/sampling.h"

namespace phial {
namespace {

// Weight of the newest measurement in a mean.
constexpr double kNew = 0.2;
// Passes to go without drafts at most before the next try.
constexpr int64_t kLongestRest = 256;
// What a row more is taken to cost while no pass of that many rows was measured: little, so that it
// is tried.
constexpr double kRowShare = 0.05;

}  // namespace

Result<std::vector<int32_t>> PromptLookup::draft(std::span<const int32_t> tokens, int64_t limit,
                                                 const CancelFlag*) {
  const auto length = static_cast<int64_t>(tokens.size());
  const auto hash_before = [&](int64_t end, int64_t n) {
    const std::span<const int32_t> run =
        tokens.subspan(static_cast<size_t>(end - n), static_cast<size_t>(n));
    return xxh64({reinterpret_cast<const uint8_t*>(run.data()), run.size_bytes()});
  };
  // The runs at the very end are looked up, not stored: they would find themselves.
  for (int64_t end = std::max(known_, kShortest); end < length; ++end) {
    for (int64_t n = kShortest; n <= std::min(end, kLongest); ++n) {
      ends_[static_cast<size_t>(n - kShortest)][hash_before(end, n)] = end;
    }
  }
  known_ = std::max(known_, length);
  for (int64_t n = std::min(length - 1, kLongest); n >= kShortest; --n) {
    const auto& ends = ends_[static_cast<size_t>(n - kShortest)];
    const auto found = ends.find(hash_before(length, n));
    if (found == ends.end()) continue;
    const std::span<const int32_t> rest = tokens.subspan(static_cast<size_t>(found->second));
    const auto count = std::min(static_cast<size_t>(limit), rest.size());
    return std::vector<int32_t>(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(count));
  }
  return std::vector<int32_t>();
}

Status check_assistant(const Decoder& assistant, int64_t vocabulary) {
  const int64_t own = assistant.traits().vocabulary;
  if (own == vocabulary) return {};
  return usage_error(
      "assistant",
      fmt::format("the assistant has a vocabulary of {}, the model one of {}", own, vocabulary),
      "use an assistant of the same family");
}

Result<std::unique_ptr<ModelDrafter>> ModelDrafter::create(std::shared_ptr<Decoder> assistant,
                                                           int64_t context) {
  context = std::min(context, assistant->traits().context);
  PHIAL_ASSIGN(auto sequence, Sequence::create(std::move(assistant), context));
  return std::unique_ptr<ModelDrafter>(new ModelDrafter(std::move(sequence)));
}

Result<std::vector<int32_t>> ModelDrafter::draft(std::span<const int32_t> tokens, int64_t limit,
                                                 const CancelFlag* cancel) {
  const std::vector<int32_t>& held = sequence_->tokens();
  const auto [differs, unused] = std::ranges::mismatch(held, tokens);
  PHIAL_TRY(sequence_->rewind(differs - held.begin()));
  limit = std::min(limit, sequence_->context() - static_cast<int64_t>(tokens.size()));
  std::vector<int32_t> drafts;
  if (limit <= 0) return drafts;
  PHIAL_TRY(sequence_->append(tokens.subspan(static_cast<size_t>(sequence_->length()))));
  while (true) {
    PHIAL_TRY(sequence_->compute_logits(LogitsRows::last, cancel));
    PHIAL_ASSIGN(const int32_t id, argmax(sequence_->logits().row(0)));
    drafts.push_back(id);
    if (static_cast<int64_t>(drafts.size()) == limit) return drafts;
    PHIAL_TRY(sequence_->append(std::span(&id, 1)));
  }
}

// Between rows that were measured, a line; beyond the last, a little more for each row.
double DraftLength::seconds_of(int64_t rows) const {
  const auto at = [this](int64_t r) { return seconds_[static_cast<size_t>(r)]; };
  if (at(rows) > 0) return at(rows);
  int64_t below = rows, above = rows;
  while (at(below) == 0) --below;  // one row is measured
  while (above <= kTogetherRows && at(above) == 0) ++above;
  if (above > kTogetherRows) {
    return at(below) * (1 + kRowShare * static_cast<double>(rows - below));
  }
  return at(below) + (at(above) - at(below)) * static_cast<double>(rows - below) /
                         static_cast<double>(above - below);
}

int64_t DraftLength::choose(int64_t limit) {
  limit = std::min(limit, kTogetherRows - 1);
  if (limit <= 0 || seconds_[1] == 0) return 0;  // one pass alone first, to know what it takes
  int64_t best = 0;
  double best_rate = 1 / seconds_[1];
  double tokens = 1, hits = 1;
  for (int64_t drafts = 1; drafts <= limit; ++drafts) {
    hits *= hit_;
    tokens += hits;
    const double rate = tokens / seconds_of(drafts + 1);
    if (rate > best_rate) {
      best_rate = rate;
      best = drafts;
    }
  }
  if (best > 0) return best;
  if (++resting_ < rest_) return 0;
  resting_ = 0;
  rest_ = std::min(2 * rest_, kLongestRest);
  return std::min<int64_t>(limit, 2);
}

void DraftLength::learn(int64_t drafted, int64_t accepted, double seconds) {
  double& mean = seconds_[static_cast<size_t>(drafted + 1)];
  mean = mean == 0 ? seconds : mean + kNew * (seconds - mean);
  if (drafted == 0) return;
  // Each right draft is a hit; the first wrong one a miss, those behind it say nothing.
  for (int64_t i = 0; i < accepted; ++i) hit_ += kNew * (1 - hit_);
  if (accepted < drafted) {
    hit_ += kNew * (0 - hit_);
  } else {
    rest_ = 16;
  }
}

}  // namespace phial

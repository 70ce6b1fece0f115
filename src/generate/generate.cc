#include "generate/generate.h"

#include <algorithm>
#include <chrono>

namespace phial {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace

Result<GenerateResult> generate(Sequence& sequence, const GenerateOptions& options, Rng& rng,
                                const OnToken& on_token, const CancelFlag* cancel) {
  PHIAL_TRY(check_sampling(options.sampling));
  const Clock::time_point start = Clock::now();
  GenerateResult result;
  result.prompt_tokens = sequence.length() - sequence.computed();
  const int64_t room = sequence.context() - sequence.length();
  const int64_t most = options.max_new_tokens < 0 ? room : std::min(options.max_new_tokens, room);
  Clock::time_point first = start;
  Clock::time_point last = start;
  while (static_cast<int64_t>(result.new_ids.size()) < most) {
    const bool have_logits =
        sequence.computed() == sequence.length() && sequence.logits().rows() > 0;
    if (!have_logits) {
      const Status status = sequence.compute_logits(LogitsRows::last, cancel);
      if (!status.ok() && status.error().code == ErrorCode::cancelled) {
        result.finish = FinishReason::cancelled;
        break;
      }
      if (!status.ok()) return status.error();
    }
    Logits& logits = sequence.logits();
    PHIAL_ASSIGN(const int32_t id,
                 sample_token(logits.row(logits.rows() - 1), options.sampling, rng));
    PHIAL_TRY(sequence.append(std::span<const int32_t>(&id, 1)));
    last = Clock::now();
    if (result.new_ids.empty()) first = last;
    result.new_ids.push_back(id);
    const bool go_on = !on_token || on_token(id);
    if (std::ranges::find(options.end_ids, id) != options.end_ids.end()) {
      result.finish = FinishReason::stop;
      break;
    }
    if (!go_on || (cancel != nullptr && cancel->requested())) {
      result.finish = FinishReason::cancelled;
      break;
    }
  }
  result.prefill_ms = milliseconds(start, first);
  result.decode_ms = milliseconds(first, last);
  return result;
}

}  // namespace phial

#include "eval/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace phial {
namespace {

// -log of the probability that softmax gives to `id`.
double surprise(std::span<const float> logits, int32_t id) {
  const float most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float value : logits) sum += std::exp(value - most);
  return std::log(sum) - (static_cast<double>(logits[static_cast<size_t>(id)]) - most);
}

}  // namespace

Result<PerplexityReport> perplexity(Sequence& sequence, std::span<const int32_t> ids,
                                    const WindowOptions& options, const OnScored& on_scored,
                                    const CancelFlag* cancel) {
  double sum = 0;
  const auto on_rows = [&](int64_t at, int64_t rows) -> Status {
    for (int64_t r = 0; r < rows; ++r) {
      const double each = surprise(sequence.logits().row(r), ids[static_cast<size_t>(at + r + 1)]);
      if (!std::isfinite(each)) {
        return failed("perplexity",
                      fmt::format("the logits behind token {} are not finite", at + r));
      }
      sum += each;
    }
    return {};
  };
  Sequence* const only = &sequence;
  PHIAL_ASSIGN(const WindowCounts counts,
               read_windows("perplexity", {&only, 1}, ids, options, on_rows, on_scored, cancel));
  PerplexityReport report;
  report.tokens = counts.tokens;
  report.windows = counts.windows;
  report.nll = counts.tokens > 0 ? sum / static_cast<double>(counts.tokens) : 0;
  report.perplexity = std::exp(report.nll);
  return report;
}

}  // namespace phial

#include "eval/bench_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>

namespace phial {
namespace {

constexpr int32_t kMaxRounds = 1000;
constexpr int64_t kMaxBatch = 16;

std::vector<int64_t> in_order(const std::vector<int64_t>& values) {
  const std::set<int64_t> set(values.begin(), values.end());
  return {set.begin(), set.end()};
}

// `given`, or those of `usual` that fit.
Result<std::vector<int64_t>> lengths(const char* what,
                                     const std::optional<std::vector<int64_t>>& given,
                                     const std::vector<int64_t>& usual, int64_t low, int64_t high) {
  std::vector<int64_t> chosen;
  if (!given) {
    std::copy_if(usual.begin(), usual.end(), std::back_inserter(chosen),
                 [&](int64_t n) { return n <= high; });
    return chosen;
  }
  for (const int64_t n : *given) {
    if (n < low) return usage_error(what, fmt::format("{} is below {}", n, low));
    if (n > high) {
      return context_full(what, fmt::format("{} and the {} tokens that are made behind it do not "
                                            "fit the model's context; at most {} do",
                                            n, kMaxDecodeTokens + 1, high));
    }
  }
  return in_order(*given);
}

}  // namespace

Result<BenchPlan> make_bench_plan(const ModelBenchOptions& options, int64_t context) {
  if (options.rounds < 1 || options.rounds > kMaxRounds) {
    return usage_error("rounds", fmt::format("is not in 1..{}", kMaxRounds));
  }
  std::vector<int64_t> batches = options.batches.value_or(std::vector<int64_t>());
  for (int64_t n = 2; !options.batches && n <= kMaxBatch; ++n) batches.push_back(n);
  for (const int64_t n : batches) {
    if (n < 2 || n > kMaxBatch) {
      return usage_error("batch", fmt::format("{} is not in 2..{}", n, kMaxBatch));
    }
  }
  const int64_t room = context - kMaxDecodeTokens - 1;
  if (room < 0) return unsupported("bench", fmt::format("a context of {} is too short", context));
  BenchPlan plan;
  PHIAL_ASSIGN(const auto prompts,
               lengths("prompt", options.prompts, {128, 512, 2048, 4096}, 1, room));
  PHIAL_ASSIGN(plan.depths, lengths("depth", options.depths, {0, 1024, 4096}, 0, room));
  plan.batches = in_order(batches);
  for (const int64_t n : prompts) {
    const bool in_pieces = n > kBenchPiece && n % kBenchPiece == 0;
    (in_pieces ? plan.long_prompts : plan.short_prompts).push_back(n);
    plan.positions = std::max(plan.positions, n);
  }
  plan.at_the_beginning = !plan.depths.empty() && plan.depths.front() == 0;
  if (plan.at_the_beginning) plan.depths.erase(plan.depths.begin());
  if (!plan.depths.empty()) plan.positions = std::max(plan.positions, plan.depths.back());
  plan.positions += kMaxDecodeTokens + 1;
  return plan;
}

}  // namespace phial

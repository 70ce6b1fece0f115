#include "eval/compare.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace phial {
namespace {

constexpr char kWhere[] = "compare";

struct BestTwo {
  int32_t id = 0;  // the first of the best
  float best = 0;
  float second = 0;

  double gap() const { return static_cast<double>(best) - static_cast<double>(second); }
};

// REQUIRES: at least two logits.
BestTwo best_two(std::span<const float> logits) {
  BestTwo found{0, logits[0], -HUGE_VALF};
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > found.best) {
      found.second = found.best;
      found.best = logits[i];
      found.id = static_cast<int32_t>(i);
    } else if (logits[i] > found.second) {
      found.second = logits[i];
    }
  }
  return found;
}

// What two rows of logits say of a token.
struct RowPair {
  double kl = 0;
  double nll_a = 0;
  double nll_b = 0;
};

// With E = exp(x - best) and S = sum E:
//   KL = sum E_a / S_a * (a - b)  -  ((best_a + log S_a) - (best_b + log S_b)),
// where each bracket is taken as a difference of its parts, so that equal rows give 0.
RowPair compare_rows(std::span<const float> a, std::span<const float> b, float best_a, float best_b,
                     int32_t target) {
  double sum_a = 0, sum_b = 0, cross = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double va = a[i], vb = b[i];
    const double weight = std::exp(va - best_a);
    sum_a += weight;
    sum_b += std::exp(vb - best_b);
    cross += weight * (va - vb);
  }
  const double log_a = std::log(sum_a), log_b = std::log(sum_b);
  RowPair pair;
  pair.kl = cross / sum_a - (static_cast<double>(best_a) - best_b) - (log_a - log_b);
  // Rounding of sums near each other may fall below what is possible.
  if (pair.kl < 0) pair.kl = 0;
  pair.nll_a = log_a - (static_cast<double>(a[static_cast<size_t>(target)]) - best_a);
  pair.nll_b = log_b - (static_cast<double>(b[static_cast<size_t>(target)]) - best_b);
  return pair;
}

class Comparer {
 public:
  Comparer(Sequence& a, Sequence& b, std::span<const int32_t> ids, const CompareOptions& options)
      : a_(a), b_(b), ids_(ids), options_(options) {}

  Status add_rows(int64_t at, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r) PHIAL_TRY(add_row(at + r + 1, row_of(a_, r), row_of(b_, r)));
    return {};
  }

  Divergence take(const WindowCounts& counts) {
    const auto tokens = static_cast<double>(counts.tokens);
    Divergence& out = divergence_;
    out.tokens = counts.tokens;
    out.windows = counts.windows;
    out.nll_a = sum_a_ / tokens;
    out.nll_b = sum_b_ / tokens;
    double sum = 0;
    for (const double kl : kls_) sum += kl;
    out.kl_mean = sum / tokens;
    out.kl_median = quantile(kls_, 0.5);
    out.kl_p99 = quantile(kls_, 0.99);
    return out;
  }

  // Continues `prompt` until the models part or `new_tokens` are found.
  Status continue_prompt(Continuation& continuation, const CancelFlag* cancel) {
    std::span<const int32_t> next = ids_.subspan(static_cast<size_t>(continuation.begin),
                                                 static_cast<size_t>(continuation.prompt_tokens));
    PHIAL_TRY(a_.rewind(0));
    PHIAL_TRY(b_.rewind(0));
    int32_t chosen = 0;
    while (continuation.equal_tokens < options_.new_tokens) {
      for (Sequence* sequence : {&a_, &b_}) {
        PHIAL_TRY(sequence->append(next));
        PHIAL_TRY(sequence->compute_logits(LogitsRows::last, cancel));
      }
      const std::span<const float> a = row_of(a_, 0);
      const BestTwo best_a = best_two(a), best_b = best_two(row_of(b_, 0));
      if (best_a.id != best_b.id) {
        continuation.parting = {
            best_a.id, best_b.id,
            static_cast<double>(best_a.best) - a[static_cast<size_t>(best_b.id)]};
        break;
      }
      ++continuation.equal_tokens;
      chosen = best_a.id;
      next = {&chosen, 1};
    }
    return {};
  }

 private:
  std::span<const float> row_of(Sequence& sequence, int64_t r) const {
    return sequence.logits().row(r).first(static_cast<size_t>(options_.vocabulary));
  }

  Status add_row(int64_t token, std::span<const float> a, std::span<const float> b) {
    const BestTwo best_a = best_two(a), best_b = best_two(b);
    const RowPair pair =
        compare_rows(a, b, best_a.best, best_b.best, ids_[static_cast<size_t>(token)]);
    if (!std::isfinite(pair.kl) || !std::isfinite(pair.nll_a) || !std::isfinite(pair.nll_b)) {
      return failed(kWhere, "logits in front of token " + std::to_string(token) +
                                " of the text are not finite");
    }
    kls_.push_back(pair.kl);
    sum_a_ += pair.nll_a;
    sum_b_ += pair.nll_b;
    Divergence& out = divergence_;
    if (kls_.size() == 1 || pair.kl > out.kl_max) {
      out.kl_max = pair.kl;
      out.kl_max_at = token;
    }
    const bool same = best_a.id == best_b.id;
    const bool decided = best_a.gap() > kDecidedGap;
    out.same_top += same;
    out.decided += decided;
    out.decided_top += decided && same;
    if (!same) out.widest_gap = std::max(out.widest_gap, best_a.gap());
    return {};
  }

  Sequence& a_;
  Sequence& b_;
  std::span<const int32_t> ids_;
  const CompareOptions& options_;
  std::vector<double> kls_;
  double sum_a_ = 0, sum_b_ = 0;
  Divergence divergence_;
};

Status check(const Sequence& a, const Sequence& b, std::span<const int32_t> ids,
             const CompareOptions& options) {
  if (&a == &b) return usage_error(kWhere, "one sequence is given for both models");
  const int64_t most = std::min(a.vocabulary(), b.vocabulary());
  if (options.vocabulary < 2 || options.vocabulary > most) {
    return usage_error(kWhere, "the vocabulary is " + std::to_string(options.vocabulary) +
                                   " tokens; expected 2.." + std::to_string(most));
  }
  if (options.continuations < 0 || options.new_tokens < 1 || options.prompt_tokens < 1) {
    return usage_error(kWhere, "a negative number of continuations, or one without tokens");
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= options.vocabulary) {
      return invalid_input(kWhere, "token " + std::to_string(i) + ", " + std::to_string(ids[i]) +
                                       ", is outside the vocabulary of " +
                                       std::to_string(options.vocabulary) +
                                       " that the models share");
    }
  }
  return {};
}

// Prompts spread evenly, the first at the text's beginning, the last at its end.
Result<std::vector<Continuation>> place_prompts(const Sequence& a, const Sequence& b, int64_t count,
                                                const CompareOptions& options) {
  std::vector<Continuation> placed;
  if (options.continuations == 0) return placed;
  const int64_t context = std::min(a.context(), b.context());
  if (options.new_tokens >= context) {
    return usage_error(kWhere, std::to_string(options.new_tokens) +
                                   " new tokens do not fit the context of " +
                                   std::to_string(context));
  }
  const int64_t prompt = std::min({options.prompt_tokens, context - options.new_tokens, count});
  const int64_t last = count - prompt;
  const int64_t prompts = std::min(options.continuations, last + 1);
  for (int64_t i = 0; i < prompts; ++i) {
    Continuation next;
    next.begin = prompts == 1 ? 0 : i * last / (prompts - 1);
    next.prompt_tokens = prompt;
    placed.push_back(next);
  }
  return placed;
}

double share(int64_t part, int64_t of) {
  return of == 0 ? 1.0 : static_cast<double>(part) / static_cast<double>(of);
}

}  // namespace

double quantile(std::span<double> values, double q) {
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(at);
  std::ranges::nth_element(values, values.begin() + static_cast<ptrdiff_t>(below));
  const double low = values[below];
  if (below + 1 == values.size()) return low;
  const double high = *std::ranges::min_element(values.subspan(below + 1));
  return low + (high - low) * (at - static_cast<double>(below));
}

Result<CompareReport> compare(Sequence& a, Sequence& b, std::span<const int32_t> ids,
                              const CompareOptions& options, const OnScored& on_progress,
                              const CancelFlag* cancel) {
  PHIAL_TRY(check(a, b, ids, options));
  const auto count = static_cast<int64_t>(ids.size());
  CompareReport report;
  PHIAL_ASSIGN(report.continuations, place_prompts(a, b, count, options));
  const auto continued = static_cast<int64_t>(report.continuations.size()) * options.new_tokens;

  Comparer comparer(a, b, ids, options);
  const auto on_rows = [&](int64_t at, int64_t rows) { return comparer.add_rows(at, rows); };
  int64_t scored_total = 0;
  OnScored on_scored;
  if (on_progress) {
    on_scored = [&](int64_t scored, int64_t total) {
      scored_total = total;
      return on_progress(scored, total + continued);
    };
  }
  Sequence* const both[] = {&a, &b};
  PHIAL_ASSIGN(const WindowCounts counts,
               read_windows(kWhere, both, ids, options.windows, on_rows, on_scored, cancel));
  report.divergence = comparer.take(counts);

  Status status;
  int64_t done = scored_total;
  for (Continuation& continuation : report.continuations) {
    status = comparer.continue_prompt(continuation, cancel);
    done += options.new_tokens;
    if (status.ok() && on_progress && !on_progress(done, scored_total + continued)) {
      status = cancelled(kWhere);
    }
    if (!status.ok()) break;
  }
  PHIAL_TRY(a.rewind(0));
  PHIAL_TRY(b.rewind(0));
  PHIAL_TRY(std::move(status));
  return report;
}

const Continuation* first_difference(std::span<const Continuation> continuations) {
  const Continuation* first = nullptr;
  for (const Continuation& continuation : continuations) {
    if (!continuation.parting) continue;
    if (first == nullptr || continuation.equal_tokens < first->equal_tokens) first = &continuation;
  }
  return first;
}

Json divergence_json(const Divergence& divergence) {
  Json out;
  out.set("kl_mean", divergence.kl_mean);
  out.set("kl_median", divergence.kl_median);
  out.set("kl_p99", divergence.kl_p99);
  out.set("kl_max", divergence.kl_max);
  out.set("kl_max_at", divergence.kl_max_at);
  out.set("top1_agreement", share(divergence.same_top, divergence.tokens));
  out.set("decided_gap", kDecidedGap);
  out.set("decided_tokens", divergence.decided);
  out.set("decided_agreement", share(divergence.decided_top, divergence.decided));
  out.set("widest_gap", divergence.widest_gap);
  out.set("ppl_a", std::exp(divergence.nll_a));
  out.set("ppl_b", std::exp(divergence.nll_b));
  out.set("nll_a", divergence.nll_a);
  out.set("nll_b", divergence.nll_b);
  out.set("tokens", divergence.tokens);
  out.set("windows", divergence.windows);
  return out;
}

}  // namespace phial

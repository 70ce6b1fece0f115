#include "engine/native_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <set>

#include "engine/cpu/executor.h"
#include "engine/kv_cache.h"

namespace phial {
namespace {

// Rows of one pass: enough that unpacking weights costs little beside the products, few enough that
// the rows' state stays small and a cancellation is seen soon.
constexpr int64_t kPassRows = 256;
constexpr int32_t kMaxBatch = 256;

int64_t rows_of(const Step& step, int64_t hidden) {
  return step.tokens.empty() ? static_cast<int64_t>(step.embeddings.size()) / hidden
                             : static_cast<int64_t>(step.tokens.size());
}

class NativeDecoder final : public Decoder {
 public:
  NativeDecoder(std::shared_ptr<const Runtime> runtime, std::shared_ptr<const Model> model)
      : model_(model),
        layout_(KvLayout::of(model->spec)),
        executor_(std::move(runtime), std::move(model)) {}

  DecoderTraits traits() const override {
    return {.context = model_->spec.context,
            .vocabulary = model_->spec.vocabulary,
            .hidden = model_->spec.hidden,
            .max_batch = kMaxBatch,
            .can_fork = true,
            .can_truncate = true,
            .takes_embeddings = true,
            .takes_adapters = false};
  }

  Result<SequenceId> open(int64_t context) override {
    if (context < 1 || context > model_->spec.context) {
      return usage_error("context",
                         fmt::format("expected 1..{}, got {}", model_->spec.context, context));
    }
    const std::lock_guard lock(mutex_);
    return add(KvCache(layout_, context));
  }

  void close(SequenceId sequence) override {
    const std::lock_guard lock(mutex_);
    caches_.erase(sequence);
  }

  int64_t length(SequenceId sequence) const override {
    const std::lock_guard lock(mutex_);
    const auto found = caches_.find(sequence);
    return found == caches_.end() ? 0 : found->second.length();
  }

  Result<SequenceId> fork(SequenceId sequence, int64_t n) override {
    const std::lock_guard lock(mutex_);
    PHIAL_ASSIGN(KvCache * cache, find(sequence, n));
    return add(cache->fork(n));
  }

  Status truncate(SequenceId sequence, int64_t n) override {
    const std::lock_guard lock(mutex_);
    PHIAL_ASSIGN(KvCache * cache, find(sequence, n));
    cache->truncate(n);
    return {};
  }

  Status forward(std::span<const Step> steps, Logits& logits, const CancelFlag* cancel) override;

 private:
  SequenceId add(KvCache cache) {
    caches_.emplace(next_id_, std::move(cache));
    return next_id_++;
  }

  // The cache of a sequence that holds at least `n` tokens.
  Result<KvCache*> find(SequenceId sequence, int64_t n) {
    const auto found = caches_.find(sequence);
    if (found == caches_.end()) return usage_error("sequence", "no such sequence");
    if (n < 0 || n > found->second.length()) {
      return usage_error(
          "sequence", fmt::format("expected a length in 0..{}, got {}", found->second.length(), n));
    }
    return &found->second;
  }

  Status check_step(const Step& step) const;
  Status run_passes(std::span<const Step> steps, const std::vector<KvCache*>& caches,
                    const CancelFlag* cancel, Logits& out);
  Status check_numbers(const Logits& logits) const;

  const std::shared_ptr<const Model> model_;
  const KvLayout layout_;
  mutable std::mutex mutex_;  // guards everything below
  CpuExecutor executor_;
  std::map<SequenceId, KvCache> caches_;
  SequenceId next_id_ = 0;
  std::vector<float> hidden_;  // [pass rows, hidden]
};

// Gives reserved pages back unless the forward has reached its end.
class Reservation {
 public:
  explicit Reservation(std::vector<KvCache*>& caches) : caches_(caches) {}
  ~Reservation() {
    for (KvCache* cache : caches_) cache->release_reserved();
  }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

 private:
  std::vector<KvCache*>& caches_;
};

Status NativeDecoder::check_step(const Step& step) const {
  const ModelSpec& spec = model_->spec;
  if (step.adapter != -1) return unsupported("adapter", "adapters are not supported yet");
  if (step.tokens.empty() == step.embeddings.empty()) {
    return invalid_input("step", "expected either tokens or embedding rows");
  }
  if (step.embeddings.size() % static_cast<size_t>(spec.hidden) != 0) {
    return invalid_input("step", fmt::format("embedding rows have {} floats each", spec.hidden));
  }
  for (const int32_t token : step.tokens) {
    if (token < 0 || token >= spec.vocabulary) {
      return invalid_input(
          "step", fmt::format("the id {} is outside the vocabulary of {}", token, spec.vocabulary));
    }
  }
  return {};
}

Status NativeDecoder::forward(std::span<const Step> steps, Logits& logits,
                              const CancelFlag* cancel) {
  const std::lock_guard lock(mutex_);
  if (steps.size() > kMaxBatch) {
    return usage_error("forward", fmt::format("at most {} steps at once", kMaxBatch));
  }
  std::vector<KvCache*> caches;
  std::set<SequenceId> seen;
  Logits out;
  out.vocabulary = model_->spec.vocabulary;
  int64_t logits_rows = 0;
  for (const Step& step : steps) {
    PHIAL_TRY(check_step(step));
    PHIAL_ASSIGN(KvCache * cache, find(step.sequence, 0));
    if (!seen.insert(step.sequence).second) {
      return usage_error("forward", "one sequence stands in two steps");
    }
    caches.push_back(cache);
    out.first_row.push_back(logits_rows);
    if (step.logits == LogitsRows::last) logits_rows += 1;
    if (step.logits == LogitsRows::all) logits_rows += rows_of(step, model_->spec.hidden);
  }
  const Reservation reservation(caches);
  for (size_t i = 0; i < steps.size(); ++i) {
    PHIAL_TRY(caches[i]->reserve(rows_of(steps[i], model_->spec.hidden)));
  }
  out.values.resize(static_cast<size_t>(logits_rows * out.vocabulary));
  PHIAL_TRY(run_passes(steps, caches, cancel, out));
  PHIAL_TRY(check_numbers(out));
  for (size_t i = 0; i < steps.size(); ++i) {
    caches[i]->commit(rows_of(steps[i], model_->spec.hidden));
  }
  logits = std::move(out);
  return {};
}

// Cuts the rows of all steps, one after another, into passes of at most kPassRows rows.
Status NativeDecoder::run_passes(std::span<const Step> steps, const std::vector<KvCache*>& caches,
                                 const CancelFlag* cancel, Logits& out) {
  const int64_t hidden = model_->spec.hidden;
  int64_t total = 0;
  for (const Step& step : steps) total += rows_of(step, hidden);
  hidden_.resize(static_cast<size_t>(std::min(total, kPassRows) * hidden));
  float* next_logits = out.values.data();
  size_t s = 0;
  int64_t taken = 0;  // rows of steps[s] that earlier passes took
  while (s < steps.size()) {
    RowBatch batch;
    while (s < steps.size() && batch.rows < kPassRows) {
      const Step& step = steps[s];
      const int64_t step_rows = rows_of(step, hidden);
      const int64_t n = std::min(step_rows - taken, kPassRows - batch.rows);
      batch.segments.push_back({caches[s], batch.rows, n, caches[s]->length() + taken});
      for (int64_t r = taken; r < taken + n; ++r) {
        batch.tokens.push_back(step.tokens.empty() ? -1 : step.tokens[static_cast<size_t>(r)]);
        batch.embeddings.push_back(step.tokens.empty() ? step.embeddings.data() + r * hidden
                                                       : nullptr);
        const bool wanted = step.logits == LogitsRows::all ||
                            (step.logits == LogitsRows::last && r == step_rows - 1);
        if (wanted) batch.logits_rows.push_back(batch.rows + r - taken);
      }
      batch.rows += n;
      taken += n;
      if (taken == step_rows) {
        ++s;
        taken = 0;
      }
    }
    batch.logits = next_logits;
    next_logits += static_cast<int64_t>(batch.logits_rows.size()) * out.vocabulary;
    PHIAL_TRY(executor_.run(0, executor_.plan().size(), batch, hidden_.data(), {}, cancel));
  }
  return check_cancelled(cancel, "forward");
}

// Logits that are no numbers come from weights that are none, or from an overflow on the way.
Status NativeDecoder::check_numbers(const Logits& logits) const {
  // One NaN anywhere makes the sum NaN, and so does an infinity in a product with 0.
  float probe = 0;
  for (const float value : logits.values) probe += value * 0.0f;
  if (probe == 0) return {};
  PHIAL_TRY(check_finite(*model_->checkpoint));
  return failed("forward", "the logits are not finite numbers although all weights are",
                "the activations overflow float32: the file is probably damaged");
}

}  // namespace

Result<std::shared_ptr<Decoder>> make_native_decoder(std::shared_ptr<const Runtime> runtime,
                                                     std::shared_ptr<const Model> model) {
  return std::shared_ptr<Decoder>(
      std::make_shared<NativeDecoder>(std::move(runtime), std::move(model)));
}

}  // namespace phial

#include "engine/native_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>

#include "engine/cpu/executor.h"
#include "engine/fingerprint.h"
#include "engine/kv_cache.h"
#include "engine/kv_parts.h"
#include "engine/memory_need.h"
#include "model/rope.h"

namespace phial {
namespace {

constexpr int32_t kMaxBatch = 256;

int64_t rows_of(const Step& step, int64_t hidden) {
  return step.tokens.empty() ? static_cast<int64_t>(step.embeddings.size()) / hidden
                             : static_cast<int64_t>(step.tokens.size());
}

struct SequenceState {
  KvCache cache;
  // All tokens; -1 stands for a row that was given as an embedding. The cache holds all of them, or
  // none when they have to be read again.
  std::vector<int32_t> tokens;

  int64_t length() const { return static_cast<int64_t>(tokens.size()); }
};

// What one step comes to: rows of the history that are read again, then the step's own.
struct Work {
  const Step* step = nullptr;
  SequenceState* state = nullptr;
  std::optional<KvCache> fresh;  // takes the place of state->cache when the step is done
  int64_t old_length = 0;        // of the sequence
  int64_t first = 0;             // position of the first row
  int64_t rows = 0;
  std::vector<float> own_inv_freq;  // dynamic rope
  const float* inv_freq = nullptr;

  KvCache& cache() { return fresh ? *fresh : state->cache; }
  int64_t history_rows() const { return old_length - first; }
};

// At the end of a forward: undoes what it did to its sequences unless it has reached its end.
class Undo {
 public:
  explicit Undo(std::vector<Work>& works) : works_(works) {}
  ~Undo() {
    for (Work& work : works_) {
      if (done_) break;
      work.state->cache.discard_reserved();
      work.state->tokens.resize(static_cast<size_t>(work.old_length));
    }
    works_.clear();  // frees caches that did not come to be
  }
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;

  void dismiss() { done_ = true; }

 private:
  std::vector<Work>& works_;
  bool done_ = false;
};

class NativeDecoder final : public Decoder {
 public:
  NativeDecoder(std::shared_ptr<const Runtime> runtime, std::shared_ptr<const Model> model,
                std::shared_ptr<const CpuWeights> weights, const Numerics& numerics)
      : model_(model),
        numerics_(numerics),
        pass_rows_(choose_pass_rows(model->spec, runtime->threads->size(), numerics,
                                    runtime->memory.get())),
        layout_(KvLayout::of(model->spec, numerics.kv)),
        executor_(std::move(runtime), std::move(model), std::move(weights)) {}

  DecoderTraits traits() const override {
    return {.context = model_->spec.context,
            .vocabulary = model_->spec.vocabulary,
            .hidden = model_->spec.hidden,
            .max_batch = kMaxBatch,
            .pass_rows = pass_rows_,
            .can_fork = true,
            .can_truncate = true,
            .can_save = true,
            .takes_embeddings = true,
            .takes_adapters = false};
  }

  Result<SequenceId> open(int64_t context) override {
    if (context < 1 || context > model_->spec.context) {
      return usage_error("context",
                         fmt::format("expected 1..{}, got {}", model_->spec.context, context));
    }
    const std::lock_guard lock(mutex_);
    return add({KvCache(layout_, context), {}});
  }

  void close(SequenceId sequence) override {
    const std::lock_guard lock(mutex_);
    sequences_.erase(sequence);
  }

  int64_t length(SequenceId sequence) const override {
    const std::lock_guard lock(mutex_);
    const auto found = sequences_.find(sequence);
    return found == sequences_.end() ? 0 : found->second.length();
  }

  Result<SequenceId> fork(SequenceId sequence, int64_t n) override {
    const std::lock_guard lock(mutex_);
    PHIAL_ASSIGN(const SequenceState* state, find(sequence, n));
    return add({cut(state->cache, n),
                {state->tokens.begin(), state->tokens.begin() + static_cast<ptrdiff_t>(n)}});
  }

  Status truncate(SequenceId sequence, int64_t n) override {
    const std::lock_guard lock(mutex_);
    PHIAL_ASSIGN(SequenceState * state, find(sequence, n));
    state->cache = cut(state->cache, n);
    state->tokens.resize(static_cast<size_t>(n));
    return {};
  }

  int64_t rows_as_alone(SequenceId sequence) const override;
  uint64_t fingerprint() const override { return model_fingerprint(*model_, numerics_); }
  Status save(SequenceId sequence, const PutPart& put) override;
  Status load(SequenceId sequence, std::span<const int32_t> tokens, const NextPart& next) override;

  Status forward(std::span<const Step> steps, Logits& logits, const CancelFlag* cancel) override;

 private:
  SequenceId add(SequenceState state) {
    sequences_.emplace(next_id_, std::move(state));
    return next_id_++;
  }

  // The first `n` positions of a cache; none when it holds too few of them for a window.
  KvCache cut(const KvCache& cache, int64_t n) const {
    if (n >= cache.length()) return cache;
    return cache.holds(n) ? cache.fork(n) : KvCache(layout_, cache.context());
  }

  // A sequence that holds at least `n` tokens.
  Result<SequenceState*> find(SequenceId sequence, int64_t n) {
    const auto found = sequences_.find(sequence);
    if (found == sequences_.end()) return usage_error("sequence", "no such sequence");
    if (n < 0 || n > found->second.length()) {
      return usage_error(
          "sequence", fmt::format("expected a length in 0..{}, got {}", found->second.length(), n));
    }
    return &found->second;
  }

  Status check_step(const Step& step) const;
  Result<Work> plan_work(const Step& step);
  Status append_tokens(Work& work) const;
  Status run_passes(std::vector<Work>& works, const CancelFlag* cancel, Logits& out);
  int64_t add_rows(Work& work, int64_t taken, RowBatch& batch) const;
  Status check_numbers(const Logits& logits) const;

  const std::shared_ptr<const Model> model_;
  const Numerics numerics_;
  const int64_t pass_rows_;
  const std::shared_ptr<const KvLayout> layout_;
  mutable std::mutex mutex_;  // guards everything below
  CpuExecutor executor_;
  std::map<SequenceId, SequenceState> sequences_;
  SequenceId next_id_ = 0;
  std::vector<float> hidden_;  // [pass rows, hidden]
  // Of the forward that runs; kept for their memory.
  std::vector<Work> works_;
  RowBatch batch_;
  std::vector<KvCache*> caches_;
  Logits logits_;
};

int64_t NativeDecoder::rows_as_alone(SequenceId sequence) const {
  const RopeSpec& rope = model_->spec.rope;
  const int64_t length = this->length(sequence);
  if (rope.by_length == RopeLength::any) return kTogetherRows;
  // All rows of a step turn by its last position.
  if (length < rope.limit) return std::min(kTogetherRows, rope.limit - length);
  return rope.by_length == RopeLength::longrope && length > rope.limit ? kTogetherRows : 1;
}

Status NativeDecoder::save(SequenceId sequence, const PutPart& put) {
  // Shares the pages, so that writing them keeps nobody waiting. It goes under the lock again:
  // whoever is to write into a page asks how many own it.
  struct Shared {
    std::unique_lock<std::mutex> lock;
    std::optional<KvCache> cache;
    ~Shared() {
      if (!lock.owns_lock()) lock.lock();
      cache.reset();
    }
  };
  Shared shared{std::unique_lock(mutex_), {}};
  PHIAL_ASSIGN(const SequenceState* state, find(sequence, 0));
  if (std::ranges::count(state->tokens, -1) > 0) {
    return unsupported("save", "some positions were given as embedding rows");
  }
  shared.cache = state->cache;
  shared.lock.unlock();
  return put_cache(*shared.cache, put);
}

Status NativeDecoder::load(SequenceId sequence, std::span<const int32_t> tokens,
                           const NextPart& next) {
  int64_t context = 0;
  {
    const std::lock_guard lock(mutex_);
    PHIAL_ASSIGN(const SequenceState* state, find(sequence, 0));
    if (state->length() != 0) return usage_error("load", "the sequence is not empty");
    context = state->cache.context();
  }
  PHIAL_TRY(check_room(0, std::ssize(tokens), context));
  Step step;
  step.tokens = tokens;
  if (!tokens.empty()) PHIAL_TRY(check_step(step));
  PHIAL_ASSIGN(KvCache cache, take_cache(layout_, context, next));
  if (cache.length() != 0 && cache.length() != std::ssize(tokens)) {
    return damaged("key/value cache", fmt::format("expected none or {} positions, found {}",
                                                  tokens.size(), cache.length()));
  }
  std::vector<int32_t> own(tokens.begin(), tokens.end());
  const std::lock_guard lock(mutex_);
  PHIAL_ASSIGN(SequenceState * state, find(sequence, 0));
  state->cache = std::move(cache);
  state->tokens = std::move(own);
  return {};
}

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

Result<Work> NativeDecoder::plan_work(const Step& step) {
  const RopeSpec& rope = model_->spec.rope;
  Work work;
  work.step = &step;
  PHIAL_ASSIGN(work.state, find(step.sequence, 0));
  const KvCache& cache = work.state->cache;
  const int64_t step_rows = rows_of(step, model_->spec.hidden);
  work.old_length = work.state->length();
  PHIAL_TRY(check_room(work.old_length, step_rows, cache.context()));
  const int64_t end = work.old_length + step_rows;
  const bool beyond = rope.by_length != RopeLength::any && end > rope.limit;
  const bool long_rope = beyond && rope.by_length == RopeLength::longrope;
  if (cache.long_rope() != long_rope || cache.length() < work.old_length) {
    work.fresh.emplace(layout_, cache.context(), long_rope);
  }
  work.first = work.fresh ? 0 : work.old_length;
  work.rows = end - work.first;
  if (long_rope) work.inv_freq = rope.long_inv_freq.data();
  if (beyond && rope.by_length == RopeLength::dynamic) {
    work.own_inv_freq = dynamic_inv_freq(rope, end);
    work.inv_freq = work.own_inv_freq.data();
  }
  return work;
}

// Puts the step's tokens behind the sequence's; from here on Undo has to take them away again.
Status NativeDecoder::append_tokens(Work& work) const {
  std::vector<int32_t>& tokens = work.state->tokens;
  if (work.first < work.old_length && std::ranges::count(tokens, -1) > 0) {
    return unsupported(
        "step",
        fmt::format("the sequence of {} positions has to be read again, by LongRoPE's limit or a "
                    "sliding window, and some were given as embedding rows",
                    work.old_length),
        "open a new sequence and give all of its rows in one step");
  }
  const Step& step = *work.step;
  if (step.tokens.empty()) {
    tokens.resize(tokens.size() + static_cast<size_t>(work.rows - work.history_rows()), -1);
  } else {
    tokens.insert(tokens.end(), step.tokens.begin(), step.tokens.end());
  }
  return {};
}

Status NativeDecoder::forward(std::span<const Step> steps, Logits& logits,
                              const CancelFlag* cancel) {
  const std::lock_guard lock(mutex_);
  if (steps.size() > kMaxBatch) {
    return usage_error("forward", fmt::format("at most {} steps at once", kMaxBatch));
  }
  std::vector<Work>& works = works_;
  works.clear();
  Logits& out = logits_;
  out.vocabulary = model_->spec.vocabulary;
  out.first_row.clear();
  int64_t logits_rows = 0;
  for (const Step& step : steps) {
    PHIAL_TRY(check_step(step));
    PHIAL_ASSIGN(Work work, plan_work(step));
    if (std::ranges::any_of(works, [&](const Work& w) { return w.state == work.state; })) {
      return usage_error("forward", "one sequence stands in two steps");
    }
    works.push_back(std::move(work));
    out.first_row.push_back(logits_rows);
    if (step.logits == LogitsRows::last) logits_rows += 1;
    if (step.logits == LogitsRows::all) logits_rows += rows_of(step, model_->spec.hidden);
  }
  Undo undo(works);
  for (Work& work : works) PHIAL_TRY(append_tokens(work));
  out.values.resize(static_cast<size_t>(logits_rows * out.vocabulary));
  PHIAL_TRY(run_passes(works, cancel, out));
  PHIAL_TRY(check_numbers(out));
  undo.dismiss();
  for (Work& work : works) {
    if (work.fresh) work.state->cache = std::move(*work.fresh);
    work.state->cache.commit(work.rows);
  }
  std::swap(logits, out);
  // What the caller had serves the next forward, so that single tokens allocate nothing.
  if (std::ssize(out.values) > kKeptLogitsRows * out.vocabulary) out.values = {};
  return {};
}

// Takes rows of `work` from the `taken`-th on into the batch, as many as it has room for.
int64_t NativeDecoder::add_rows(Work& work, int64_t taken, RowBatch& batch) const {
  const int64_t hidden = model_->spec.hidden;
  const Step& step = *work.step;
  const int64_t n = std::min(work.rows - taken, pass_rows_ - batch.rows);
  batch.segments.push_back({&work.cache(), batch.rows, n, work.first + taken, work.inv_freq});
  for (int64_t r = taken; r < taken + n; ++r) {
    const int64_t own = r - work.history_rows();  // row of the step, if not negative
    const int32_t token = work.state->tokens[static_cast<size_t>(work.first + r)];
    batch.tokens.push_back(token);
    batch.embeddings.push_back(token >= 0 ? nullptr : step.embeddings.data() + own * hidden);
    const bool wanted = (step.logits == LogitsRows::all && own >= 0) ||
                        (step.logits == LogitsRows::last && r == work.rows - 1);
    if (wanted) batch.logits_rows.push_back(batch.rows + r - taken);
  }
  batch.rows += n;
  return n;
}

// Cuts the rows of all works, one after another, into passes of at most pass_rows_ rows. A sequence
// that reads its history again has passes of its own: how its rows are cut, and with it every bit
// of the result, must not depend on who shares the forward.
Status NativeDecoder::run_passes(std::vector<Work>& works, const CancelFlag* cancel, Logits& out) {
  int64_t total = 0;
  for (const Work& work : works) total += work.rows;
  hidden_.resize(static_cast<size_t>(std::min(total, pass_rows_) * model_->spec.hidden));
  float* next_logits = out.values.data();
  size_t w = 0;
  int64_t taken = 0;  // rows of works[w] that earlier passes took
  while (w < works.size()) {
    RowBatch& batch = batch_;
    batch.clear();
    caches_.clear();
    while (w < works.size() && batch.rows < pass_rows_) {
      const bool alone = works[w].history_rows() > 0;
      if (alone && batch.rows > 0) break;
      const int64_t n = add_rows(works[w], taken, batch);
      caches_.push_back(&works[w].cache());
      PHIAL_TRY(caches_.back()->reserve(n));
      taken += n;
      if (taken == works[w].rows) {
        ++w;
        taken = 0;
      }
      if (alone) break;
    }
    batch.logits = next_logits;
    next_logits += static_cast<int64_t>(batch.logits_rows.size()) * out.vocabulary;
    PHIAL_TRY(executor_.run(0, executor_.plan().size(), batch, hidden_.data(), {}, cancel));
    for (KvCache* cache : caches_) cache->trim_reserved();
  }
  return check_cancelled(cancel, "forward");
}

// Logits that are no numbers come from weights that are none, or from an overflow on the way.
Status NativeDecoder::check_numbers(const Logits& logits) const {
  // NaN and infinity have all bits of the exponent set. Integers, because their order is free.
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t found = 0;
  for (const float value : logits.values) {
    found |= (std::bit_cast<uint32_t>(value) & kExponent) == kExponent ? 1u : 0u;
  }
  if (found == 0) return {};
  PHIAL_TRY(check_finite(*model_->checkpoint));
  return failed("forward", "the logits are not finite numbers although all weights are",
                "the activations overflow float32: the file is probably damaged");
}

}  // namespace

Numerics choose_numerics(const NumericsRequest& asked, const Runtime& runtime, const Model& model) {
  const bool has_kernels = &packed_kernels(*runtime.kernels) != packed_tables().front();
  const Compute usual = has_kernels && has_integer_weights(model) ? Compute::int8 : Compute::fp32;
  Numerics chosen;
  chosen.compute = asked.compute.value_or(usual);
  const KvType usual_kv = chosen.compute == Compute::int8   ? KvType::int8
                          : chosen.compute == Compute::fp32 ? KvType::f32
                                                            : KvType::f16;
  chosen.kv = asked.kv.value_or(usual_kv);
  return chosen;
}

Result<std::shared_ptr<Decoder>> make_native_decoder(std::shared_ptr<const Runtime> runtime,
                                                     std::shared_ptr<const Model> model,
                                                     const Numerics& numerics) {
  PHIAL_ASSIGN(auto weights, make_cpu_weights(*runtime, *model, numerics.compute));
  return std::shared_ptr<Decoder>(std::make_shared<NativeDecoder>(
      std::move(runtime), std::move(model), std::move(weights), numerics));
}

}  // namespace phial

#include "engine/budgeted_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "engine/kv_cache.h"
#include "engine/memory_need.h"
#include "sys/memory_budget.h"

namespace phial {
namespace {

class BudgetedDecoder final : public Decoder {
 public:
  BudgetedDecoder(std::shared_ptr<Decoder> decoder, std::shared_ptr<MemoryBudget> budget,
                  const ModelSpec& spec, KvType kv, MemoryLease buffers)
      : decoder_(std::move(decoder)),
        budget_(std::move(budget)),
        spec_(spec),
        kv_(kv),
        buffers_(std::move(buffers)) {}

  DecoderTraits traits() const override { return decoder_->traits(); }
  int64_t length(SequenceId sequence) const override { return decoder_->length(sequence); }
  int64_t rows_as_alone(SequenceId sequence) const override {
    return decoder_->rows_as_alone(sequence);
  }
  Status truncate(SequenceId sequence, int64_t n) override {
    return decoder_->truncate(sequence, n);
  }

  // A loaded sequence was charged for its whole context when it was opened.
  uint64_t fingerprint() const override { return decoder_->fingerprint(); }
  Status save(SequenceId sequence, const PutPart& put) override {
    return decoder_->save(sequence, put);
  }
  Status load(SequenceId sequence, std::span<const int32_t> tokens, const NextPart& next) override {
    return decoder_->load(sequence, tokens, next);
  }

  Result<SequenceId> open(int64_t context) override {
    const std::lock_guard lock(mutex_);
    PHIAL_ASSIGN(MemoryLease lease, charge_context(context));
    PHIAL_ASSIGN(const SequenceId id, decoder_->open(context));
    return keep(id, context, std::move(lease));
  }

  Result<SequenceId> fork(SequenceId sequence, int64_t n) override {
    const std::lock_guard lock(mutex_);
    const auto found = sequences_.find(sequence);
    const int64_t context = found == sequences_.end() ? 0 : found->second.context;
    PHIAL_ASSIGN(MemoryLease lease, charge_context(context));
    PHIAL_ASSIGN(const SequenceId id, decoder_->fork(sequence, n));
    return keep(id, context, std::move(lease));
  }

  void close(SequenceId sequence) override {
    const std::lock_guard lock(mutex_);
    decoder_->close(sequence);
    sequences_.erase(sequence);
  }

  Status forward(std::span<const Step> steps, Logits& logits, const CancelFlag* cancel) override {
    int64_t rows = 0;
    for (const Step& step : steps) {
      if (step.logits == LogitsRows::last) rows += 1;
      if (step.logits == LogitsRows::all) {
        rows += std::max<int64_t>(std::ssize(step.tokens),
                                  std::ssize(step.embeddings) / std::max<int64_t>(spec_.hidden, 1));
      }
    }
    const std::lock_guard lock(mutex_);
    const int64_t bytes = logits_bytes(spec_, rows);
    if (!budget_->take(bytes)) {
      return over_limit(
          "logits",
          fmt::format("the logits of {} rows take {}, of the memory allowed only {} is left", rows,
                      size_text(bytes), size_text(budget_->left())),
          "ask for the logits of fewer tokens at once, or allow more memory");
    }
    // The caller keeps the rows of a forward until its next one.
    MemoryLease held(budget_, bytes);
    PHIAL_TRY(decoder_->forward(steps, logits, cancel));
    logits_ = std::move(held);
    return {};
  }

 private:
  struct Held {
    int64_t context;
    MemoryLease lease;
  };

  Result<MemoryLease> charge_context(int64_t context) {
    const int64_t bytes = kv_bytes(spec_, context, kv_);
    const int64_t logits = held_logits_bytes(spec_);
    const int64_t left = budget_->left();
    if (bytes <= left && logits <= left - bytes && budget_->take(bytes)) {
      return MemoryLease(budget_, bytes);
    }
    // A context of one position takes a whole page. No more positions than int64 holds: there is
    // at least a byte of each.
    const int64_t fits = (left - std::min(left, logits)) / kv_bytes(spec_, 1, kv_) * kPagePositions;
    return over_limit(
        "context",
        fmt::format("{} tokens take {} for keys and values and {} for logits; of the {} of memory "
                    "allowed, {} are left",
                    context, size_text(bytes), size_text(logits), size_text(budget_->limit()),
                    size_text(left)),
        fits > 0 ? fmt::format("a context of {} fits", std::min(fits, context))
                 : std::string("allow more memory"));
  }

  // A sequence that there is no memory to remember is closed again.
  Result<SequenceId> keep(SequenceId id, int64_t context, MemoryLease lease) {
    struct Closer {
      Decoder* decoder;
      SequenceId id;
      ~Closer() {
        if (decoder != nullptr) decoder->close(id);
      }
    };
    Closer closer{decoder_.get(), id};
    sequences_.emplace(id, Held{context, std::move(lease)});
    closer.decoder = nullptr;
    return id;
  }

  const std::shared_ptr<Decoder> decoder_;
  const std::shared_ptr<MemoryBudget> budget_;
  const ModelSpec spec_;
  const KvType kv_;
  const MemoryLease buffers_;
  std::mutex mutex_;  // guards everything below
  std::map<SequenceId, Held> sequences_;
  MemoryLease logits_;
};

}  // namespace

Result<std::shared_ptr<Decoder>> with_memory_budget(std::shared_ptr<Decoder> decoder,
                                                    std::shared_ptr<const Runtime> runtime,
                                                    const ModelSpec& spec,
                                                    const Numerics& numerics) {
  if (runtime->memory == nullptr) return decoder;
  const bool fewer_threads_help = least_bytes(spec, 1, numerics) <= runtime->memory->left();
  PHIAL_ASSIGN(
      MemoryLease buffers,
      take_memory(
          runtime->memory,
          pass_bytes(spec, decoder->traits().pass_rows, runtime->threads->size(), numerics),
          "buffers for computing",
          fewer_threads_help ? "allow more memory, or use fewer threads" : "allow more memory"));
  return std::shared_ptr<Decoder>(std::make_shared<BudgetedDecoder>(
      std::move(decoder), runtime->memory, spec, numerics.kv, std::move(buffers)));
}

}  // namespace phial

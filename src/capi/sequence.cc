// Sequences: generation in steps.
#include <random>
#include <utility>

#include "capi/generate_options.h"
#include "capi/guard.h"
#include "capi/options.h"
#include "capi/sequence_handle.h"
#include "generate/processors.h"
#include "generate/sampling.h"

using namespace phial;
using namespace phial::capi;

namespace {

// The last row of the last compute. usage when there is none.
Result<std::span<float>> last_row(phial_sequence& sequence, const char* function) {
  Logits& logits = sequence.sequence->logits();
  if (logits.rows() == 0) {
    return usage_error(function, "there are no logits",
                       "call phial_sequence_compute_logits after append or rewind");
  }
  return logits.row(logits.rows() - 1);
}

Status hand_out(std::shared_ptr<OpenModel> model, std::unique_ptr<Sequence> sequence,
                phial_sequence** out) {
  auto handle = std::make_unique<phial_sequence>();
  handle->model = std::move(model);
  handle->sequence = std::move(sequence);
  *out = handle.release();
  return {};
}

}  // namespace

Rng& phial_sequence::random(std::optional<uint64_t> seed, bool restart) {
  if (seed && (restart || !rng || rng_seed != *seed)) {
    rng.emplace(*seed);
    rng_seed = *seed;
  } else if (!rng) {
    std::random_device device;
    rng_seed = (uint64_t{device()} << 32) | device();
    rng.emplace(rng_seed);
  }
  return *rng;
}

phial_error* phial_model_sampling(phial_model* model, phial_sampling* sampling) {
  static constexpr char kFunction[] = "phial_model_sampling";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_TRY(require(sampling, kFunction, "sampling"));
    PHIAL_ASSIGN(const Sampling own, read_sampling(*model->open, nullptr, kFunction));
    phial_sampling out = PHIAL_SAMPLING_INIT;
    out.do_sample = own.options.do_sample ? 1 : 0;
    out.temperature = own.options.temperature;
    out.top_k = own.options.top_k;
    out.top_p = own.options.top_p;
    out.min_p = own.options.min_p;
    out.typical_p = own.options.typical_p;
    return write_struct(out, sampling, kFunction);
  });
}

phial_error* phial_sequence_create(phial_model* model, const phial_sequence_options* options,
                                   phial_sequence** sequence) {
  static constexpr char kFunction[] = "phial_sequence_create";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_ASSIGN(const phial_sequence_options given,
                 read_options(options, PHIAL_SEQUENCE_OPTIONS_INIT, kFunction));
    PHIAL_ASSIGN(auto decoder, model->open->decoder(kFunction));
    PHIAL_ASSIGN(auto opened, Sequence::create(std::move(decoder), given.context));
    return hand_out(model->open, std::move(opened), sequence);
  });
}

phial_error* phial_sequence_load(phial_model* model, const phial_sequence_options* options,
                                 const char* path, phial_sequence** sequence) {
  static constexpr char kFunction[] = "phial_sequence_load";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_TRY(require(path, kFunction, "path"));
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_ASSIGN(const phial_sequence_options given,
                 read_options(options, PHIAL_SEQUENCE_OPTIONS_INIT, kFunction));
    PHIAL_ASSIGN(auto decoder, model->open->decoder(kFunction));
    PHIAL_ASSIGN(auto loaded,
                 Sequence::load(std::move(decoder), given.context, model->open->files(), path));
    return hand_out(model->open, std::move(loaded), sequence);
  });
}

phial_error* phial_sequence_save(const phial_sequence* sequence, const char* path) {
  static constexpr char kFunction[] = "phial_sequence_save";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_TRY(require(path, kFunction, "path"));
    return sequence->sequence->save(sequence->model->files(), path);
  });
}

phial_error* phial_sequence_tokens(const phial_sequence* sequence, const int32_t** ids,
                                   int64_t* count, int64_t* computed) {
  static constexpr char kFunction[] = "phial_sequence_tokens";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_TRY(require(ids, kFunction, "ids"));
    PHIAL_TRY(require(count, kFunction, "count"));
    *ids = sequence->sequence->tokens().data();
    *count = sequence->sequence->length();
    if (computed != nullptr) *computed = sequence->sequence->computed();
    return {};
  });
}

void phial_sequence_free(phial_sequence* sequence) { delete sequence; }

int64_t phial_sequence_length(const phial_sequence* sequence) {
  return sequence == nullptr ? 0 : sequence->sequence->length();
}

phial_error* phial_sequence_append(phial_sequence* sequence, const int32_t* ids, size_t count) {
  static constexpr char kFunction[] = "phial_sequence_append";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_ASSIGN(const auto given, ids_of(ids, count, kFunction, "ids"));
    return sequence->sequence->append(given);
  });
}

phial_error* phial_sequence_compute_logits(phial_sequence* sequence, phial_logits_rows rows) {
  static constexpr char kFunction[] = "phial_sequence_compute_logits";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    if (rows != PHIAL_LOGITS_LAST && rows != PHIAL_LOGITS_ALL) {
      return usage_error(kFunction, "rows is none of the values of phial_logits_rows");
    }
    Status status = sequence->sequence->compute_logits(
        rows == PHIAL_LOGITS_ALL ? LogitsRows::all : LogitsRows::last, &sequence->cancel);
    // A request that came too late for this call is for the next one.
    if (!status.ok() && status.error().code == ErrorCode::cancelled) sequence->cancel.reset();
    return status;
  });
}

phial_error* phial_sequence_logits(phial_sequence* sequence, float** logits, int64_t* rows,
                                   int64_t* vocabulary) {
  static constexpr char kFunction[] = "phial_sequence_logits";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_TRY(require(logits, kFunction, "logits"));
    PHIAL_TRY(require(rows, kFunction, "rows"));
    PHIAL_TRY(require(vocabulary, kFunction, "vocabulary"));
    Logits& computed = sequence->sequence->logits();
    if (computed.rows() == 0) {
      return usage_error(kFunction, "there are no logits",
                         "call phial_sequence_compute_logits after append or rewind");
    }
    *logits = computed.values.data();
    *rows = computed.rows();
    *vocabulary = computed.vocabulary;
    return {};
  });
}

phial_error* phial_sequence_sample(phial_sequence* sequence, const phial_sampling* sampling,
                                   int32_t* id) {
  static constexpr char kFunction[] = "phial_sequence_sample";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_TRY(require(id, kFunction, "id"));
    PHIAL_ASSIGN(const Sampling given, read_sampling(*sequence->model, sampling, kFunction));
    PHIAL_ASSIGN(const std::span<float> row, last_row(*sequence, kFunction));
    PHIAL_ASSIGN(*id, sample_token(row, given.options, sequence->random(given.seed, false)));
    return {};
  });
}

phial_error* phial_sequence_process_logits(phial_sequence* sequence,
                                           const phial_generate_options* options,
                                           int64_t prompt_tokens) {
  static constexpr char kFunction[] = "phial_sequence_process_logits";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    const int64_t length = sequence->sequence->length();
    if (prompt_tokens < 0 || prompt_tokens > length) {
      return usage_error(kFunction, "prompt_tokens is " + std::to_string(prompt_tokens) +
                                        "; expected 0.." + std::to_string(length));
    }
    PHIAL_ASSIGN(const GenerateCall call,
                 read_generate_options(*sequence->model, options, prompt_tokens, kFunction));
    PHIAL_TRY(check_options(call.options, sequence->sequence->vocabulary()));
    PHIAL_ASSIGN(const std::span<float> row, last_row(*sequence, kFunction));
    return LogitsProcessors(call.options)
        .apply(0, sequence->sequence->tokens(), prompt_tokens, row);
  });
}

phial_error* phial_sequence_rewind(phial_sequence* sequence, int64_t length) {
  static constexpr char kFunction[] = "phial_sequence_rewind";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    return sequence->sequence->rewind(length);
  });
}

phial_error* phial_sequence_fork(phial_sequence* sequence, phial_sequence** fork) {
  static constexpr char kFunction[] = "phial_sequence_fork";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_TRY(require(fork, kFunction, "fork"));
    PHIAL_ASSIGN(auto forked, sequence->sequence->fork());
    return hand_out(sequence->model, std::move(forked), fork);
  });
}

void phial_sequence_cancel(phial_sequence* sequence) {
  if (sequence != nullptr) sequence->cancel.request();
}

// The one-call forms of generation.
#include "generate/generate.h"

#include <set>
#include <string>

#include "capi/generate_options.h"
#include "capi/guard.h"
#include "capi/options.h"
#include "capi/outputs_handle.h"
#include "capi/sequence_handle.h"

using namespace phial;
using namespace phial::capi;

namespace {

// One sequence's part of a call. Stays where it is: callbacks point to it.
struct Call {
  Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  Status prepare(phial_sequence* sequence, const phial_generate_options* options,
                 const char* function) {
    handle = sequence;
    OpenModel& model = *sequence->model;
    PHIAL_ASSIGN(GenerateCall read,
                 read_generate_options(model, options, sequence->sequence->length(), function));
    request.sequence = sequence->sequence.get();
    request.options = std::move(read.options);
    request.rng = &sequence->random(read.seed, true);
    request.seed = sequence->rng_seed;
    if (auto found = model.tokenizer(); found.ok()) request.tokenizer = *found;
    request.cancel = &sequence->cancel;
    if (read.on_token != nullptr) {
      request.on_token = [this, callback = read.on_token, user = read.user](int32_t id,
                                                                            std::string_view text) {
        stopped = callback(user, id, text.data(), text.size()) != 0;
        return !stopped;
      };
    }
    return {};
  }

  // A request to cancel that this call has followed is over; one that came too late, or while the
  // callback stopped it, is for the next call.
  void settle(const Result<GenerateResult>& result) {
    if (!result.ok() || stopped) return;
    for (const Output& output : result->outputs) {
      if (output.finish == FinishReason::cancelled) handle->cancel.reset();
    }
  }

  phial_sequence* handle = nullptr;
  GenerateRequest request;
  bool stopped = false;
};

Result<std::unique_ptr<phial_outputs>> generate_one(phial_sequence* sequence,
                                                    const phial_generate_options* options,
                                                    const char* function) {
  Call call;
  PHIAL_TRY(call.prepare(sequence, options, function));
  Result<GenerateResult> result = generate(call.request);
  call.settle(result);
  if (!result.ok()) return std::move(result).error();
  return outputs_of(std::move(result).value());
}

Status check_batch(phial_sequence* const* sequences, size_t count, const char* function) {
  std::set<const phial_sequence*> seen;
  for (size_t i = 0; i < count; ++i) {
    PHIAL_TRY(require(sequences[i], function, "a sequence"));
    if (!seen.insert(sequences[i]).second) {
      return usage_error(function, "a sequence is given twice");
    }
    if (sequences[i]->model != sequences[0]->model) {
      return usage_error(function, "the sequences are not of one model");
    }
  }
  return {};
}

}  // namespace

phial_error* phial_generate(phial_sequence* sequence, const phial_generate_options* options,
                            phial_buffer** new_ids, phial_finish* finish,
                            phial_generate_stats* stats) {
  static constexpr char kFunction[] = "phial_generate";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_TRY(require(new_ids, kFunction, "new_ids"));
    if (stats != nullptr) {  // before anything is computed
      PHIAL_ASSIGN([[maybe_unused]] const size_t known, shared_bytes(stats, kFunction));
    }
    PHIAL_ASSIGN(const auto outputs, generate_one(sequence, options, kFunction));
    if (stats != nullptr) PHIAL_TRY(write_struct(outputs->stats, stats, kFunction));
    const phial_outputs::Answer& answer = outputs->answers.front();
    if (finish != nullptr) *finish = answer.finish;
    *new_ids = ids_buffer(answer.ids);
    return {};
  });
}

phial_error* phial_generate_outputs(phial_sequence* sequence, const phial_generate_options* options,
                                    phial_outputs** outputs) {
  static constexpr char kFunction[] = "phial_generate_outputs";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_TRY(require(outputs, kFunction, "outputs"));
    PHIAL_ASSIGN(auto made, generate_one(sequence, options, kFunction));
    *outputs = made.release();
    return {};
  });
}

phial_error* phial_generate_batch(phial_sequence* const* sequences,
                                  const phial_generate_options* const* options, size_t count,
                                  phial_outputs** outputs, phial_error** errors) {
  static constexpr char kFunction[] = "phial_generate_batch";
  return guarded(kFunction, [&]() -> Status {
    if (count == 0) return {};
    PHIAL_TRY(require(sequences, kFunction, "sequences"));
    PHIAL_TRY(require(outputs, kFunction, "outputs"));
    PHIAL_TRY(require(errors, kFunction, "errors"));
    PHIAL_TRY(check_batch(sequences, count, kFunction));
    std::vector<Call> calls(count);
    std::vector<Status> prepared(count);
    std::vector<GenerateRequest> requests;
    for (size_t i = 0; i < count; ++i) {
      prepared[i] =
          calls[i].prepare(sequences[i], options == nullptr ? nullptr : options[i], kFunction);
      if (prepared[i].ok()) requests.push_back(calls[i].request);
    }
    std::vector<Result<GenerateResult>> results = generate_batch(requests);
    std::vector<std::unique_ptr<phial_outputs>> made(count);
    auto next = results.begin();
    for (size_t i = 0; i < count; ++i) {
      if (!prepared[i].ok()) continue;
      calls[i].settle(*next);
      if (next->ok()) {
        made[i] = outputs_of(std::move(*next).value());
      } else {
        prepared[i] = std::move(*next).error();
      }
      ++next;
    }
    for (size_t i = 0; i < count; ++i) {
      outputs[i] = made[i].release();
      errors[i] = prepared[i].ok() ? nullptr : make_c_error(std::move(prepared[i]).error());
    }
    return {};
  });
}

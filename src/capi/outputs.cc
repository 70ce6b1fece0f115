// The answers of a generation.
#include <string>

#include "capi/guard.h"
#include "capi/options.h"
#include "capi/outputs_handle.h"

using namespace phial;
using namespace phial::capi;

namespace {

phial_finish finish_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return PHIAL_FINISH_STOP;
    case FinishReason::length:
      return PHIAL_FINISH_LENGTH;
    case FinishReason::cancelled:
      return PHIAL_FINISH_CANCELLED;
  }
  return PHIAL_FINISH_STOP;
}

Result<const phial_outputs::Answer*> answer_at(const phial_outputs* outputs, size_t index,
                                               const char* function) {
  PHIAL_TRY(require(outputs, function, "outputs"));
  if (index >= outputs->answers.size()) {
    return usage_error(function, "there is no output " + std::to_string(index) + ", only " +
                                     std::to_string(outputs->answers.size()));
  }
  return &outputs->answers[index];
}

}  // namespace

namespace phial::capi {

std::unique_ptr<phial_outputs> outputs_of(GenerateResult result) {
  auto out = std::make_unique<phial_outputs>();
  for (Output& output : result.outputs) {
    phial_outputs::Answer answer{
        std::move(output.ids), std::move(output.text), finish_of(output.finish), output.score, {}};
    for (const TokenLogprobs& token : output.logprobs) {
      std::vector<phial_logprob> row = {{token.chosen.id, token.chosen.logprob}};
      for (const TokenLogprob& likely : token.top) row.push_back({likely.id, likely.logprob});
      answer.logprobs.push_back(std::move(row));
    }
    out->answers.push_back(std::move(answer));
  }
  out->stats.prompt_tokens = result.prompt_tokens;
  out->stats.new_tokens = result.new_tokens;
  out->stats.prefill_ms = result.prefill_ms;
  out->stats.decode_ms = result.decode_ms;
  out->stats.drafted_tokens = result.drafted_tokens;
  out->stats.accepted_tokens = result.accepted_tokens;
  return out;
}

}  // namespace phial::capi

size_t phial_outputs_count(const phial_outputs* outputs) {
  return outputs == nullptr ? 0 : outputs->answers.size();
}

phial_error* phial_outputs_get(const phial_outputs* outputs, size_t index, phial_output* output) {
  static constexpr char kFunction[] = "phial_outputs_get";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(output, kFunction, "output"));
    PHIAL_ASSIGN(const phial_outputs::Answer* answer, answer_at(outputs, index, kFunction));
    phial_output out = PHIAL_OUTPUT_INIT;
    out.ids = answer->ids.data();
    out.id_count = answer->ids.size();
    out.text = answer->text.c_str();
    out.text_bytes = answer->text.size();
    out.finish = answer->finish;
    out.score = answer->score;
    return write_struct(out, output, kFunction);
  });
}

phial_error* phial_outputs_logprobs(const phial_outputs* outputs, size_t index, size_t token,
                                    phial_logprob* chosen, const phial_logprob** top,
                                    size_t* top_count) {
  static constexpr char kFunction[] = "phial_outputs_logprobs";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(chosen, kFunction, "chosen"));
    PHIAL_TRY(require(top, kFunction, "top"));
    PHIAL_TRY(require(top_count, kFunction, "top_count"));
    PHIAL_ASSIGN(const phial_outputs::Answer* answer, answer_at(outputs, index, kFunction));
    if (token >= answer->logprobs.size()) {
      return usage_error(kFunction,
                         "there are no log-probabilities of token " + std::to_string(token),
                         "ask for them with the option logprobs");
    }
    const std::vector<phial_logprob>& row = answer->logprobs[token];
    *chosen = row.front();
    *top = row.data() + 1;
    *top_count = row.size() - 1;
    return {};
  });
}

phial_error* phial_outputs_stats(const phial_outputs* outputs, phial_generate_stats* stats) {
  static constexpr char kFunction[] = "phial_outputs_stats";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(outputs, kFunction, "outputs"));
    PHIAL_TRY(require(stats, kFunction, "stats"));
    return write_struct(outputs->stats, stats, kFunction);
  });
}

void phial_outputs_free(phial_outputs* outputs) { delete outputs; }

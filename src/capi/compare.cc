// phial_compare_json, phial_quantization_svg.
#include "eval/compare.h"

#include <algorithm>

#include "base/json.h"
#include "capi/eval_options.h"
#include "capi/guard.h"
#include "capi/options.h"
#include "capi/sequence_handle.h"
#include "eval/quantization_report.h"

using namespace phial;
using namespace phial::capi;

namespace phial::capi {

template <>
struct FieldEnds<phial_compare_options> {
  static constexpr size_t kEnds[] = {PHIAL_FIELD_END(phial_compare_options, size),
                                     PHIAL_FIELD_END(phial_compare_options, context),
                                     PHIAL_FIELD_END(phial_compare_options, stride),
                                     PHIAL_FIELD_END(phial_compare_options, continuations),
                                     PHIAL_FIELD_END(phial_compare_options, new_tokens),
                                     PHIAL_FIELD_END(phial_compare_options, on_progress),
                                     PHIAL_FIELD_END(phial_compare_options, user)};
};

}  // namespace phial::capi

namespace {

std::shared_ptr<const Tokenizer> tokenizer_or_null(const phial_sequence& sequence) {
  auto tokenizer = sequence.model->tokenizer();
  return tokenizer.ok() ? std::move(tokenizer).value() : nullptr;
}

// Ids that both models and, where there are such, their tokenizers have: a tokenizer of fewer
// pieces than the embedding has rows tells where the padding rows begin.
int64_t shared_vocabulary(const phial_sequence& a, const phial_sequence& b) {
  int64_t shared = std::min(a.sequence->vocabulary(), b.sequence->vocabulary());
  for (const phial_sequence* sequence : {&a, &b}) {
    const auto tokenizer = tokenizer_or_null(*sequence);
    if (tokenizer != nullptr) shared = std::min<int64_t>(shared, tokenizer->size());
  }
  return shared;
}

Json continuation_json(const Continuation& continuation) {
  Json out;
  out.set("begin", continuation.begin);
  out.set("prompt_tokens", continuation.prompt_tokens);
  out.set("equal_tokens", continuation.equal_tokens);
  if (continuation.parting) {
    out.set("a", continuation.parting->a);
    out.set("b", continuation.parting->b);
    out.set("gap", continuation.parting->gap);
  }
  return out;
}

Json report_json(const CompareReport& report, const CompareOptions& options,
                 const Tokenizer* tokenizer) {
  Json out = divergence_json(report.divergence);
  out.set("context", options.windows.context);
  out.set("stride", options.windows.stride);
  out.set("vocabulary", options.vocabulary);
  Json continuations{Json::Array()};
  for (const Continuation& continuation : report.continuations) {
    continuations.push(continuation_json(continuation));
  }
  out.set("continuations", std::move(continuations));
  if (const Continuation* first = first_difference(report.continuations); first != nullptr) {
    Json difference;
    difference.set("continuation", int64_t{first - report.continuations.data()});
    const Json of_continuation = continuation_json(*first);
    for (const Json::Member& member : *of_continuation.if_object()) {
      difference.set(member.first, member.second);
    }
    const auto set_text = [&](const char* key, int32_t id) {
      if (tokenizer == nullptr) return;
      const auto text = tokenizer->decode({&id, 1}, false);
      if (text.ok()) difference.set(key, *text);
    };
    set_text("text_a", first->parting->a);
    set_text("text_b", first->parting->b);
    out.set("first_difference", std::move(difference));
  }
  return out;
}

}  // namespace

phial_error* phial_compare_json(phial_sequence* a, phial_sequence* b, const int32_t* ids,
                                size_t count, const phial_compare_options* options,
                                phial_buffer** json) {
  static constexpr char kFunction[] = "phial_compare_json";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(a, kFunction, "a"));
    PHIAL_TRY(require(b, kFunction, "b"));
    PHIAL_TRY(require(json, kFunction, "json"));
    PHIAL_ASSIGN(const auto text, ids_of(ids, count, kFunction, "ids"));
    PHIAL_ASSIGN(const phial_compare_options given,
                 read_options(options, PHIAL_COMPARE_OPTIONS_INIT, kFunction));
    CompareOptions chosen;
    chosen.windows = windows_of(given.context, given.stride,
                                std::min(a->sequence->context(), b->sequence->context()));
    chosen.vocabulary = shared_vocabulary(*a, *b);
    chosen.continuations = given.continuations;
    chosen.new_tokens = given.new_tokens;
    Result<CompareReport> result = compare(*a->sequence, *b->sequence, text, chosen,
                                           progress_of(given.on_progress, given.user), &a->cancel);
    if (!result.ok() && result.error().code == ErrorCode::cancelled) a->cancel.reset();
    PHIAL_ASSIGN(const CompareReport report, std::move(result));
    *json = text_buffer(to_text(report_json(report, chosen, tokenizer_or_null(*a).get())));
    return {};
  });
}

phial_error* phial_quantization_svg(const char* reports_json, size_t reports_bytes,
                                    phial_buffer** svg) {
  static constexpr char kFunction[] = "phial_quantization_svg";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(svg, kFunction, "svg"));
    PHIAL_ASSIGN(const auto text, text_of(reports_json, reports_bytes, kFunction, "reports_json"));
    PHIAL_ASSIGN(const Json reports, parse_json(text, "reports"));
    PHIAL_ASSIGN(const std::string drawn, quantization_svg(reports));
    *svg = text_buffer(drawn);
    return {};
  });
}

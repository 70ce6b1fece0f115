// phial_perplexity_json.
#include "eval/perplexity.h"

#include "base/json.h"
#include "capi/eval_options.h"
#include "capi/guard.h"
#include "capi/options.h"
#include "capi/sequence_handle.h"

using namespace phial;
using namespace phial::capi;

namespace phial::capi {

template <>
struct FieldEnds<phial_perplexity_options> {
  static constexpr size_t kEnds[] = {PHIAL_FIELD_END(phial_perplexity_options, size),
                                     PHIAL_FIELD_END(phial_perplexity_options, context),
                                     PHIAL_FIELD_END(phial_perplexity_options, stride),
                                     PHIAL_FIELD_END(phial_perplexity_options, on_progress),
                                     PHIAL_FIELD_END(phial_perplexity_options, user)};
};

}  // namespace phial::capi

phial_error* phial_perplexity_json(phial_sequence* sequence, const int32_t* ids, size_t count,
                                   const phial_perplexity_options* options, phial_buffer** json) {
  static constexpr char kFunction[] = "phial_perplexity_json";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(sequence, kFunction, "sequence"));
    PHIAL_TRY(require(json, kFunction, "json"));
    PHIAL_ASSIGN(const auto text, ids_of(ids, count, kFunction, "ids"));
    PHIAL_ASSIGN(const phial_perplexity_options given,
                 read_options(options, PHIAL_PERPLEXITY_OPTIONS_INIT, kFunction));
    const WindowOptions windows =
        windows_of(given.context, given.stride, sequence->sequence->context());
    Result<PerplexityReport> result =
        perplexity(*sequence->sequence, text, windows, progress_of(given.on_progress, given.user),
                   &sequence->cancel);
    if (!result.ok() && result.error().code == ErrorCode::cancelled) sequence->cancel.reset();
    PHIAL_ASSIGN(const PerplexityReport report, std::move(result));
    Json object;
    object.set("perplexity", report.perplexity);
    object.set("nll", report.nll);
    object.set("tokens", report.tokens);
    object.set("windows", report.windows);
    object.set("context", windows.context);
    object.set("stride", windows.stride);
    *json = text_buffer(to_text(object));
    return {};
  });
}

// Benchmarks, as reports.
#include "capi/guard.h"
#include "capi/open_model.h"
#include "capi/options.h"
#include "eval/bench_tokenizer.h"
#include "eval/reports.h"

using namespace phial;
using namespace phial::capi;

phial_error* phial_bench_json(phial_context* context, phial_model* model,
                              const phial_bench_options* options, phial_buffer** json) {
  static constexpr char kFunction[] = "phial_bench_json";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(context, kFunction, "context"));
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_TRY(require(json, kFunction, "json"));
    PHIAL_ASSIGN(const phial_bench_options given,
                 read_options(options, PHIAL_BENCH_OPTIONS_INIT, kFunction));
    if (given.what != PHIAL_BENCH_TOKENIZER) {
      return usage_error(kFunction, "what is none of the values of phial_bench");
    }
    PHIAL_ASSIGN(const auto tokenizer, model->open->tokenizer());
    TokenizerBenchOptions bench;
    bench.rounds = given.rounds;
    if (given.text != nullptr) bench.text = {given.text, given.text_bytes};
    PHIAL_ASSIGN(Json measured, bench_tokenizer(*tokenizer, bench));
    const Json machine = doctor_report(*context->runtime, PHIAL_VERSION);
    Json report;
    report.set("machine", machine);
    for (Json::Member& member : Json::Object(*measured.if_object())) {
      report.set(std::move(member.first), std::move(member.second));
    }
    *json = text_buffer(to_text(report));
    return {};
  });
}

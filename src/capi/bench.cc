// Benchmarks, as reports.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "capi/guard.h"
#include "capi/open_model.h"
#include "capi/options.h"
#include "engine/budgeted_decoder.h"
#include "engine/native_decoder.h"
#include "eval/bench_floors.h"
#include "eval/bench_model.h"
#include "eval/bench_tokenizer.h"
#include "eval/reports.h"
#include "model/synthetic.h"

using namespace phial;
using namespace phial::capi;

namespace {

constexpr char kFunction[] = "phial_bench_json";

Result<Json> tokenizer_report(phial_model* model, const phial_bench_options& given) {
  PHIAL_TRY(require(model, kFunction, "model"));
  PHIAL_ASSIGN(const auto tokenizer, model->open->tokenizer());
  TokenizerBenchOptions options;
  options.rounds = given.rounds;
  if (given.text != nullptr) options.text = {given.text, given.text_bytes};
  return bench_tokenizer(*tokenizer, options);
}

Result<BenchSubject::Opened> open_synthetic(std::shared_ptr<const Runtime> runtime,
                                            const std::string& name, int64_t layers,
                                            const NumericsRequest& asked) {
  BenchSubject::Opened opened;
  PHIAL_ASSIGN(opened.model, make_synthetic(name, layers, *runtime->threads));
  opened.numerics = choose_numerics(asked, *runtime, *opened.model);
  PHIAL_ASSIGN(auto native, make_native_decoder(runtime, opened.model, opened.numerics));
  PHIAL_ASSIGN(opened.decoder,
               with_memory_budget(std::move(native), runtime, opened.model->spec, opened.numerics));
  return opened;
}

Result<BenchSubject::Opened> open_files(std::shared_ptr<const Runtime> runtime,
                                        const std::string& path, const NumericsRequest& asked) {
  PHIAL_ASSIGN(const auto open, OpenModel::open(std::move(runtime), path, PHIAL_LOAD_ALL, asked));
  BenchSubject::Opened opened;
  opened.numerics = open->numerics();
  opened.model = open->model();
  PHIAL_ASSIGN(opened.decoder, open->decoder(kFunction));
  Result<std::shared_ptr<const Tokenizer>> tokenizer = open->tokenizer();
  if (tokenizer.ok()) opened.tokenizer = std::move(tokenizer).value();
  return opened;
}

Result<BenchSubject> subject_of(std::shared_ptr<const Runtime> runtime,
                                const phial_bench_options& given) {
  if ((given.path == nullptr) == (given.synthetic == nullptr)) {
    return usage_error(kFunction, "takes either a path or a synthetic model");
  }
  if (given.path != nullptr && given.layers != 0) {
    return usage_error("layers", "only a synthetic model can be cut");
  }
  BenchSubject subject;
  PHIAL_ASSIGN(const NumericsRequest asked, numerics_of(given.compute, given.kv));
  subject.from_files = given.path != nullptr;
  subject.name = subject.from_files ? given.path : given.synthetic;
  subject.open = [runtime = std::move(runtime), name = subject.name, layers = given.layers, asked,
                  files = subject.from_files] {
    return files ? open_files(runtime, name, asked) : open_synthetic(runtime, name, layers, asked);
  };
  return subject;
}

std::optional<std::vector<int64_t>> list_of(const int64_t* values, size_t count) {
  if (values == nullptr) return std::nullopt;
  return std::vector<int64_t>(values, values + count);
}

Result<Json> model_report(std::shared_ptr<const Runtime> runtime,
                          const phial_bench_options& given) {
  PHIAL_ASSIGN(const BenchSubject subject, subject_of(runtime, given));
  std::optional<BenchFloors> floors;
  if (given.floors_json != nullptr) {
    PHIAL_ASSIGN(floors, BenchFloors::parse({given.floors_json, given.floors_bytes}, "floors"));
  }
  ModelBenchOptions options;
  options.prompts = list_of(given.prompts, given.prompt_count);
  options.depths = list_of(given.depths, given.depth_count);
  options.batches = list_of(given.batches, given.batch_count);
  options.rounds = given.rounds;
  if (given.on_progress != nullptr) {
    options.progress = [&given](std::string_view what, int64_t done, int64_t total) {
      return given.on_progress(given.user, std::string(what).c_str(), done, total) == 0;
    };
  }
  PHIAL_ASSIGN(Json report, bench_model(std::move(runtime), subject, options));
  if (floors) {
    PHIAL_ASSIGN(Json checked, floors->check(report));
    report.set("floors", std::move(checked));
  }
  return report;
}

}  // namespace

phial_error* phial_bench_json(phial_context* context, phial_model* model,
                              const phial_bench_options* options, phial_buffer** json) {
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(context, kFunction, "context"));
    PHIAL_TRY(require(json, kFunction, "json"));
    PHIAL_ASSIGN(const phial_bench_options given,
                 read_options(options, PHIAL_BENCH_OPTIONS_INIT, kFunction));
    if (given.what != PHIAL_BENCH_TOKENIZER && given.what != PHIAL_BENCH_MODEL) {
      return usage_error(kFunction, "what is none of the values of phial_bench");
    }
    PHIAL_ASSIGN(Json measured, given.what == PHIAL_BENCH_TOKENIZER
                                    ? tokenizer_report(model, given)
                                    : model_report(context->runtime, given));
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

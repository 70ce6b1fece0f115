// Contexts and the loading of models.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "capi/guard.h"
#include "capi/open_model.h"
#include "capi/options.h"
#include "eval/reports.h"

using namespace phial;
using namespace phial::capi;

namespace {

constexpr char kIsaVariable[] = "PHIAL_ISA";

}  // namespace

phial_error* phial_context_create(const phial_context_options* options, phial_context** context) {
  static constexpr char kFunction[] = "phial_context_create";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(context, kFunction, "context"));
    PHIAL_ASSIGN(const phial_context_options given,
                 read_options(options, PHIAL_CONTEXT_OPTIONS_INIT, kFunction));
    std::string isa = given.isa == nullptr ? "" : given.isa;
    const char* forced = isa.empty() ? std::getenv(kIsaVariable) : nullptr;
    if (forced != nullptr) isa = forced;
    Result<std::shared_ptr<const Runtime>> runtime =
        Runtime::create(given.threads, isa, disk_files(),
                        static_cast<int64_t>(std::min<uint64_t>(given.max_memory, INT64_MAX)));
    if (!runtime.ok()) {
      Error error = std::move(runtime).error();
      // Who set no option should be told where the name came from.
      if (forced != nullptr && error.where == "isa") error.where = kIsaVariable;
      return error;
    }
    *context = new phial_context{std::move(runtime).value()};
    return {};
  });
}

void phial_context_free(phial_context* context) { delete context; }

phial_error* phial_doctor_json(phial_context* context, phial_buffer** json) {
  static constexpr char kFunction[] = "phial_doctor_json";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(context, kFunction, "context"));
    PHIAL_TRY(require(json, kFunction, "json"));
    *json = text_buffer(to_text(doctor_report(*context->runtime, PHIAL_VERSION)));
    return {};
  });
}

phial_error* phial_model_load(phial_context* context, const char* path,
                              const phial_model_options* options, phial_model** model) {
  static constexpr char kFunction[] = "phial_model_load";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(context, kFunction, "context"));
    PHIAL_TRY(require(path, kFunction, "path"));
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_ASSIGN(const phial_model_options given,
                 read_options(options, PHIAL_MODEL_OPTIONS_INIT, kFunction));
    if (given.load != PHIAL_LOAD_ALL && given.load != PHIAL_LOAD_TEXT &&
        given.load != PHIAL_LOAD_INFO) {
      return usage_error(kFunction, "load is none of the values of phial_load");
    }
    PHIAL_ASSIGN(const NumericsRequest numerics, numerics_of(given.compute, given.kv));
    PHIAL_ASSIGN(auto open, OpenModel::open(context->runtime, path, given.load, numerics));
    *model = new phial_model{std::move(open)};
    return {};
  });
}

void phial_model_free(phial_model* model) { delete model; }

phial_error* phial_model_info_json(phial_model* model, int with_tensors, phial_buffer** json) {
  static constexpr char kFunction[] = "phial_model_info_json";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(model, kFunction, "model"));
    PHIAL_TRY(require(json, kFunction, "json"));
    *json = text_buffer(to_text(model_info(model->open->checkpoint(), with_tensors != 0)));
    return {};
  });
}

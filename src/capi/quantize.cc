// The conversion functions of phial.h.
#include <algorithm>

#include "capi/guard.h"
#include "capi/open_model.h"
#include "capi/options.h"
#include "engine/memory_need.h"
#include "eval/quantization_report.h"
#include "quantize/convert.h"
#include "quantize/schemes.h"

using namespace phial;
using namespace phial::capi;

namespace phial::capi {

template <>
struct FieldEnds<phial_quantize_options> {
  static constexpr size_t kEnds[] = {PHIAL_FIELD_END(phial_quantize_options, size),
                                     PHIAL_FIELD_END(phial_quantize_options, format),
                                     PHIAL_FIELD_END(phial_quantize_options, scheme),
                                     PHIAL_FIELD_END(phial_quantize_options, effort),
                                     PHIAL_FIELD_END(phial_quantize_options, imatrix),
                                     PHIAL_FIELD_END(phial_quantize_options, rule_count),
                                     PHIAL_FIELD_END(phial_quantize_options, bits_per_weight),
                                     PHIAL_FIELD_END(phial_quantize_options, dry_run),
                                     PHIAL_FIELD_END(phial_quantize_options, on_progress),
                                     PHIAL_FIELD_END(phial_quantize_options, user),
                                     PHIAL_FIELD_END(phial_quantize_options, pre_tokenizer),
                                     PHIAL_FIELD_END(phial_quantize_options, pure)};
};

}  // namespace phial::capi

namespace {

// Formats that are not written yet, but known.
constexpr const char* kComing[] = {"onnx", "openvino"};

Result<TargetFormat> format_named(const char* name) {
  const std::string_view given = name == nullptr ? "" : name;
  std::string known;
  for (const TargetFormat format : kTargetFormats) {
    if (given == format_name(format)) return format;
    known += (known.empty() ? "" : ", ") + std::string(format_name(format));
  }
  for (const char* coming : kComing) {
    if (given == coming) {
      return unsupported("format", std::string(coming) + " is not written in this version",
                         "available: " + known);
    }
  }
  return usage_error("format", "there is no format '" + std::string(given) + "'",
                     "available: " + known);
}

Result<Effort> effort_named(const char* name) {
  const std::string_view given = name == nullptr ? "balanced" : name;
  if (given == "balanced") return Effort::balanced;
  if (given == "fast") return Effort::fast;
  if (given == "best") {
    return unsupported("effort", "best is not available in this version",
                       "available: fast, balanced");
  }
  return usage_error("effort", "there is no effort '" + std::string(given) + "'",
                     "available: fast, balanced");
}

Result<ConvertOptions> convert_options(const phial_quantize_options& given, const Files& files,
                                       const char* function) {
  ConvertOptions options;
  PHIAL_ASSIGN(options.format, format_named(given.format));
  PHIAL_ASSIGN(options.effort, effort_named(given.effort));
  if (given.scheme != nullptr) options.scheme = given.scheme;
  if (given.bits_per_weight != 0) {
    if (!(given.bits_per_weight > 0)) {
      return usage_error(function, "bits_per_weight is not above 0");
    }
    if (given.scheme != nullptr) {
      return usage_error(function, "a scheme and bits_per_weight are given", "leave one out");
    }
    if (given.pure != 0) return usage_error(function, "pure goes with a scheme");
    options.bits_per_weight = given.bits_per_weight;
  }
  options.pure = given.pure != 0;
  if (given.rule_count > 0) PHIAL_TRY(require(given.rules, function, "rules"));
  for (size_t i = 0; i < given.rule_count; ++i) {
    PHIAL_TRY(require(given.rules[i].pattern, function, "rules.pattern"));
    PHIAL_TRY(require(given.rules[i].grid, function, "rules.grid"));
    options.rules.push_back({given.rules[i].pattern, given.rules[i].grid});
  }
  if (given.pre_tokenizer != nullptr) options.gguf.pre_tokenizer = given.pre_tokenizer;
  if (given.imatrix != nullptr) {
    PHIAL_ASSIGN(options.importance, read_imatrix(files, given.imatrix));
  }
  return options;
}

const char* transfer_name(Transfer transfer) {
  switch (transfer) {
    case Transfer::copied:
      return "copied";
    case Transfer::recoded:
      return "recoded";
    case Transfer::encoded:
      return "encoded";
  }
  return "";
}

Json plan_report(const ConvertPlan& plan) {
  Json::Array tensors;
  int64_t weights = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    const std::vector<int64_t>& shape = tensor.target.shape;
    const bool matrix = tensor.target.is_matrix();
    Json row;
    row.set("name", tensor.target.name);
    row.set("source_grid", tensor.source_grid);
    row.set("grid", tensor.grid.name());
    row.set("rows", matrix ? shape[0] : int64_t{1});
    row.set("columns", matrix ? shape[1] : tensor.weights());
    row.set("bytes", static_cast<int64_t>(tensor.bytes));
    row.set("transfer", transfer_name(tensor.transfer));
    tensors.push_back(std::move(row));
    weights += tensor.weights();
  }
  Json out;
  out.set("format", format_name(plan.format));
  out.set("scheme", plan.scheme);
  out.set("effort", plan.effort == Effort::fast ? "fast" : "balanced");
  out.set("dry_run", true);
  out.set("bytes", static_cast<int64_t>(plan.bytes));
  out.set("bits_per_weight", plan.bits_per_weight);
  out.set("source_bytes", static_cast<int64_t>(plan.source_bytes));
  out.set("anonymous_bytes", static_cast<int64_t>(plan.anonymous_bytes));
  out.set("weights", weights);
  out.set("tensors", std::move(tensors));
  return out;
}

}  // namespace

phial_error* phial_quantize_json(phial_context* context, const char* source, const char* output,
                                 const phial_quantize_options* options, phial_buffer** json) {
  static constexpr char kFunction[] = "phial_quantize_json";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(context, kFunction, "context"));
    PHIAL_TRY(require(source, kFunction, "source"));
    PHIAL_TRY(require(output, kFunction, "output"));
    if (*output == '\0') return usage_error("output", "the name is empty");
    PHIAL_TRY(require(json, kFunction, "json"));
    PHIAL_ASSIGN(const phial_quantize_options given,
                 read_options(options, PHIAL_QUANTIZE_OPTIONS_INIT, kFunction));
    const Runtime& runtime = *context->runtime;
    PHIAL_ASSIGN(const ConvertOptions chosen, convert_options(given, *runtime.files, kFunction));
    PHIAL_ASSIGN(const std::string path, locate_named_model(*runtime.files, source));
    PHIAL_ASSIGN(Checkpoint checkpoint, read_checkpoint(*runtime.files, path));
    PHIAL_TRY(check_output(*runtime.files, checkpoint, output,
                           given.imatrix == nullptr ? "" : given.imatrix));
    PHIAL_ASSIGN(auto model, open_model(std::make_shared<const Checkpoint>(std::move(checkpoint))));
    PHIAL_ASSIGN(const ConvertPlan plan, plan_conversion(*runtime.files, std::move(model), chosen));
    const auto bytes =
        static_cast<int64_t>(std::min<uint64_t>(plan.anonymous_bytes, uint64_t{INT64_MAX}));
    PHIAL_ASSIGN(const MemoryLease lease,
                 take_memory(runtime.memory, bytes, "buffers for converting", "allow more memory"));
    if (given.dry_run != 0) {
      PHIAL_TRY(try_output(*runtime.files, plan.format, output));
      *json = text_buffer(to_text(plan_report(plan)));
      return {};
    }
    OnConverted on_converted;
    if (given.on_progress != nullptr) {
      on_converted = [&given](int64_t done, int64_t total) {
        return given.on_progress(given.user, done, total) == 0;
      };
    }
    PHIAL_ASSIGN(const ConvertResult result,
                 run_conversion(runtime, plan, output, on_converted, nullptr));
    *json = text_buffer(to_text(quantization_report(plan, result)));
    return {};
  });
}

phial_error* phial_schemes_json(phial_buffer** json) {
  static constexpr char kFunction[] = "phial_schemes_json";
  return guarded(kFunction, [&]() -> Status {
    PHIAL_TRY(require(json, kFunction, "json"));
    Json::Array schemes;
    for (const TargetFormat format : kTargetFormats) {
      for (const Scheme& scheme : scheme_table()) {
        if (!has_scheme(format, scheme)) continue;
        Json row;
        row.set("format", format_name(format));
        row.set("name", scheme.name);
        row.set("summary", scheme.summary);
        schemes.push_back(std::move(row));
      }
    }
    *json = text_buffer(to_text(Json(std::move(schemes))));
    return {};
  });
}

#include "evaluation.h"

#include <fmt/format.h>

#include <algorithm>

#include "input.h"
#include "output_file.h"
#include "scoring.h"

namespace phial_cli {
namespace {

Json quality_of(const std::string& text, const std::string& name, const phial::Context& context,
                const CommonOptions& common, const std::string& source, const std::string& output) {
  const NumericsOptions exact(NumericsOptions::Purpose::measurements);
  const phial::Model a = load_model(context, common, source, exact.model_options());
  const phial::Model b = load_model(context, common, output, exact.model_options());
  const ModelPair models{a, b, source, output};
  phial_compare_options options = PHIAL_COMPARE_OPTIONS_INIT;
  options.continuations = 0;
  return compare_models(models, shared_ids(models, text, name), name, options, common);
}

Json read_earlier_run(const std::string& file) {
  Json earlier = parse_json(read_input(file), input_name(file), "a report of --json");
  if (!earlier.is_object()) {
    throw phial::Error("invalid_input", input_name(file), "no JSON object",
                       "expected what --json printed of an earlier run");
  }
  if (!earlier.contains("name")) {
    const size_t folder = file.rfind('/') + 1;  // 0 without one
    earlier["name"] = file.substr(folder, file.rfind(".json") - folder);
  }
  return earlier;
}

OutputFile open_plot(const EvaluationFlags& flags, const std::string& source,
                     const std::string& output) {
  std::vector<std::string> inputs{source, output};
  inputs.insert(inputs.end(), flags.earlier_runs.begin(), flags.earlier_runs.end());
  return OutputFile(*flags.plot_file, inputs);
}

}  // namespace

void EvaluationFlags::declare(CommandLine& line) {
  line.text("--eval", "FILE", text_file,
            "a text on which the output is then compared with the source: perplexity, KL, "
            "agreement; - for stdin");
  line.text("--plot", "OUT.svg", plot_file,
            "draw the error of each layer and, with --eval, size against quality");
  line.texts("--plot-with", "REPORT.json", earlier_runs,
             "what --json --eval printed of an earlier run, for the plot (repeatable)");
}

void EvaluationFlags::check(bool dry_run) const {
  if (dry_run && (text_file || plot_file)) {
    fail_usage(text_file ? "--eval" : "--plot", "a dry run makes nothing to look at");
  }
  if (!earlier_runs.empty() && !plot_file) fail_usage("--plot-with", "goes with --plot");
}

EvaluationInputs read_evaluation(const EvaluationFlags& flags, const std::string& source,
                                 const std::string& output) {
  EvaluationInputs inputs;
  if (flags.text_file) inputs.text = read_text_input(*flags.text_file);
  for (const std::string& file : flags.earlier_runs) {
    inputs.earlier_runs.push_back(read_earlier_run(file));
  }
  // Tried and dropped again, but for a folder that is still to come.
  if (flags.plot_file && !flags.plot_file->starts_with(output + "/")) {
    open_plot(flags, source, output);
  }
  return inputs;
}

void evaluate(const EvaluationFlags& flags, const EvaluationInputs& inputs,
              const phial::Context& context, const CommonOptions& common, const std::string& source,
              const std::string& output, Json& report) {
  if (flags.text_file) {
    report["quality"] =
        quality_of(inputs.text, input_name(*flags.text_file), context, common, source, output);
  }
  if (!flags.plot_file) return;
  const std::string svg = naming({{"report", "--plot-with"}}, [&] {
    Json runs = Json::array({report});
    runs.insert(runs.end(), inputs.earlier_runs.begin(), inputs.earlier_runs.end());
    return phial::quantization_svg(runs.dump());
  });
  OutputFile out = open_plot(flags, source, output);
  out.append(svg);
  out.commit();
}

std::string evaluation_text(const Json& report) {
  std::string text;
  constexpr size_t kWorst = 3;
  for (size_t i = 0; i < std::min(kWorst, report["worst"].size()); ++i) {
    const std::string name = report["worst"][i].get<std::string>();
    const auto tensor =
        std::find_if(report["tensors"].begin(), report["tensors"].end(),
                     [&name](const Json& candidate) { return candidate["name"] == name; });
    if (tensor == report["tensors"].end()) continue;
    text += fmt::format("{:<12} {:.3f} % in {}\n", i == 0 ? "worst" : "",
                        100 * (*tensor)["relative_error"].get<double>(), printable(name));
  }
  if (report.contains("quality")) {
    text += divergence_text(report["quality"], "the source", "the output");
  }
  return text;
}

}  // namespace phial_cli

// What a quantization cost: measured on a text, told and drawn. For the commands that quantize.
#pragma once

#include <optional>
#include <phial/phial.hpp>
#include <string>
#include <vector>

#include "command_line.h"
#include "commands.h"
#include "output.h"

namespace phial_cli {

struct EvaluationFlags {
  std::optional<std::string> text_file;   // --eval
  std::optional<std::string> plot_file;   // --plot
  std::vector<std::string> earlier_runs;  // --plot-with

  // To be called below the command's own heading.
  void declare(CommandLine& line);
  // Throws a usage error for what makes no sense, also together with --dry-run.
  void check(bool dry_run) const;
};

// What the flags name, read before the run that may take long.
struct EvaluationInputs {
  std::string text;                   // of --eval
  Json earlier_runs = Json::array();  // of --plot-with, each under the name of its file
};
// Throws phial::Error for what cannot be read, and when --plot could not write its file or would
// replace an input.
EvaluationInputs read_evaluation(const EvaluationFlags& flags, const std::string& source,
                                 const std::string& output);

// Behind a run that made `output` of `source` and said `report`: adds to it, as "quality", what
// phial_compare_json says of the two on the text of --eval; writes the plot. Throws phial::Error.
void evaluate(const EvaluationFlags& flags, const EvaluationInputs& inputs,
              const phial::Context& context, const CommonOptions& common, const std::string& source,
              const std::string& output, Json& report);

// The worst tensors and the quality, where the report has them, a line each.
std::string evaluation_text(const Json& report);

}  // namespace phial_cli

// phial perplexity: how surprised a model is by a text.
#include <fmt/format.h>

#include "commands.h"
#include "input.h"
#include "interrupt.h"
#include "output.h"
#include "progress.h"
#include "scoring.h"

namespace phial_cli {
namespace {

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  std::optional<std::string> model_path, text_file;
  WindowFlags windows;
  NumericsOptions numerics(NumericsOptions::Purpose::measurements);
  parser.positional("MODEL", true, model_path);
  parser.heading("Perplexity");
  parser.text("--text", "FILE", text_file, "the text, as it is; - for stdin");
  windows.declare(parser);
  numerics.declare_numerics(parser);
  common.declare(parser);
  parser.remark(fmt::format(
      "{} nll is the mean over the scored tokens, in nats; perplexity is its exponential.",
      kWindowsRemark));
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (!text_file) fail_usage("perplexity", "--text FILE is missing");
  windows.check();
  const std::string text = read_text_input(*text_file);

  const phial::Context context = make_context(common, Work::compute);
  const phial::Model model = load_model(context, common, *model_path, numerics.model_options());
  const std::vector<int32_t> ids = model.tokenize(text, true);
  phial::Sequence sequence = make_sequence(
      model, choose_context(common, model, windows.context, WindowFlags::kMostTokens));
  const InterruptScope interruptible(sequence);
  Progress progress("scoring", "tokens", !common.quiet);
  const Json report = Json::parse(naming(
      {{"perplexity", input_name(*text_file)}, {"phial_perplexity_json", "perplexity"}}, [&] {
        return sequence.perplexity_json(
            ids, windows.context.value_or(0), windows.stride.value_or(0),
            [&progress](int64_t done, int64_t total) {
              progress.update(static_cast<double>(done), static_cast<double>(total));
              return true;
            });
      }));
  progress.clear();
  if (common.json) {
    write_json(report);
    return 0;
  }
  write_stdout(fmt::format(
      "perplexity  {:.4f}\n"
      "nll         {:.6f}\n"
      "tokens      {}\n"
      "windows     {} of {} tokens, {} apart\n",
      report["perplexity"].get<double>(), report["nll"].get<double>(),
      grouped(report["tokens"].get<int64_t>()), grouped(report["windows"].get<int64_t>()),
      grouped(report["context"].get<int64_t>()), grouped(report["stride"].get<int64_t>())));
  return 0;
}

}  // namespace

const Command kPerplexityCommand = {
    "perplexity", "how surprised a model is by a text", "MODEL --text FILE [options]",
    "  phial perplexity smollm2.gguf --text book.txt\n"
    "  phial perplexity smollm2.gguf --text book.txt --context 1024 --stride 512\n"
    "  phial perplexity --json smollm2.gguf --text - < book.txt | jq .perplexity\n",
    run};

}  // namespace phial_cli

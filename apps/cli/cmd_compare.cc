// phial compare: how far one model is from another on a text.
#include <fmt/format.h>

#include "commands.h"
#include "input.h"
#include "output.h"
#include "scoring.h"

namespace phial_cli {
namespace {

struct CompareFlags {
  CommonOptions common;
  NumericsOptions both{NumericsOptions::Purpose::measurements};
  NumericsOptions of_b{NumericsOptions::Purpose::measurements};
  WindowFlags windows;
  std::optional<std::string> a, b, text_file, ids_file;
  std::optional<int64_t> continuations, new_tokens;

  void declare(CommandLine& line) {
    line.positional("A", true, a);
    line.positional("B", true, b);
    line.heading("Comparison");
    line.text("--text", "FILE", text_file, "the text, as it is; - for stdin");
    line.text("--ids", "FILE", ids_file, "a JSON array of token ids instead; - for stdin");
    windows.declare(line);
    line.integer("--continuations", "N", continuations, 0, 1024,
                 "greedy continuations, from prompts spread over the text (default: 4)");
    line.integer("--new-tokens", "N", new_tokens, 1, INT64_MAX,
                 "tokens of a continuation, at most (default: 32)");
    both.declare_numerics(line);
    of_b.declare_numerics(line, "-b", " of B", "as A");
    common.declare(line);
    line.remark(
        fmt::format("{} KL is that of B's distribution against A's, in nats, in double over the "
                    "ids that both models have; p99 is its 99th percentile over the tokens. A "
                    "token is decided where A's best two logits are more than 0.25 apart. The same "
                    "file twice with other numerics tells what those cost.",
                    kWindowsRemark));
  }

  phial_model_options options_b() const {
    phial_model_options options = PHIAL_MODEL_OPTIONS_INIT;
    options.compute = (of_b.compute ? of_b : both).model_options().compute;
    options.kv = (of_b.kv ? of_b : both).model_options().kv;
    return options;
  }
};

std::string continuations_text(const Json& report) {
  const Json& continuations = report["continuations"];
  if (continuations.empty()) return {};
  int64_t equal = 0;
  for (const Json& continuation : continuations) equal += !continuation.contains("a");
  std::string text = fmt::format("continuations  {} of {} equal\n", equal, continuations.size());
  if (!report.contains("first_difference")) return text;
  const Json& first = report["first_difference"];
  const auto said = [&first](const char* key) {
    const std::string id = std::to_string(first[key].get<int64_t>());
    const std::string text_key = fmt::format("text_{}", key);
    if (!first.contains(text_key)) return id;
    return fmt::format("{} ('{}')", id, printable(first[text_key].get<std::string>()));
  };
  text += fmt::format("first differs  after {} tokens: {} for A, {} for B, {:.4f} apart in A\n",
                      grouped(first["equal_tokens"].get<int64_t>()), said("a"), said("b"),
                      first["gap"].get<double>());
  return text;
}

std::string report_text(const Json& report) {
  const auto count = [&report](const char* key) { return grouped(report[key].get<int64_t>()); };
  return divergence_text(report, "A", "B") +
         fmt::format(
             "tokens         {}\n"
             "windows        {} of {} tokens, {} apart\n",
             count("tokens"), count("windows"), count("context"), count("stride")) +
         continuations_text(report);
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CompareFlags flags;
  flags.declare(parser);
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (flags.text_file.has_value() == flags.ids_file.has_value()) {
    fail_usage("compare", flags.text_file ? "both --text and --ids are given"
                                          : "--text FILE or --ids FILE is missing");
  }
  flags.windows.check();
  std::vector<int32_t> ids;
  std::string text;
  const std::string source = input_name(flags.ids_file ? *flags.ids_file : *flags.text_file);
  if (flags.ids_file) {
    ids = parse_ids(read_input(*flags.ids_file), source);
  } else {
    text = read_text_input(*flags.text_file);
  }

  const CommonOptions& common = flags.common;
  const phial::Context context = make_context(common, Work::compute);
  const phial::Model a = load_model(context, common, *flags.a, flags.both.model_options());
  const phial::Model b = load_model(context, common, *flags.b, flags.options_b());
  const ModelPair models{a, b, *flags.a, *flags.b};
  if (!flags.ids_file) ids = shared_ids(models, text, source);
  phial_compare_options options = PHIAL_COMPARE_OPTIONS_INIT;
  options.context = flags.windows.context.value_or(0);
  options.stride = flags.windows.stride.value_or(0);
  options.continuations = flags.continuations.value_or(options.continuations);
  options.new_tokens = flags.new_tokens.value_or(options.new_tokens);
  const Json report = compare_models(models, ids, source, options, common);
  if (common.json) {
    write_json(report);
  } else {
    write_stdout(report_text(report));
  }
  return 0;
}

}  // namespace

const Command kCompareCommand = {
    "compare", "how far one model is from another on a text", "A B --text FILE [options]",
    "  phial compare smollm2-f32.gguf smollm2-q4_0.gguf --text book.txt\n"
    "  phial compare smollm2.gguf smollm2.gguf --compute-b int8 --text book.txt --continuations 0\n"
    "  phial compare --json folder model.gguf --ids ids.json | jq .kl_mean\n",
    run};

}  // namespace phial_cli

// phial compare: how far one model is from another on a text.
#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "input.h"
#include "interrupt.h"
#include "output.h"
#include "progress.h"
#include "scoring.h"

namespace phial_cli {
namespace {

struct CompareFlags {
  CommonOptions common;
  NumericsOptions both, of_b;
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
    of_b.declare_numerics(line, "-b", " of B (default: as A)");
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

// The ids that both tokenizers make of the text. Other ids would be another text for B.
std::vector<int32_t> ids_of_text(const CompareFlags& flags, const phial::Model& a,
                                 const phial::Model& b) {
  const std::string text = read_input(*flags.text_file);
  phial::check_text(text, input_name(*flags.text_file));
  std::vector<int32_t> ids = a.tokenize(text, true);
  const std::vector<int32_t> ids_b = b.tokenize(text, true);
  if (ids == ids_b) return ids;
  const auto at = static_cast<size_t>(
      std::mismatch(ids.begin(), ids.end(), ids_b.begin(), ids_b.end()).first - ids.begin());
  const auto token = [at](const phial::Model& model, const std::vector<int32_t>& of) {
    return at < of.size() ? fmt::format("{} ('{}')", of[at], printable(model.piece(of[at])))
                          : std::string("its end");
  };
  throw phial::Error(
      "invalid_input", input_name(*flags.text_file),
      fmt::format("the tokenizers differ: token {} is {} for {} and {} for {}", at, token(a, ids),
                  printable(*flags.a), token(b, ids_b), printable(*flags.b)),
      "only models that share a tokenizer can be compared; --ids gives ids instead");
}

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
  const auto number = [&report](const char* key) { return report[key].get<double>(); };
  const auto count = [&report](const char* key) { return grouped(report[key].get<int64_t>()); };
  return fmt::format(
             "perplexity     {:.4f} for A, {:.4f} for B (x {:.4f})\n"
             "KL             mean {:.6f}, median {:.6f}, p99 {:.6f}, max {:.6f} at token {}\n"
             "top token      {:.2f} % equal; {:.2f} % of {} decided ones\n"
             "tokens         {}\n"
             "windows        {} of {} tokens, {} apart\n",
             number("ppl_a"), number("ppl_b"), number("ppl_b") / number("ppl_a"), number("kl_mean"),
             number("kl_median"), number("kl_p99"), number("kl_max"), count("kl_max_at"),
             100 * number("top1_agreement"), 100 * number("decided_agreement"),
             count("decided_tokens"), count("tokens"), count("windows"), count("context"),
             count("stride")) +
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
  if (flags.ids_file) ids = parse_ids(read_input(*flags.ids_file), input_name(*flags.ids_file));

  const CommonOptions& common = flags.common;
  const phial::Context context = make_context(common, Work::compute);
  const phial::Model a = load_model(context, common, *flags.a, flags.both.model_options());
  const phial::Model b = load_model(context, common, *flags.b, flags.options_b());
  if (!flags.ids_file) ids = ids_of_text(flags, a, b);

  phial::Sequence sequence_a(a), sequence_b(b);
  const InterruptScope interruptible(sequence_a);
  phial_compare_options options = PHIAL_COMPARE_OPTIONS_INIT;
  options.context = flags.windows.context.value_or(0);
  options.stride = flags.windows.stride.value_or(0);
  options.continuations = flags.continuations.value_or(options.continuations);
  options.new_tokens = flags.new_tokens.value_or(options.new_tokens);
  Progress progress("comparing", "tokens", !common.quiet);
  const std::string source = input_name(flags.ids_file ? *flags.ids_file : *flags.text_file);
  const Json report =
      Json::parse(naming({{"compare", source}, {"phial_compare_json", "compare"}}, [&] {
        return sequence_a.compare_json(
            sequence_b, ids, options, [&progress](int64_t done, int64_t total) {
              progress.update(static_cast<double>(done), static_cast<double>(total));
              return true;
            });
      }));
  progress.clear();
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

// phial bench: how fast phial is on this machine, beside what the machine can do.
#include <fmt/format.h>

#include "commands.h"
#include "input.h"
#include "output.h"

namespace phial_cli {
namespace {

std::string row_text(const Json& row) {
  const std::string line = fmt::format("{:<34} {:>10.1f} {:<6}", row["name"].get<std::string>(),
                                       row["value"].get<double>(), row["unit"].get<std::string>());
  const Json& percent = row["percent_of_probe"];
  return percent.is_null() ? line + '\n'
                           : line + fmt::format(" {:>6.2f} %\n", percent.get<double>());
}

std::string table(const Json& report) {
  const Json& text = report["text"];
  std::string out = fmt::format(
      "machine  {}\n"
      "text     {}, {} in {} tokens\n"
      "probe    copy and count characters: {:.0f} MB/s\n\n",
      printable(report["machine"]["cpu"]["brand"].get<std::string>()),
      text["source"].get<std::string>(), human_bytes(text["bytes"].get<double>()),
      text["tokens"].get<uint64_t>(), report["probes"]["text_scan_mbps"].get<double>());
  for (const Json& row : report["rows"]) out += row_text(row);
  return out;
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  constexpr int64_t kDefaultRounds = 5;
  constexpr int64_t kMaxRounds = 1000;
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  std::optional<std::string> model_path;
  std::optional<std::string> text_path;
  std::optional<int64_t> rounds;
  bool tokenizer = false;
  parser.positional("MODEL", false, model_path);
  parser.heading("What is measured");
  parser.flag("--tokenizer", tokenizer, "encoding and decoding of text, on one thread");
  parser.heading("How");
  parser.text("--text", "FILE", text_path, "the text to encode (default: 4 MB of made-up English)");
  parser.integer("--rounds", "N", rounds, 1, kMaxRounds,
                 "rounds whose median counts, 1..1000 (default: 5)");
  parser.planned({"--synthetic", "--prompt", "--depth"});
  common.declare(parser);
  parser.remark(
      "Rates are in millions of bytes per second of processor time. The percentage is that of a "
      "probe taken in the same run: the text copied and its characters counted. --tokenizer needs "
      "no weights.");
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (!tokenizer) {
    fail_usage("bench", "says not what to measure", "available: --tokenizer");
  }
  if (!model_path)
    fail_usage("--tokenizer", "MODEL is missing", "any file with a tokenizer will do");
  const std::string text = text_path ? read_input(*text_path) : std::string();
  if (text_path && text.empty()) fail_usage("--text", "the file is empty");
  if (text_path) phial::check_text(text, input_name(*text_path));
  const phial::Context context = make_context(common, Work::text);
  const phial::Model model(context, *model_path, PHIAL_LOAD_TEXT);
  const Json report = Json::parse(model.bench_tokenizer_json(
      context, text, static_cast<int32_t>(rounds.value_or(kDefaultRounds))));
  if (common.json) {
    write_json(report);
    return 0;
  }
  write_stdout(table(report));
  return 0;
}

}  // namespace

const Command kBenchCommand = {"bench", "how fast phial is on this machine",
                               "[MODEL] --tokenizer [options]",
                               "  phial bench --tokenizer smollm2.gguf\n"
                               "  phial bench --tokenizer tokenizer.json --text book.txt --json\n",
                               run};

}  // namespace phial_cli

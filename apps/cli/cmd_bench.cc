// phial bench: how fast phial is on this machine, beside what the machine can do.
#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "input.h"
#include "output.h"
#include "progress.h"

namespace phial_cli {
namespace {

constexpr int64_t kDefaultRounds = 5;

std::string machine_text(const Json& report) {
  return fmt::format("machine  {}\n",
                     printable(report["machine"]["cpu"]["brand"].get<std::string>()));
}

// ---- The tokenizer ------------------------------------------------------------------------------

std::string tokenizer_table(const Json& report) {
  const Json& text = report["text"];
  std::string out = machine_text(report);
  out += fmt::format(
      "text     {}, {} in {} tokens\n"
      "probe    copy and count characters: {:.0f} MB/s\n\n",
      text["source"].get<std::string>(), human_bytes(text["bytes"].get<double>()),
      text["tokens"].get<uint64_t>(), report["probes"]["text_scan_mbps"].get<double>());
  for (const Json& row : report["rows"]) {
    out += fmt::format("{:<34} {:>10.1f} {:<6}", row["name"].get<std::string>(),
                       row["value"].get<double>(), row["unit"].get<std::string>());
    const Json& percent = row["percent_of_probe"];
    out += percent.is_null() ? "\n" : fmt::format(" {:>6.2f} %\n", percent.get<double>());
  }
  return out;
}

Json bench_tokenizer(const CommonOptions& common, const std::string& model_path,
                     const std::optional<std::string>& text_path, int64_t rounds) {
  const std::string text = text_path ? read_input(*text_path) : std::string();
  if (text_path && text.empty()) fail_usage("--text", "the file is empty");
  if (text_path) phial::check_text(text, input_name(*text_path));
  const phial::Context context = make_context(common, Work::text);
  const phial::Model model(context, model_path, PHIAL_LOAD_TEXT);
  return Json::parse(model.bench_tokenizer_json(context, text, static_cast<int32_t>(rounds)));
}

// ---- A model ------------------------------------------------------------------------------------

std::string number_text(double value, const std::string& unit) {
  if (unit == "bytes") return human_bytes(value);
  if (unit == "ratio") return fmt::format("{:.3f}", value);
  return fmt::format("{:.{}f} {}", value, value < 10 ? 2 : value < 1000 ? 1 : 0, unit);
}

std::string probe_text(const Json& probes, const char* name, const char* unit) {
  if (!probes.contains(name)) return "";
  std::string method = name;
  method.replace(method.rfind('_'), std::string::npos, "_method");
  return fmt::format("  {:<16} {:>8.1f} {:<7}{}\n", name, probes[name].get<double>(), unit,
                     probes.contains(method) ? probes[method].get<std::string>() : "");
}

std::string model_table(const Json& report) {
  const Json& settings = report["settings"];
  const Json& model = report["model"];
  const Json& probes = report["probes"];
  std::string out = machine_text(report);
  out += fmt::format(
      "         {} threads, {}, compute {}, kv {}\n"
      "model    {}, {} layers, {}, {} of weights a token\n"
      "probes\n",
      settings["threads"].get<int64_t>(), settings["isa"].get<std::string>(),
      settings["compute"].get<std::string>(), settings["kv"].get<std::string>(),
      printable(model["name"].get<std::string>()), model["layers"].get<int64_t>(),
      model["grid"].get<std::string>(), human_bytes(model["weight_bytes_per_token"].get<double>()));
  out += probe_text(probes, "dram_gbps", "GB/s");
  out += probe_text(probes, "int8_gops", "GOPS");
  out += probe_text(probes, "int8_wide_gops", "GOPS");
  out += probe_text(probes, "fma_gflops", "GFLOPS");
  out += probe_text(probes, "bf16_gflops", "GFLOPS");
  out += fmt::format("\n{:<22} {:>14} {:>14} {:>14} {:>8}  {:<10} {}\n", "", "median", "p10", "p90",
                     "samples", "share", "of");
  for (const Json& row : report["rows"]) {
    const std::string unit = row["unit"].get<std::string>();
    out += fmt::format("{:<22} {:>14} {:>14} {:>14} {:>8}", row["name"].get<std::string>(),
                       number_text(row["value"].get<double>(), unit),
                       number_text(row["p10"].get<double>(), unit),
                       number_text(row["p90"].get<double>(), unit), row["samples"].get<uint64_t>());
    const Json& percent = row["percent_of_probe"];
    out += percent.is_null() ? "\n"
                             : fmt::format("  {:>5.1f} %    {}\n", percent.get<double>(),
                                           row["probe"].get<std::string>());
  }
  return out;
}

// "128,512"; "none" for an empty list.
std::optional<std::vector<int64_t>> parse_list(const std::string& option,
                                               const std::optional<std::string>& text, int64_t min,
                                               int64_t max) {
  if (!text) return std::nullopt;
  if (*text == "none") return std::vector<int64_t>();
  return parse_integer_list(option, *text, min, max);
}

void set_list(const std::optional<std::vector<int64_t>>& list, const int64_t*& values,
              size_t& count) {
  static constexpr int64_t kNone = 0;
  if (!list) return;
  values = list->empty() ? &kNone : list->data();
  count = list->size();
}

// "prefill_512=80,decode_depth_0=90" as the JSON that a file would hold; a file is read.
std::string floors_json(const std::string& argument) {
  if (argument.find('=') == std::string::npos) return read_input(argument);
  Json floors = Json::object();
  for (size_t at = 0; at <= argument.size();) {
    const size_t end = std::min(argument.find(',', at), argument.size());
    const std::string part = argument.substr(at, end - at);
    const size_t equals = part.find('=');
    const std::string number = equals == std::string::npos ? "" : part.substr(equals + 1);
    char* rest = nullptr;
    const double floor = std::strtod(number.c_str(), &rest);
    if (equals == 0 || number.empty() || *rest != '\0' || !(floor >= 0 && floor <= 1000)) {
      fail_usage("--floors",
                 fmt::format("expected NAME=PERCENT, got '{}'", printable(part.substr(0, 60))));
    }
    floors[part.substr(0, equals)] = floor;
    at = end + 1;
  }
  Json set = {{"floors", std::move(floors)}, {"required", true}};
  return Json{{"sets", Json::array({std::move(set)})}}.dump();
}

struct ModelOptions {
  std::optional<std::string> synthetic, prompts, depths, batches, floors;
  std::optional<int64_t> layers;
  EngineOptions engine;

  void declare(CommandLine& line) {
    line.text("--synthetic", "SHAPE:GRID", synthetic,
              "instead of MODEL: random weights in the sizes of a published model, such as "
              "phi-3-mini:q4_0");
    line.integer("--layers", "N", layers, 1, 1024,
                 "of --synthetic: its first N layers (default: all)");
    line.text("--prompt", "LIST", prompts,
              "tokens of prompts to read (default: 128,512,2048,4096); none: no prompts");
    line.text("--depth", "LIST", depths,
              "positions at which to make tokens (default: 0,1024,4096); none: nowhere");
    line.text("--batch", "LIST", batches,
              "tokens of one pass, each 2..16 (default: all of them); none: no passes");
    engine.declare_numerics(line);
    line.text("--floors", "FILE|LIST", floors,
              "least shares in percent, a JSON file or NAME=PERCENT,...: exit code 1 below one");
  }
  // An option that only a model's benchmark takes; null when none is given.
  const char* given() const {
    return synthetic ? "--synthetic"
           : layers  ? "--layers"
           : prompts ? "--prompt"
           : depths  ? "--depth"
           : batches ? "--batch"
           : floors  ? "--floors"
                     : engine.given_numerics();
  }
};

Json bench_model(const CommonOptions& common, const std::optional<std::string>& model_path,
                 const ModelOptions& given, int64_t rounds) {
  constexpr int64_t kMaxTokens = int64_t{1} << 30;
  const auto prompts = parse_list("--prompt", given.prompts, 1, kMaxTokens);
  const auto depths = parse_list("--depth", given.depths, 0, kMaxTokens);
  const auto batches = parse_list("--batch", given.batches, 2, 16);
  const std::string floors = given.floors ? floors_json(*given.floors) : std::string();
  const phial_model_options numerics = given.engine.model_options();
  phial_bench_options options = PHIAL_BENCH_OPTIONS_INIT;
  options.rounds = static_cast<int32_t>(rounds);
  options.path = model_path ? model_path->c_str() : nullptr;
  options.synthetic = given.synthetic ? given.synthetic->c_str() : nullptr;
  options.layers = given.layers.value_or(0);
  options.compute = numerics.compute;
  options.kv = numerics.kv;
  set_list(prompts, options.prompts, options.prompt_count);
  set_list(depths, options.depths, options.depth_count);
  set_list(batches, options.batches, options.batch_count);
  if (given.floors) {
    options.floors_json = floors.data();
    options.floors_bytes = floors.size();
  }
  Progress progress("measuring", "samples", !common.quiet);
  options.user = &progress;
  options.on_progress = [](void* user, const char* what, int64_t done, int64_t total) {
    auto& line = *static_cast<Progress*>(user);
    line.rename(what);
    line.update(static_cast<double>(done), static_cast<double>(total));
    return 0;
  };
  const phial::Context context = make_context(common, Work::compute);
  return Json::parse(naming({{"synthetic", "--synthetic"},
                             {"layers", "--layers"},
                             {"prompt", "--prompt"},
                             {"depth", "--depth"},
                             {"batch", "--batch"},
                             {"floors", "--floors"}},
                            [&] { return phial::bench_model_json(context, options); }));
}

// Says which floors the report is below; returns the exit code.
int check_floors(const Json& report) {
  std::string below;
  if (report.contains("floors")) {
    for (const Json& floor : report["floors"]) {
      if (floor["holds"].get<bool>()) continue;
      below += fmt::format("{}{} {:.1f} % (floor {:.1f} %)", below.empty() ? "" : ", ",
                           floor["name"].get<std::string>(),
                           floor["percent_of_probe"].get<double>(), floor["floor"].get<double>());
    }
  }
  if (below.empty()) return 0;
  write_stderr("below the floor: " + below);
  return 1;
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  constexpr int64_t kMaxRounds = 1000;
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  ModelOptions of_model;
  std::optional<std::string> model_path, text_path;
  std::optional<int64_t> rounds;
  bool tokenizer = false;
  parser.positional("MODEL", false, model_path);
  parser.heading("A model");
  of_model.declare(parser);
  parser.heading("Its tokenizer alone");
  parser.flag("--tokenizer", tokenizer, "encoding and decoding of text, on one thread");
  parser.text("--text", "FILE", text_path, "the text to encode (default: 4 MB of made-up English)");
  parser.heading("How");
  parser.integer(
      "--rounds", "N", rounds, 1, kMaxRounds,
      "rounds whose median counts, 1..1000 (default: 5); of a model, what takes long has "
      "fewer");
  common.declare(parser);
  parser.remark(
      "Every sample of a model comes behind a probe of memory or arithmetic, and its share is that "
      "of what the probe allows: prefill_N of the arithmetic peak, decode_depth_N of the memory's "
      "bandwidth, pass_N_over_1 of whichever is less. docs/performance.md has the formulas.");
  parser.remark(
      "--tokenizer: rates are in millions of bytes per second of processor time, shares those of a "
      "probe that copies the text and counts its characters; it needs no weights.");
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (tokenizer && of_model.given() != nullptr) {
    fail_usage(of_model.given(), "does not go with --tokenizer");
  }
  if (!tokenizer && text_path) fail_usage("--text", "goes with --tokenizer");
  if (model_path.has_value() == of_model.synthetic.has_value()) {
    fail_usage("bench", model_path ? "takes either MODEL or --synthetic" : "MODEL is missing",
               model_path ? "" : "or --synthetic SHAPE:GRID for random weights");
  }
  if (of_model.layers && !of_model.synthetic) fail_usage("--layers", "goes with --synthetic");
  const int64_t wanted = rounds.value_or(kDefaultRounds);
  const Json report = tokenizer ? bench_tokenizer(common, *model_path, text_path, wanted)
                                : bench_model(common, model_path, of_model, wanted);
  if (common.json) {
    write_json(report);
  } else {
    write_stdout(tokenizer ? tokenizer_table(report) : model_table(report));
  }
  return check_floors(report);
}

}  // namespace

const Command kBenchCommand = {"bench", "how fast phial is on this machine",
                               "MODEL|--synthetic SHAPE:GRID [options]",
                               "  phial bench smollm2.gguf\n"
                               "  phial bench --synthetic phi-3-mini:q4_0 --layers 8 --json\n"
                               "  phial bench --tokenizer tokenizer.json --text book.txt\n",
                               run};

}  // namespace phial_cli

// phial quantize and phial convert: a model into another format or grid; and the two under the
// command lines that people know from llama.cpp and mlx-lm.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "commands.h"
#include "evaluation.h"
#include "interrupt.h"
#include "output.h"
#include "progress.h"

namespace phial_cli {
namespace {

// What one of the commands came to.
struct Order {
  std::string source, output, format, scheme, effort;
  std::string target_option = "--to";    // what says format and scheme
  std::string rule_option = "--tensor";  // what says the grid of a tensor
  std::optional<std::string> imatrix;
  std::optional<std::string> pre_tokenizer;
  std::vector<std::pair<std::string, std::string>> rules;  // pattern, grid
  std::optional<float> bits_per_weight;
  bool pure = false;
  bool dry_run = false;
  EvaluationFlags evaluation;
};

// The formats that have the scheme.
std::vector<std::string> formats_of(const std::string& scheme) {
  std::vector<std::string> formats;
  for (const Json& known : Json::parse(phial::schemes_json())) {
    if (known["name"] == scheme) formats.push_back(known["format"].get<std::string>());
  }
  return formats;
}

// "gguf:q4_k_m" as format and scheme.
void read_target(const std::string& target, Order& order) {
  const size_t colon = target.find(':');
  order.format = target.substr(0, colon);
  if (colon != std::string::npos) {
    order.scheme = target.substr(colon + 1);
    if (order.scheme.empty()) fail_usage("--to", "the scheme after the colon is missing");
    return;
  }
  const std::vector<std::string> formats = formats_of(target);
  if (formats.empty()) return;
  if (order.output.ends_with(".gguf") && formats[0] == "gguf") {
    order.format = "gguf";
    order.scheme = target;
    return;
  }
  std::vector<std::string> whole;
  for (const std::string& format : formats) whole.push_back(format + ":" + target);
  fail_usage("--to", fmt::format("'{}' is a scheme; its format is missing", target),
             fmt::format("--to {}", fmt::join(whole, " or ")));
}

std::pair<std::string, std::string> read_rule(const std::string& option, const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    fail_usage(option, fmt::format("expected PATTERN=GRID; got '{}'", text));
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string tensors_text(const Json& tensors) {
  std::string out =
      fmt::format("{:<10} {:<10} {:>14}  {:<16} {}\n", "from", "to", "bytes", "shape", "tensor");
  for (const Json& tensor : tensors) {
    out += fmt::format(
        "{:<10} {:<10} {:>14}  {:<16} {}\n", tensor["source_grid"].get<std::string>(),
        tensor["grid"].get<std::string>(), grouped(tensor["bytes"].get<int64_t>()),
        fmt::format("{} x {}", tensor["rows"].get<int64_t>(), tensor["columns"].get<int64_t>()),
        printable(tensor["name"].get<std::string>()));
  }
  return out;
}

std::string size_text(const char* label, double bytes, double weights) {
  return fmt::format("{:<12} {} ({:.3f} bits per weight)\n", label, human_bytes(bytes),
                     weights > 0 ? 8 * bytes / weights : 0);
}

// Bytes of the weights, without headers and what stands beside them.
double weight_bytes(const Json& report) {
  double sum = 0;
  for (const Json& tensor : report["tensors"]) sum += tensor["bytes"].get<double>();
  return sum;
}

std::string report_text(const Json& report, const Order& order) {
  const auto weights = report["weights"].get<double>();
  std::string out =
      fmt::format("output       {}\nformat       {}, scheme {}\n", printable(order.output),
                  report["format"].get<std::string>(), report["scheme"].get<std::string>()) +
      size_text("source", report["source_bytes"].get<double>(), weights) +
      size_text("weights", weight_bytes(report), weights);
  if (order.dry_run) {
    return out +
           fmt::format("memory       {}\n\n",
                       human_bytes(report["anonymous_bytes"].get<double>())) +
           tensors_text(report["tensors"]);
  }
  const std::string error = report["exact"].get<bool>()
                                ? "0 (all codes and values exact)"
                                : fmt::format("{:.3f} % of the weights' size",
                                              100 * report["relative_error"].get<double>());
  return out + fmt::format(
                   "size         {} with what stands beside them\n"
                   "error        {}\n"
                   "time         {:.1f} s, {} of memory\n",
                   human_bytes(report["bytes"].get<double>()), error,
                   report["seconds"].get<double>(),
                   human_bytes(report["peak_anonymous_bytes"].get<double>()));
}

// What the report does not say by itself.
void give_notices(const CommonOptions& common, const Order& order, const Json& report) {
  if (report.contains("imatrix")) {
    const auto known = report["imatrix"]["known"].get<int64_t>();
    const auto all = report["imatrix"]["matrices"].get<int64_t>();
    if (known < all) {
      notice(common, fmt::format("the imatrix knows {} of {} matrices; for the others the weights "
                                 "tell which columns matter",
                                 known, all));
    }
  }
  if (order.scheme.empty()) {
    notice(common, fmt::format("scheme {} is taken; --to {}:NAME takes another",
                               report["scheme"].get<std::string>(), order.format));
  }
  const double before = report["source_bytes"].get<double>(), after = weight_bytes(report);
  if (after > before) {
    notice(common, fmt::format("the output is larger than the source: {} of weights, {} before",
                               human_bytes(after), human_bytes(before)));
  }
}

int carry_out(const CommonOptions& common, const Order& order) {
  if (order.output == "-") {
    fail_usage("-o", "the output cannot be stdout", "name a file, or a folder; ./- is one, too");
  }
  std::vector<phial_tensor_rule> rules;
  for (const auto& [pattern, grid] : order.rules) rules.push_back({pattern.c_str(), grid.c_str()});
  phial_quantize_options options = PHIAL_QUANTIZE_OPTIONS_INIT;
  options.format = order.format.c_str();
  if (!order.scheme.empty()) options.scheme = order.scheme.c_str();
  if (!order.effort.empty()) options.effort = order.effort.c_str();
  if (order.imatrix) options.imatrix = order.imatrix->c_str();
  if (order.pre_tokenizer) options.pre_tokenizer = order.pre_tokenizer->c_str();
  options.rules = rules.data();
  options.rule_count = rules.size();
  options.bits_per_weight = static_cast<double>(order.bits_per_weight.value_or(0.0f));
  options.pure = order.pure ? 1 : 0;
  options.dry_run = order.dry_run ? 1 : 0;

  EvaluationInputs inputs;
  if (!order.dry_run) inputs = read_evaluation(order.evaluation, order.source, order.output);
  const phial::Context context = make_context(common, Work::compute);
  Progress progress("converting", "weights", !common.quiet);
  Json report = Json::parse(
      naming({{"format", order.target_option},
              {"scheme", order.target_option},
              {"effort", "--effort"},
              {"output", "-o"},
              {"grid", order.rule_option},
              {"tensor", order.rule_option},
              {"bits-per-weight", "--bits-per-weight"}},
             [&] {
               const InterruptFlag interrupt;
               return phial::quantize_json(
                   context, order.source, order.output, options, [&](int64_t done, int64_t total) {
                     progress.update(static_cast<double>(done), static_cast<double>(total));
                     return !interrupt.seen();
                   });
             }));
  progress.clear();
  if (!common.json) {
    give_notices(common, order, report);
    write_stdout(report_text(report, order));
  }
  if (!order.dry_run) {
    if (order.evaluation.text_file) {
      notice(common,
             fmt::format("{} is complete; what follows only measures it", printable(order.output)));
    }
    evaluate(order.evaluation, inputs, context, common, order.source, order.output, report);
  }
  if (common.json) {
    write_json(report);
  } else if (!order.dry_run) {
    write_stdout(evaluation_text(report));
  }
  return 0;
}

// The schemes by format, for the end of the help.
void remark_schemes(CommandLine& parser) {
  std::string format, names;
  const auto say = [&] {
    if (!names.empty()) parser.remark(fmt::format("Schemes of {}: {}.", format, names));
    names.clear();
  };
  for (const Json& scheme : Json::parse(phial::schemes_json())) {
    if (scheme["format"].get<std::string>() != format) say();
    format = scheme["format"].get<std::string>();
    names += (names.empty() ? "" : ", ") + scheme["name"].get<std::string>();
  }
  say();
}

struct Declared {
  std::optional<std::string> model, output, target, effort;
  std::vector<std::string> rules;
};

void declare_common(CommandLine& parser, Declared& given, Order& order) {
  parser.positional("MODEL", true, given.model);
  parser.heading("Output");
  parser.text("-o", "OUT", given.output, "a file for gguf, else a folder");
  parser.text("--to", "FORMAT[:SCHEME]", given.target,
              "gguf, mlx, safetensors or phial, and which grids (default: what OUT's name says)");
  parser.texts("--tensor", "PATTERN=GRID", given.rules,
               "the grid of tensors whose name matches; * stands for any text (repeatable)");
  parser.text("--pre-tokenizer", "NAME", order.pre_tokenizer,
              "gguf: llama.cpp's name of how text is cut into words, if phial finds none");
  parser.flag("--dry-run", order.dry_run, "write nothing; print plan, size and memory");
  order.evaluation.declare(parser);
}

void read_common(const std::string& command, const Declared& given, Order& order) {
  if (!given.output) fail_usage(command, "-o OUT is missing");
  order.source = *given.model;
  order.output = *given.output;
  if (given.target) {
    read_target(*given.target, order);
  } else if (given.output->ends_with(".gguf")) {
    order.format = "gguf";
  } else {
    fail_usage(command, "--to FORMAT is missing",
               command == kConvertCommand.name
                   ? "one of --to gguf, --to mlx, --to safetensors, --to phial"
                   : "such as --to gguf:q4_k_m or --to mlx:4");
  }
  for (const std::string& rule : given.rules) order.rules.push_back(read_rule("--tensor", rule));
  if (order.pre_tokenizer && order.format != "gguf") {
    fail_usage(command, "--pre-tokenizer goes with --to gguf");
  }
  order.evaluation.check(order.dry_run);
}

int run_quantize(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  Declared given;
  Order order;
  declare_common(parser, given, order);
  parser.heading("Quality");
  parser.choice("--effort", {{"fast", true}, {"balanced", true}, {"best", false}}, given.effort,
                "fast: round to nearest; balanced: search the best scales (default)");
  parser.flag("--pure", order.pure,
              "every matrix in the scheme's own grid: none gets more or fewer bits");
  parser.text("--imatrix", "FILE", order.imatrix,
              "which columns matter (weighs the search of balanced): a file of llama.cpp's imatrix "
              "program");
  parser.real(
      "--bits-per-weight", "X", order.bits_per_weight, [](double x) { return x > 0; }, "above 0",
      "mix the grids of the format, at most X bits in the mean");
  common.declare(parser);
  remark_schemes(parser);
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  read_common(command.name, given, order);
  order.effort = given.effort.value_or("");
  if (order.bits_per_weight && !order.scheme.empty()) {
    fail_usage("--bits-per-weight", "goes without a scheme", "leave out the part after the colon");
  }
  if (order.bits_per_weight && order.pure) fail_usage("--pure", "goes without --bits-per-weight");
  return carry_out(common, order);
}

int run_convert(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  Declared given;
  Order order;
  declare_common(parser, given, order);
  common.declare(parser);
  parser.remark(
      "Without a scheme every matrix stays as it is, or becomes the nearest that the format holds "
      "without loss.");
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  read_common(command.name, given, order);
  if (order.scheme.empty()) order.scheme = "keep";
  return carry_out(common, order);
}

// llama.cpp's numbers of types (llama_ftype of llama.h) that phial writes.
constexpr std::pair<int, const char*> kLlamaTypes[] = {
    {0, "f32"},     {1, "f16"},     {2, "q4_0"},    {3, "q4_1"},    {7, "q8_0"},
    {8, "q5_0"},    {9, "q5_1"},    {10, "q2_k"},   {11, "q3_k_s"}, {12, "q3_k_m"},
    {13, "q3_k_l"}, {14, "q4_k_s"}, {15, "q4_k_m"}, {16, "q5_k_s"}, {17, "q5_k_m"},
    {18, "q6_k"},   {25, "iq4_nl"}, {30, "iq4_xs"}, {32, "bf16"},   {38, "mxfp4"}};

// As llama.cpp spells them in either case, with its short forms and numbers.
std::string scheme_of_type(std::string type) {
  for (char& c : type) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (type == "copy") return "keep";
  if (type == "q3_k" || type == "q4_k" || type == "q5_k") return type + "_m";
  if (type == "mxfp4_moe") return "mxfp4";
  for (const auto& [number, scheme] : kLlamaTypes) {
    if (type == std::to_string(number)) return scheme;
  }
  return type;
}

bool is_llama_type(const std::string& text) {
  const std::string scheme = scheme_of_type(text);
  if (scheme == "keep") return true;
  const std::vector<std::string> formats = formats_of(scheme);
  return !formats.empty() && formats[0] == "gguf";
}

// What stands without an option: IN [OUT] TYPE [THREADS].
void read_llama_arguments(const std::string& command,
                          const std::vector<std::optional<std::string>>& given, Order& order,
                          CommonOptions& common) {
  size_t next = 0;
  order.source = *given[next++];
  std::string type = *given[next++];
  if (is_llama_type(type)) {
    std::string name = scheme_of_type(type);
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (name == "KEEP") name = "COPY";
    order.output =
        order.source.substr(0, order.source.rfind('/') + 1) + "ggml-model-" + name + ".gguf";
  } else {
    order.output = type;
    if (!given[next]) {
      fail_usage(command, fmt::format("TYPE is missing behind '{}'", order.output),
                 "such as Q4_K_M; 'phial llama-quantize --help' tells more");
    }
    type = *given[next++];
  }
  order.scheme = scheme_of_type(type);
  if (next == given.size() || !given[next]) return;
  const std::string& count = *given[next++];
  int64_t threads = 0;
  const auto read = std::from_chars(count.data(), count.data() + count.size(), threads);
  if (read.ec != std::errc() || read.ptr != count.data() + count.size() || threads < 1 ||
      threads > 1024) {
    fail_usage("THREADS", fmt::format("expected a whole number from 1 to 1024; got '{}'", count));
  }
  if (common.threads) fail_usage("--threads", "is given behind TYPE, too", "leave one out");
  if (next < given.size() && given[next]) {
    fail_usage(command, fmt::format("'{}' is one argument too many", *given[next]));
  }
  common.threads = threads;
}

int run_llama_quantize(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  std::vector<std::optional<std::string>> given(4);
  std::optional<std::string> output_type, embedding_type;
  std::vector<std::string> rules;
  bool allow_requantize = false, keep_split = false, leave_output = false;
  Order order;
  parser.positional("MODEL", true, given[0]);
  parser.positional("OUT", true, given[1]);
  parser.positional("TYPE", false, given[2]);
  parser.positional("THREADS", false, given[3]);
  parser.heading("As llama-quantize");
  parser.text("--imatrix", "FILE", order.imatrix, "a file of llama.cpp's imatrix program");
  parser.text("--output-tensor-type", "GRID", output_type,
              "the grid of output.weight, or of an embedding that is it");
  parser.text("--token-embedding-type", "GRID", embedding_type, "the grid of token_embd.weight");
  parser.texts("--tensor-type", "PATTERN=GRID", rules,
               "the grid of tensors whose name holds PATTERN (repeatable)");
  parser.flag("--pure", order.pure, "no mix: every matrix in the grid of TYPE");
  parser.flag("--allow-requantize", allow_requantize, "nothing: phial always does");
  parser.flag("--keep-split", keep_split, "");
  parser.flag("--leave-output-tensor", leave_output, "");
  parser.flag("--dry-run", order.dry_run, "write nothing; print plan, size and memory");
  common.declare(parser);
  parser.remark(
      "TYPE is a name or llama.cpp's number of it. Without OUT the output is ggml-model-TYPE.gguf "
      "beside MODEL. THREADS is --threads.");
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (keep_split) {
    throw phial::Error("unsupported", "--keep-split", "phial writes one file",
                       "llama-gguf-split --split of llama.cpp cuts it");
  }
  if (leave_output) {
    throw phial::Error("unsupported", "--leave-output-tensor",
                       "phial llama-quantize leaves no tensor as it is",
                       "--output-tensor-type f16 (or bf16, q8_0) keeps its precision");
  }
  order.format = "gguf";
  order.target_option = "TYPE";
  read_llama_arguments(command.name, given, order, common);
  std::vector<std::string> rule_options;
  if (!rules.empty()) rule_options.emplace_back("--tensor-type");
  for (const std::string& rule : rules) {
    auto [pattern, grid] = read_rule("--tensor-type", rule);
    order.rules.emplace_back("*" + pattern + "*", grid);
  }
  if (embedding_type) {
    rule_options.emplace_back("--token-embedding-type");
    order.rules.emplace_back("token_embd.weight", *embedding_type);
  }
  if (output_type) {
    rule_options.emplace_back("--output-tensor-type");
    order.rules.emplace_back("output.weight", *output_type);
  }
  order.rule_option = fmt::format("{}", fmt::join(rule_options, " or "));
  return carry_out(common, order);
}

int run_mlx_convert(const Command& command, const std::vector<std::string>& arguments) {
  constexpr int64_t kDefaultGroup = 64, kDefaultBits = 4;
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  std::optional<std::string> model, hf_path, output, mode, mix, dtype;
  std::optional<int64_t> bits, group;
  bool quantize = false, dequantize = false, trust_remote_code = false;
  std::optional<std::string> upload_repo;
  Order order;
  parser.positional("MODEL", false, model);
  parser.heading("As mlx_lm.convert");
  parser.text("--hf-path", "MODEL", hf_path, "the source, as MODEL");
  parser.text("--mlx-path", "OUT", output, "the folder to write (default: mlx_model)");
  parser.text("--model", "MODEL", hf_path, "");
  parser.flag("-q", quantize, "quantize");
  parser.flag("--quantize", quantize, "");
  parser.flag("-d", dequantize, "");
  parser.flag("--dequantize", dequantize, "");
  parser.integer("--q-bits", "N", bits, 2, 8, "bits of a code (default: 4)");
  parser.integer("--q-group-size", "N", group, 32, 128, "columns that share a scale (default: 64)");
  parser.choice("--q-mode", {{"affine", true}, {"mxfp4", true}, {"nvfp4", false}, {"mxfp8", false}},
                mode, "affine or mxfp4 (default: affine)");
  parser.text("--quant-predicate", "NAME", mix, "with -q: a mix, such as mixed_4_6");
  parser.choice("--dtype", {{"float16", true}, {"bfloat16", true}, {"float32", true}}, dtype,
                "the floats of a model that is not quantized (default: the source's)");
  parser.text("--upload-repo", "NAME", upload_repo, "");
  parser.flag("--trust-remote-code", trust_remote_code, "nothing: phial runs no model's code");
  parser.flag("--dry-run", order.dry_run, "write nothing; print plan, size and memory");
  common.declare(parser);
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (upload_repo) {
    throw phial::Error("unsupported", "--upload-repo", "phial uploads nothing",
                       "'hf upload' of huggingface_hub does");
  }
  if (dequantize) {
    throw phial::Error("unsupported", "-d", "phial mlx-convert does not dequantize",
                       "phial convert MODEL -o OUT --to mlx:bf16 does (or mlx:f16, mlx:f32)");
  }
  if (model.has_value() == hf_path.has_value()) {
    fail_usage(command.name, "needs a model, as MODEL or by --hf-path");
  }
  const char* const codes = mix     ? "--quant-predicate"
                            : bits  ? "--q-bits"
                            : group ? "--q-group-size"
                            : mode  ? "--q-mode"
                                    : nullptr;
  if (codes != nullptr && !quantize) fail_usage(codes, "goes with -q");
  if (mix && (bits || group || mode.value_or("affine") != "affine")) {
    fail_usage(codes, "says all of it: it goes without --q-bits, --q-group-size and --q-mode");
  }
  if (bits == 7) fail_usage("--q-bits", "expected 2, 3, 4, 5, 6 or 8; got 7");
  if (group && *group != 32 && *group != 64 && *group != 128) {
    fail_usage("--q-group-size", fmt::format("expected 32, 64 or 128; got {}", *group));
  }
  if (mode == "mxfp4" && (bits.value_or(4) != 4 || group.value_or(32) != 32)) {
    fail_usage(bits.value_or(4) != 4 ? "--q-bits" : "--q-group-size",
               "mxfp4 has 4 bits and groups of 32");
  }
  if (dtype && quantize) fail_usage("--dtype", "goes without -q: codes keep the source's floats");
  order.source = model ? *model : *hf_path;
  order.output = output.value_or("mlx_model");
  order.format = "mlx";
  if (!quantize) {
    order.scheme = !dtype                 ? "keep"
                   : *dtype == "float16"  ? "f16"
                   : *dtype == "bfloat16" ? "bf16"
                                          : "f32";
  } else if (mix) {
    order.scheme = *mix;
  } else if (mode && *mode != "affine") {
    order.scheme = *mode;
  } else {
    const int64_t columns = group.value_or(kDefaultGroup);
    order.scheme = std::to_string(bits.value_or(kDefaultBits));
    if (columns != kDefaultGroup) order.scheme += fmt::format("-g{}", columns);
  }
  return carry_out(common, order);
}

}  // namespace

const Command kQuantizeCommand = {
    "quantize", "a model into fewer bits", "MODEL -o OUT --to FORMAT[:SCHEME] [options]",
    "  phial quantize models/Phi-3-mini -o phi3-q4.gguf --to gguf:q4_k_m\n"
    "  phial quantize models/Phi-3-mini -o phi3-mlx --to mlx:4 --imatrix phi3.imatrix\n"
    "  phial quantize smollm2.gguf -o small.gguf --bits-per-weight 4.6 --dry-run\n"
    "  phial quantize smollm2.gguf -o mix.gguf --to gguf:q4_0 --tensor '*ffn_down*=q6_k'\n",
    run_quantize};

const Command kConvertCommand = {"convert", "a model into another format",
                                 "MODEL -o OUT --to FORMAT[:SCHEME] [options]",
                                 "  phial convert models/TinyLlama -o tinyllama.gguf\n"
                                 "  phial convert smollm2.gguf -o smollm2 --to safetensors\n"
                                 "  phial convert models/TinyLlama -o tinyllama-mlx --to mlx\n"
                                 "  phial convert smollm2.gguf -o smollm2-packed --to phial\n",
                                 run_convert};

const Command kLlamaQuantizeCommand = {
    "llama-quantize", "quantize, as llama.cpp's program is called",
    "MODEL [OUT] TYPE [THREADS] [options]",
    "  phial llama-quantize model-f16.gguf model-q4.gguf Q4_K_M\n"
    "  phial llama-quantize --imatrix model.imatrix model-f16.gguf model-iq4.gguf IQ4_XS\n",
    run_llama_quantize};

const Command kMlxConvertCommand = {"mlx-convert", "convert, as mlx-lm's program is called",
                                    "--hf-path MODEL [-q] [options]",
                                    "  phial mlx-convert --hf-path models/TinyLlama -q\n"
                                    "  phial mlx-convert --hf-path models/TinyLlama -q --q-bits 6 "
                                    "--q-group-size 32 --mlx-path out\n",
                                    run_mlx_convert};

}  // namespace phial_cli

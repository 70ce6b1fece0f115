// phial info: what a model is.
#include <fmt/format.h>

#include "commands.h"
#include "output.h"

namespace phial_cli {
namespace {

std::string or_unknown(const Json& value) {
  if (value.is_string()) return printable(value.get<std::string>());
  if (value.is_number_integer()) return grouped(value.get<int64_t>());
  return "unknown";
}

std::string tokens_text(const Json& count) {
  return or_unknown(count) + (count.is_null() ? "" : " tokens");
}

void line(std::string& out, const char* name, const std::string& value) {
  out += fmt::format("{:<14}{}\n", name, value);
}

std::string quantization_text(const Json& info) {
  std::string text = or_unknown(info["quantization"]);
  std::string parts;
  for (const Json& grid : info["grids"]) {
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", grid["name"].get<std::string>(),
                         human_bytes(grid["bytes"].get<double>()));
  }
  return parts.empty() ? text : fmt::format("{} ({})", text, parts);
}

std::string shape_text(const Json& shape) {
  std::string text;
  for (const Json& extent : shape) {
    text += fmt::format("{}{}", text.empty() ? "" : " x ", extent.get<int64_t>());
  }
  return text.empty() ? "scalar" : text;
}

std::string tensor_table(const Json& tensors) {
  std::string out = fmt::format("\n{:<8} {:>12}  {:<20} {}\n", "dtype", "bytes", "shape", "tensor");
  for (const Json& tensor : tensors) {
    out += fmt::format("{:<8} {:>12}  {:<20} {}\n", printable(tensor["dtype"].get<std::string>()),
                       grouped(tensor["bytes"].get<int64_t>()), shape_text(tensor["shape"]),
                       printable(tensor["name"].get<std::string>()));
  }
  return out;
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  std::optional<std::string> model_path;
  bool with_tensors = false;
  parser.positional("MODEL", true, model_path);
  parser.heading("Report");
  parser.flag("--tensors", with_tensors, "also every tensor: name, dtype, shape, bytes");
  common.declare(parser, Work::text);
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  const phial::Context context = make_context(common, Work::text);
  const phial::Model model(context, *model_path, PHIAL_LOAD_INFO);
  const Json info = Json::parse(model.info_json(with_tensors));
  if (common.json) {
    write_json(info);
    return 0;
  }
  std::string out;
  line(out, "model", printable(*model_path));
  line(out, "format", or_unknown(info["format"]));
  line(out, "architecture", or_unknown(info["architecture"]));
  line(out, "parameters", human_count(info["parameters"].get<double>()));
  line(out, "context", tokens_text(info["context_length"]));
  line(out, "vocabulary", tokens_text(info["vocabulary_size"]));
  line(out, "quantization", quantization_text(info));
  line(out, "size", human_bytes(info["bytes"].get<double>()));
  if (with_tensors) out += tensor_table(info["tensors"]);
  write_stdout(out);
  return 0;
}

}  // namespace

const Command kInfoCommand = {"info", "what a model is", "MODEL [options]",
                              "  phial info smollm2.gguf\n"
                              "  phial info --tensors models/TinyLlama\n"
                              "  phial info --json smollm2.gguf | jq .parameters\n",
                              run};

}  // namespace phial_cli

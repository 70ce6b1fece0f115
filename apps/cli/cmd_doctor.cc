// phial doctor: what phial found on this machine.
#include <fmt/format.h>

#include "commands.h"
#include "output.h"

namespace phial_cli {
namespace {

std::string joined(const Json& names) {
  std::string text;
  for (const Json& name : names) text += (text.empty() ? "" : " ") + name.get<std::string>();
  return text.empty() ? "none" : text;
}

std::string features_text(const Json& features) {
  Json found = Json::array();
  for (const auto& [name, present] : features.items()) {
    if (present.get<bool>()) found.push_back(name);
  }
  return joined(found);
}

std::string bytes_or_unknown(const Json& value) {
  const double bytes = value.get<double>();
  return bytes > 0 ? human_bytes(bytes) : "unknown";
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  common.declare(parser, Work::tell);
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  const phial::Context context = make_context(common, Work::tell);
  const Json report = Json::parse(context.doctor_json());
  if (common.json) {
    write_json(report);
    return 0;
  }
  const Json& cpu = report["cpu"];
  const Json& memory = report["memory"];
  const std::string brand = printable(cpu["brand"].get<std::string>());
  write_stdout(
      fmt::format("phial      {}\n"
                  "cpu        {}\n"
                  "cores      {} physical, {} logical\n"
                  "features   {}\n"
                  "isa        {} (this machine runs: {})\n"
                  "threads    {}\n"
                  "memory     {} available of {}\n"
                  "backends   {}\n",
                  report["version"].get<std::string>(), brand.empty() ? "unknown" : brand,
                  cpu["physical_cores"].get<int>(), cpu["logical_cores"].get<int>(),
                  features_text(cpu["features"]), report["isa"]["chosen"].get<std::string>(),
                  joined(report["isa"]["available"]), report["threads"].get<int>(),
                  bytes_or_unknown(memory["available_bytes"]),
                  bytes_or_unknown(memory["total_bytes"]), joined(report["backends"])));
  return 0;
}

}  // namespace

const Command kDoctorCommand = {"doctor", "what phial found on this machine", "[options]",
                                "  phial doctor\n"
                                "  PHIAL_ISA=reference phial doctor\n"
                                "  phial doctor --json > report.json\n",
                                run};

}  // namespace phial_cli

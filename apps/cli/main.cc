// The command `phial`: finds the command that is asked for and turns errors into exit codes.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <new>

#include "commands.h"
#include "interrupt.h"
#include "output.h"

namespace phial_cli {
namespace {

// Commands that the promise names and this version lacks.
constexpr const char* kPlannedCommands[] = {"serve"};

std::string overview() {
  std::string out =
      "phial - runs small language models on the machine in front of you\n"
      "\n"
      "Examples\n"
      "  phial run smollm2.gguf \"Why is the sky blue?\"\n"
      "  phial info smollm2.gguf\n"
      "  phial tokenize smollm2.gguf \"Hello, world\"\n"
      "\n"
      "Commands\n";
  for (const Command* command : commands()) {
    out += fmt::format("  {:<10}  {}\n", command->name, command->summary);
  }
  out +=
      "  help        help on a command; 'phial help errors' lists error codes\n"
      "\n"
      "MODEL is a .gguf or .safetensors file, a folder, or a short name under $PHIAL_MODELS\n"
      "(else $XDG_DATA_HOME/phial/models). 'phial COMMAND --help' shows a command's options.\n";
  return out;
}

void print_error_list(bool json) {
  const Json errors = Json::parse(phial::errors_json());
  if (json) {
    write_json({{"errors", errors}});
    return;
  }
  std::string out = "exit  code            meaning\n";
  for (const Json& error : errors) {
    out += fmt::format("{:>4}  {:<14}  {}\n", error["exit_code"].get<int>(),
                       error["code"].get<std::string>(), error["meaning"].get<std::string>());
  }
  write_stdout(out + "   0  -               Done.\n");
}

[[noreturn]] void unknown_command(const std::string& name) {
  for (const char* planned : kPlannedCommands) {
    if (name == planned) {
      throw phial::Error("unsupported", name, "this command is not available in this version",
                         "'phial help' lists the commands");
    }
  }
  if (name.starts_with("-")) {
    const std::string similar = closest(name, {"--version", "--help"});
    fail_usage("", fmt::format("unknown option {}", name),
               similar.empty() ? "options go behind the command"
                               : fmt::format("did you mean {}?", similar));
  }
  std::vector<std::string> known = {"help"};
  for (const Command* command : commands()) known.emplace_back(command->name);
  const std::string similar = closest(name, known);
  fail_usage("", fmt::format("unknown command '{}'", name),
             similar.empty() ? "'phial help' lists the commands"
                             : fmt::format("did you mean {}?", similar));
}

const Command& find_command(const std::string& name) {
  for (const Command* command : commands()) {
    if (name == command->name) return *command;
  }
  unknown_command(name);
}

int help(const std::vector<std::string>& topics, bool json) {
  if (topics.empty()) {
    write_stdout(overview());
    return 0;
  }
  if (topics.size() > 1) fail_usage("help", "one topic at a time");
  if (topics[0] == "errors") {
    print_error_list(json);
    return 0;
  }
  const Command& command = find_command(topics[0]);
  return command.run(command, {"--help"});
}

int dispatch(std::vector<std::string> arguments, bool json) {
  if (arguments.empty()) {
    // Nothing was asked for: what phial is goes to the reader, the exit code says "wrong usage".
    write_stderr("no command is given\n\n" + overview());
    return 2;
  }
  const std::string name = arguments.front();
  arguments.erase(arguments.begin());
  if (name == "--version" || name == "version") {
    if (json) {
      write_json({{"version", phial::version()}});
    } else {
      write_stdout(fmt::format("phial {}\n", phial::version()));
    }
    return 0;
  }
  if (name == "help" || name == "--help" || name == "-h") {
    std::erase(arguments, "--json");
    return help(arguments, json);
  }
  const Command& command = find_command(name);
  return command.run(command, arguments);
}

// Looked for before the command line is understood, because errors in it are told as JSON, too.
bool wants_json(const std::vector<std::string>& arguments) {
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  return std::find(arguments.begin(), end, "--json") != end;
}

int run_program(const std::vector<std::string>& arguments) {
  const bool json = wants_json(arguments);
  try {
    return naming({{"max_memory", "--max-memory"}}, [&] { return dispatch(arguments, json); });
  } catch (const phial::Error& error) {
    return report_error(error, json);
  } catch (const ReaderGone&) {
    return 0;
  } catch (const std::bad_alloc&) {
    return report_error(phial::Error("out_of_memory", "phial", "out of memory"), json);
  } catch (const std::exception& error) {
    return report_error(phial::Error("internal", "phial", error.what(), "please report it"), json);
  }
}

}  // namespace
}  // namespace phial_cli

int main(int argc, char** argv) {
  // Writing to a pipe that nobody reads is an error to handle, not a reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  phial_cli::set_stdin_was_open(phial_cli::reserve_standard_streams());
  phial_cli::catch_interrupts();
  return phial_cli::run_program({argv + std::min(argc, 1), argv + argc});
}

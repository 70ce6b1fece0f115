// phial man: the manual page, as roff source.
#include <fmt/format.h>

#include "commands.h"
#include "output.h"

namespace phial_cli {
namespace {

// `text` as it is to appear: roff reads a dot or a quote at the beginning of a line as a request,
// and a plain minus as a hyphen that may break the line.
std::string roff(const std::string& text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    line_begins = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else if (c == '`') {
      out += "\\`";
    } else if (c == '^') {
      out += "\\(ha";
    } else if (c == '~') {
      out += "\\(ti";
    } else {
      out += c;
    }
  }
  return out;
}

std::string example_block(const std::string& examples) {
  return ".PP\n.nf\n" + roff(examples) + ".fi\n";
}

std::string option_entries(const CommandLine& table, const std::string& heading) {
  std::string out;
  for (const CommandLine::Option& option : table.options()) {
    if (option.help.empty() || option.heading != heading) continue;
    out += fmt::format(".TP\n\\fB{}\\fR", roff(option.name));
    if (!option.value.empty()) out += fmt::format(" \\fI{}\\fR", roff(option.value));
    out += '\n' + roff(option.help) + '\n';
  }
  return out;
}

// Options that every command takes stand once, at the end.
constexpr char kEverywhere[] = "Everywhere";

std::string command_section(const Command& command) {
  const CommandLine table = table_of(command);
  std::string out = fmt::format(".SS phial {} {}\n", command.name, roff(command.usage));
  out += roff(command.summary) + ".\n";
  std::vector<std::string> headings;
  for (const CommandLine::Option& option : table.options()) {
    if (option.help.empty() || option.heading == kEverywhere) continue;
    if (headings.empty() || headings.back() != option.heading) headings.push_back(option.heading);
  }
  for (const std::string& heading : headings) out += option_entries(table, heading);
  for (const std::string& remark : table.remarks()) out += ".PP\n" + roff(remark) + '\n';
  return out + example_block(command.examples);
}

std::string exit_codes() {
  struct Entry {
    int code;
    const char* meaning;
  };
  static constexpr Entry kEntries[] = {
      {0, "done"},
      {1, "failed while running"},
      {2, "wrong usage"},
      {3, "input missing, damaged or inconsistent"},
      {4, "valid but not supported"},
      {5, "not enough memory or over a limit"},
      {6, "the prompt does not fit the context"},
      {130, "interrupted"},
  };
  std::string out = ".SH EXIT STATUS\n";
  for (const Entry& entry : kEntries) {
    out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", entry.code, entry.meaning);
  }
  return out;
}

std::string page() {
  std::string out = fmt::format(
      ".TH PHIAL 1 \"\" \"phial {}\" \"User Commands\"\n"
      ".SH NAME\n"
      "phial \\- run small language models on the machine in front of you\n"
      ".SH SYNOPSIS\n"
      ".B phial\n"
      ".I command\n"
      "[\\fIarguments\\fR] [\\fIoptions\\fR]\n"
      ".SH DESCRIPTION\n"
      "phial reads published checkpoints, safetensors or GGUF, where they lie, and gives the "
      "answer "
      "that the model\\(aqs own code gives.\n"
      "Text goes to standard output, everything else to standard error.\n"
      ".PP\n"
      "MODEL is a file, a folder, or a short name in the model folder (see ENVIRONMENT).\n"
      "A single dash stands for standard input, two dashes end the options.\n"
      ".SH COMMANDS\n",
      phial::version());
  for (const Command* command : commands()) out += command_section(*command);
  out += ".SH OPTIONS OF EVERY COMMAND\n";
  out += option_entries(table_of(kRunCommand), kEverywhere);
  out += ".TP\n\\fB\\-\\-help\\fR\nexamples and options of the command\n";
  out +=
      ".SH ENVIRONMENT\n"
      ".TP\n\\fBPHIAL_MODELS\\fR\n"
      "the model folder; else \\fI$XDG_DATA_HOME/phial/models\\fR, else "
      "\\fI\\(ti/.local/share/phial/models\\fR\n"
      ".TP\n\\fBPHIAL_ISA\\fR\nthe instruction set, unless \\fB\\-\\-isa\\fR says it\n"
      ".TP\n\\fBNO_COLOR\\fR\nwhen set, no colours and no Markdown at a terminal\n"
      ".SH FILES\n"
      ".TP\n\\fI$XDG_STATE_HOME/phial/chat_history\\fR\n"
      "what was typed in conversations; else in \\fI\\(ti/.local/state/phial\\fR\n"
      ".TP\n\\fI$XDG_STATE_HOME/phial/rescued\\-chat.json\\fR\n"
      "the last conversation that lost its terminal\n";
  return out + exit_codes();
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  common.declare(parser, Work::text);
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (common.json) fail_usage("--json", "a manual page has no JSON form");
  write_stdout(page());
  return 0;
}

}  // namespace

const Command kManCommand = {"man", "the manual page, as roff source", "[options]",
                             "  phial man | man -l -\n"
                             "  phial man > ~/.local/share/man/man1/phial.1\n",
                             run};

}  // namespace phial_cli

// phial completion: what makes a shell complete commands, flags, values and models.
#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "output.h"

namespace phial_cli {
namespace {

enum class Completes { nothing, files, choices };

Completes kind_of(const CommandLine::Option& option) {
  if (!option.choices.empty()) return Completes::choices;
  return option.value == "FILE" || option.value.starts_with("OUT") ? Completes::files
                                                                   : Completes::nothing;
}

bool takes_model(const CommandLine& table) {
  return !table.positionals().empty() && table.positionals().front().name == "MODEL";
}

std::string joined(const std::vector<std::string>& words, const char* separator) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : separator) + word;
  return out;
}

// Words that may stand where a command's first argument does and no model is wanted.
std::vector<std::string> first_words(const std::string& command) {
  if (command == "completion") return {"bash", "zsh", "fish"};
  std::vector<std::string> topics;
  if (command == "help") {
    for (const Command* topic : commands()) topics.emplace_back(topic->name);
    topics.emplace_back("errors");
  }
  return topics;
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const Command* command : commands()) names.emplace_back(command->name);
  names.emplace_back("help");
  return names;
}

// `text` with a backslash in front of each character of `special`.
std::string escaped(const std::string& text, const std::string& special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string::npos) out += '\\';
    out += c;
  }
  return out;
}

// 'text' for a shell; `quote` is what stands for a quotation mark inside.
std::string quoted(const std::string& text, const std::string& quote) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? quote : std::string(1, c);
  return out + "'";
}

// Shown options of a table; --help, which every command takes, is none of it.
std::vector<CommandLine::Option> shown_options(const CommandLine& table) {
  std::vector<CommandLine::Option> shown;
  for (const CommandLine::Option& option : table.options()) {
    if (!option.help.empty()) shown.push_back(option);
  }
  return shown;
}

constexpr char kModelFolder[] =
    "${PHIAL_MODELS:-${XDG_DATA_HOME:-$HOME/.local/share}/phial/models}";

std::string bash_command(const std::string& name, const CommandLine& table) {
  std::vector<std::string> flags, files, values;
  std::string cases;
  for (const CommandLine::Option& option : shown_options(table)) {
    flags.push_back(option.name);
    if (option.value.empty()) continue;
    switch (kind_of(option)) {
      case Completes::choices:
        cases +=
            fmt::format("        {}) words='{}' ;;\n", option.name, joined(option.choices, " "));
        break;
      case Completes::files:
        files.push_back(option.name);
        break;
      case Completes::nothing:
        values.push_back(option.name);
        break;
    }
  }
  flags.emplace_back("--help");
  if (!files.empty()) cases += fmt::format("        {}) kind=files ;;\n", joined(files, " | "));
  if (!values.empty()) cases += fmt::format("        {}) kind=none ;;\n", joined(values, " | "));
  std::string out = fmt::format("    {})\n", name);
  if (!cases.empty()) out += "      case $previous in\n" + cases + "      esac\n";
  out += fmt::format("      flags='{}'\n", joined(flags, " "));
  if (takes_model(table)) {
    out += "      kind=${kind:-models}\n";
  } else {
    out += fmt::format("      first='{}'\n", joined(first_words(name), " "));
  }
  return out + "      ;;\n";
}

std::string bash_script() {
  std::string out = fmt::format(
      "# Completion of phial for bash; made by 'phial completion bash'.\n"
      "_phial() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}\n"
      "  local words= first= flags= kind= folder\n"
      "  COMPREPLY=()\n"
      "  # --flag=value comes as three words.\n"
      "  if [[ $word == '=' ]]; then\n"
      "    word=\n"
      "  elif [[ $previous == '=' ]]; then\n"
      "    previous=${{COMP_WORDS[COMP_CWORD - 2]}}\n"
      "  fi\n"
      "  if ((COMP_CWORD == 1)); then\n"
      "    COMPREPLY=($(compgen -W '{} --help --version' -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case ${{COMP_WORDS[1]}} in\n",
      joined(command_names(), " "));
  for (const Command* command : commands()) out += bash_command(command->name, table_of(*command));
  out += fmt::format("    help) words='{}' ;;\n", joined(first_words("help"), " "));
  out += fmt::format(
      "  esac\n"
      "  if [[ -n $words ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "  elif [[ $word == -* && $kind != files && $kind != none ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
      "  elif [[ -n $first && -z $kind ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$first\" -- \"$word\"))\n"
      "  elif [[ $kind == files || $kind == models ]]; then\n"
      "    compopt -o filenames 2>/dev/null\n"
      "    mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
      "    if [[ $kind == models ]]; then\n"
      "      folder={}\n"
      "      [[ ! -d $folder ]] || mapfile -t -O \"${{#COMPREPLY[@]}}\" COMPREPLY < <(\n"
      "        cd \"$folder\" && compgen -f -- \"$word\" | sed 's/\\.gguf$//')\n"
      "    fi\n"
      "  fi\n"
      "}}\n"
      "complete -F _phial phial\n",
      kModelFolder);
  return out;
}

std::string zsh_command(const std::string& name, const CommandLine& table) {
  const auto help = [](const std::string& text) { return escaped(text, "[]:\\"); };
  std::string out = fmt::format("        {})\n          _arguments -s \\\n", name);
  for (const CommandLine::Option& option : shown_options(table)) {
    std::string spec = (option.repeatable ? "*" : "") + option.name + '[' + help(option.help) + ']';
    if (!option.value.empty()) {
      spec += ':' + escaped(option.value, ":\\") + ':';
      if (kind_of(option) == Completes::files) spec += "_files";
      if (kind_of(option) == Completes::choices) spec += '(' + joined(option.choices, " ") + ')';
    }
    out += "            " + quoted(spec, "'\\''") + " \\\n";
  }
  out += "            '--help[show the options]' \\\n";
  if (takes_model(table)) {
    out += "            '1:model:_phial_models' '*:text:'\n";
  } else {
    out += fmt::format("            '1:word:({})'\n", joined(first_words(name), " "));
  }
  return out + "          ;;\n";
}

std::string zsh_script() {
  std::string out = fmt::format(
      "#compdef phial\n"
      "# Completion of phial for zsh; made by 'phial completion zsh'.\n"
      "_phial_models() {{\n"
      "  local folder={}\n"
      "  local -a names\n"
      "  names=($folder/*(N:t:r))\n"
      "  (( $#names )) && compadd -a names\n"
      "  _files\n"
      "}}\n"
      "_phial() {{\n"
      "  local state line\n"
      "  local -a commands\n"
      "  commands=(\n",
      kModelFolder);
  for (const Command* command : commands()) {
    out += "    " +
           quoted(fmt::format("{}:{}", command->name, escaped(command->summary, ":\\")), "'\\''") +
           '\n';
  }
  out +=
      "    'help:help on a command'\n"
      "  )\n"
      "  _arguments -C '1:command:->command' '*::argument:->argument'\n"
      "  case $state in\n"
      "    command) _describe command commands ;;\n"
      "    argument)\n"
      "      case $line[1] in\n";
  for (const Command* command : commands()) out += zsh_command(command->name, table_of(*command));
  out +=
      fmt::format("        help) _arguments '1:topic:({})' ;;\n", joined(first_words("help"), " "));
  return out +
         "      esac\n"
         "      ;;\n"
         "  esac\n"
         "}\n"
         "if [[ ${funcstack[1]} == _phial ]]; then _phial \"$@\"; else compdef _phial phial; fi\n";
}

std::string fish_script() {
  const auto text = [](const std::string& plain) { return quoted(escaped(plain, "\\"), "\\'"); };
  std::string out =
      "# Completion of phial for fish; made by 'phial completion fish'.\n"
      "function __phial_models\n"
      "    set -l folder $PHIAL_MODELS\n"
      "    test -n \"$folder\"; or set folder (test -n \"$XDG_DATA_HOME\"; and echo "
      "$XDG_DATA_HOME; "
      "or echo ~/.local/share)/phial/models\n"
      "    test -d $folder; and command ls $folder | string replace -r '\\.gguf$' ''\n"
      "end\n"
      "complete -c phial -n __fish_use_subcommand -f -a help -d 'help on a command'\n"
      "complete -c phial -n __fish_use_subcommand -f -l version -d 'show the version'\n";
  out += fmt::format("complete -c phial -n '__fish_seen_subcommand_from help' -f -a '{}'\n",
                     joined(first_words("help"), " "));
  for (const Command* command : commands()) {
    const CommandLine table = table_of(*command);
    const std::string when = fmt::format("-n '__fish_seen_subcommand_from {}'", command->name);
    out += fmt::format("complete -c phial -n __fish_use_subcommand -f -a {} -d {}\n", command->name,
                       text(command->summary));
    if (takes_model(table)) {
      out += fmt::format("complete -c phial {} -a '(__phial_models)'\n", when);
    } else {
      out += fmt::format("complete -c phial {} -f -a '{}'\n", when,
                         joined(first_words(command->name), " "));
    }
    for (const CommandLine::Option& option : shown_options(table)) {
      std::string line = fmt::format("complete -c phial {} -l {}", when, option.name.substr(2));
      if (!option.value.empty()) line += kind_of(option) == Completes::files ? " -r -F" : " -x";
      if (!option.choices.empty()) line += fmt::format(" -a '{}'", joined(option.choices, " "));
      out += line + " -d " + text(option.help) + '\n';
    }
  }
  return out;
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  CommonOptions common;
  std::optional<std::string> shell;
  parser.positional("SHELL", true, shell);
  common.declare(parser, Work::text);
  parser.remark("An installed phial has put these files where the shells look for them.");
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  if (common.json) fail_usage("--json", "a script has no JSON form");
  if (*shell == "bash") {
    write_stdout(bash_script());
  } else if (*shell == "zsh") {
    write_stdout(zsh_script());
  } else if (*shell == "fish") {
    write_stdout(fish_script());
  } else {
    fail_usage("SHELL", fmt::format("expected bash, zsh or fish; got '{}'", *shell));
  }
  return 0;
}

}  // namespace

const Command kCompletionCommand = {
    "completion", "make a shell complete commands and flags", "bash | zsh | fish",
    "  source <(phial completion bash)\n"
    "  phial completion zsh > ~/.zfunc/_phial\n"
    "  phial completion fish > ~/.config/fish/completions/phial.fish\n",
    run};

}  // namespace phial_cli

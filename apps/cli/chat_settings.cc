#include "chat_settings.h"

#include <fmt/format.h>

namespace phial_cli {

CommandLine ChatSettings::make_line(GenerationFlags& flags) {
  CommandLine line("/set", "", "NAME VALUE", "");
  flags.declare(line);
  return line;
}

void ChatSettings::for_each(const std::function<void(const CommandLine::Option&)>& visit) {
  GenerationFlags flags;
  const CommandLine line = make_line(flags);
  for (const CommandLine::Option& option : line.options()) {
    // A conversation has one answer a turn, which is text.
    if (option.name == "--num-return-sequences" || option.name == "--logprobs") continue;
    if (!option.help.empty()) visit(option);
  }
}

ChatSettings::Values ChatSettings::select(const Values& given) {
  GenerationFlags flags;
  const CommandLine line = make_line(flags);
  Values values;
  for (const CommandLine::Option& option : line.options()) {
    const auto found = given.find(option.name);
    if (found != given.end()) values.insert(*found);
  }
  return values;
}

void ChatSettings::assign(const Values& values) {
  GenerationFlags flags;
  CommandLine line = make_line(flags);
  std::vector<std::string> arguments;
  for (const CommandLine::Option& option : line.options()) {
    const auto found = values.find(option.name);
    if (found == values.end()) continue;
    for (const std::string& value : found->second) {
      arguments.push_back(option.name);
      if (!option.value.empty()) arguments.push_back(value);
    }
  }
  line.parse(arguments);
  flags.check();
  if (flags.num_return_sequences.value_or(1) != 1 || flags.logprobs) {
    fail_usage(flags.logprobs ? "--logprobs" : "--num-return-sequences",
               "a conversation has one answer a turn, which is text",
               "'phial run --messages' gives more");
  }
  values_ = values;
  flags_ = flags;
}

void ChatSettings::set(const std::string& name, const std::string& value) {
  const std::string option = name.starts_with("--") ? name : "--" + name;
  bool is_known = false;
  bool is_flag = false;
  bool is_repeatable = false;
  std::vector<std::string> names;
  for_each([&](const CommandLine::Option& known) {
    names.push_back(short_name(known.name));
    if (known.name != option) return;
    is_known = true;
    is_flag = known.value.empty();
    is_repeatable = known.repeatable;
  });
  if (!is_known) {
    const std::string similar = closest(short_name(option), names);
    fail_usage("/set", fmt::format("no option {}", short_name(option)),
               similar.empty() ? "/set lists them" : fmt::format("did you mean {}?", similar));
  }
  Values values = values_;
  if (value == "default" || (is_flag && value == "off")) {
    values.erase(option);
  } else if (is_flag && value != "on") {
    fail_usage(short_name(option), fmt::format("expected on or off; got '{}'", value));
  } else if (is_repeatable) {
    values[option].push_back(value);
  } else {
    values[option] = {is_flag ? "" : value};
  }
  assign(values);
}

}  // namespace phial_cli

#include "chat_settings.h"

#include <fmt/format.h>

namespace phial_cli {

CommandLine ChatSettings::make_line(GenerationOptions& options) {
  CommandLine line("/set", "", "NAME VALUE", "");
  options.declare(line);
  return line;
}

void ChatSettings::for_each(const std::function<void(const CommandLine::Option&)>& visit) {
  GenerationOptions options;
  const CommandLine line = make_line(options);
  for (const CommandLine::Option& option : line.options()) {
    if (!option.help.empty()) visit(option);
  }
}

void ChatSettings::assign(const Values& values) {
  GenerationOptions options;
  CommandLine line = make_line(options);
  std::vector<std::string> arguments;
  for (const CommandLine::Option& option : line.options()) {
    const auto found = values.find(option.name);
    if (found == values.end()) continue;
    arguments.push_back(option.name);
    if (!option.value.empty()) arguments.push_back(found->second);
  }
  line.parse(arguments);
  options.check();
  values_ = values;
  options_ = options;
}

void ChatSettings::set(const std::string& name, const std::string& value) {
  const std::string option = name.starts_with("--") ? name : "--" + name;
  bool is_known = false;
  bool is_flag = false;
  std::vector<std::string> names;
  for_each([&](const CommandLine::Option& known) {
    names.push_back(short_name(known.name));
    if (known.name != option) return;
    is_known = true;
    is_flag = known.value.empty();
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
  } else {
    values[option] = is_flag ? "" : value;
  }
  assign(values);
}

}  // namespace phial_cli

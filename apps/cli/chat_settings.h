// The generation options of a conversation, which /set changes: those of the command line, by the
// same names, with the same checks.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "generation_options.h"

namespace phial_cli {

class ChatSettings {
 public:
  // By option ("--top-k"); "" for a flag that is set.
  using Values = std::map<std::string, std::string>;

  explicit ChatSettings(const Values& values = {}) { assign(values); }

  // Throws phial::Error (usage, unsupported), and nothing has changed then.
  void assign(const Values& values);
  // `name` with or without dashes; `value` "default" takes the option back, flags take "on" and
  // "off". Throws as assign().
  void set(const std::string& name, const std::string& value);

  const Values& values() const { return values_; }
  const GenerationOptions& options() const { return options_; }

  // Each option that this version has, in the order of the help.
  static void for_each(const std::function<void(const CommandLine::Option&)>& visit);
  // "top-k" of "--top-k".
  static std::string short_name(const std::string& option) { return option.substr(2); }

 private:
  static CommandLine make_line(GenerationOptions& options);

  Values values_;
  GenerationOptions options_;
};

}  // namespace phial_cli

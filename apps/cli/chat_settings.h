// The generation options of a conversation, which /set changes: those of the command line, by the
// same names, with the same checks.
#pragma once

#include <functional>
#include <string>

#include "generation_flags.h"

namespace phial_cli {

class ChatSettings {
 public:
  // By option ("--top-k"); "" for a flag that is set.
  using Values = CommandLine::Values;

  explicit ChatSettings(const Values& values = {}) { assign(values); }

  // Throws phial::Error (usage, unsupported), and nothing has changed then.
  void assign(const Values& values);
  // `name` with or without dashes; `value` "default" takes the option back, flags take "on" and
  // "off", repeatable options get one more value. Throws as assign().
  void set(const std::string& name, const std::string& value);

  const Values& values() const { return values_; }
  const GenerationFlags& flags() const { return flags_; }

  // Those of `given` that are options of generation.
  static Values select(const Values& given);
  // Each option that this version has, in the order of the help.
  static void for_each(const std::function<void(const CommandLine::Option&)>& visit);
  // "top-k" of "--top-k".
  static std::string short_name(const std::string& option) { return option.substr(2); }

 private:
  static CommandLine make_line(GenerationFlags& flags);

  Values values_;
  GenerationFlags flags_;
};

}  // namespace phial_cli

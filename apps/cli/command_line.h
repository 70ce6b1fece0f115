// The command line of one command: a table of positionals and options that is parsed (by CLI11),
// checked and printed as help. Everything wrong with it is a phial::Error with the code `usage`, or
// `unsupported` for what is known but not available yet.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace phial_cli {

// A value that an option takes, and whether this version can do it.
struct Choice {
  const char* name;
  bool available;
  const char* same = "";     // another spelling that is taken
  const char* similar = "";  // other tools' words for something like it, with spaces between them
};

class CommandLine {
 public:
  // `name` of the command; `usage` is what follows it; `examples` are whole lines.
  CommandLine(std::string name, std::string summary, std::string usage, std::string examples)
      : name_(std::move(name)),
        summary_(std::move(summary)),
        usage_(std::move(usage)),
        examples_(std::move(examples)) {}

  // Declarations. Targets must outlive parse() and are set by it; what is not given stays as it is.
  // Help prints options below the last heading().
  void heading(std::string title) { heading_ = std::move(title); }
  void positional(std::string name, bool required, std::optional<std::string>& target);
  void flag(const std::string& option, bool& target, std::string help);
  void text(const std::string& option, std::string value, std::optional<std::string>& target,
            std::string help);
  // May be given several times.
  void texts(const std::string& option, std::string value, std::vector<std::string>& target,
             std::string help);
  // Whole numbers in [min, max].
  void integer(const std::string& option, std::string value, std::optional<int64_t>& target,
               int64_t min, int64_t max, std::string help);
  // Any 64-bit integer, signed or not.
  void seed(const std::string& option, std::optional<uint64_t>& target, std::string help);
  // Sizes of 1 byte or more: a number, with K, M, G or T, in either case, behind it for powers of
  // 1024; KB and KiB are the same as K.
  void bytes(const std::string& option, std::string value, std::optional<uint64_t>& target,
             std::string help);
  // Finite numbers that `is_valid` accepts; `range` says which in words.
  void real(const std::string& option, std::string value, std::optional<float>& target,
            std::function<bool(double)> is_valid, std::string range, std::string help);
  // One of `choices`; those that are not available are `unsupported`.
  void choice(const std::string& option, std::vector<Choice> choices, std::string help);
  void choice(const std::string& option, std::vector<Choice> choices,
              std::optional<std::string>& target, std::string help);
  // Options that the promise names and this version lacks: `unsupported` when given.
  void planned(const std::vector<std::string>& options);
  // A paragraph at the end of the help.
  void remark(std::string text) { remarks_.push_back(std::move(text)); }

  // Returns false when only help was asked for. Throws phial::Error.
  bool parse(const std::vector<std::string>& arguments);

  std::string help() const;
  const std::string& name() const { return name_; }

  // The table itself, for what is generated from it: help, completions, the manual page.
  struct Option {
    std::string heading;
    std::string name;                             // "--top-k"
    std::string value;                            // "N"; empty for a flag
    std::string help;                             // empty: not shown
    std::function<void(const std::string&)> set;  // given the text of the value
    bool repeatable = false;
    std::vector<std::string> choices = {};  // the values this version takes; empty: any
  };
  struct Positional {
    std::string name;
    bool required;
    std::optional<std::string>* target;
  };
  const std::deque<Option>& options() const { return options_; }
  const std::deque<Positional>& positionals() const { return positionals_; }
  const std::string& summary() const { return summary_; }
  const std::string& usage() const { return usage_; }
  const std::string& examples() const { return examples_; }
  const std::vector<std::string>& remarks() const { return remarks_; }
  // What parse() was given, by option; "" for a flag.
  using Values = std::map<std::string, std::vector<std::string>>;
  const Values& given() const { return given_; }

 private:
  void add_choice(const std::string& option, std::vector<Choice> choices,
                  std::optional<std::string>* target, std::string help);
  void add(const std::string& option, std::string value, std::string help,
           std::function<void(const std::string&)> set);
  // The arguments with "--name=value" as two. CLI11 would take the argument behind "--name=" for
  // the value, and "--flag=text" for a number.
  std::vector<std::string> split_values(const std::vector<std::string>& arguments);
  [[noreturn]] void reject_extra(const std::vector<std::string>& extras) const;

  std::string name_, summary_, usage_, examples_;
  std::string heading_;
  std::vector<std::string> remarks_;
  std::deque<Positional> positionals_;
  std::deque<Option> options_;  // stable addresses
  Values given_;
  bool help_ = false;
};

// The argument that makes parse() throw a TableRequest instead of parsing: how the table of a
// command is had without running it. It begins with a zero byte, which no shell can pass.
inline const std::string kTableArgument{"\0table", 6};
struct TableRequest {
  CommandLine table;  // a copy, whose targets are gone: not to be parsed with
};

// The candidate closest to `given` in spelling; empty when none is close.
std::string closest(std::string_view given, const std::vector<std::string>& candidates);

// A usage error about `where`.
[[noreturn]] void fail_usage(const std::string& where, const std::string& message,
                             const std::string& hint = {});

// A list of whole numbers, "17,1,1,40", each in [min, max].
std::vector<int64_t> parse_integer_list(const std::string& option, const std::string& text,
                                        int64_t min, int64_t max);

}  // namespace phial_cli

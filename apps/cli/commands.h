// The commands of phial and what all of them share.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <phial/phial.hpp>
#include <span>
#include <string>
#include <vector>

#include "command_line.h"

namespace phial_cli {

struct Command {
  const char* name;
  const char* summary;
  const char* usage;     // what follows the name
  const char* examples;  // whole lines
  // Runs with the arguments behind the name; returns the exit code. Throws phial::Error,
  // ReaderGone.
  int (*run)(const Command& command, const std::vector<std::string>& arguments);
};

extern const Command kRunCommand;
extern const Command kChatCommand;
extern const Command kInfoCommand;
extern const Command kTokenizeCommand;
extern const Command kTemplateCommand;
extern const Command kLogitsCommand;
extern const Command kPerplexityCommand;
extern const Command kCompareCommand;
extern const Command kQuantizeCommand;
extern const Command kConvertCommand;
extern const Command kLlamaQuantizeCommand;
extern const Command kMlxConvertCommand;
extern const Command kBenchCommand;
extern const Command kDoctorCommand;
extern const Command kCompletionCommand;
extern const Command kManCommand;

// In the order of the help.
std::span<const Command* const> commands();

// What a command takes, without running it: help, completions and the manual page are made from it.
CommandLine table_of(const Command& command);

// What a command does with what make_context gives: reads text, tells what the machine has, or
// computes.
enum class Work { text, tell, compute };

// Options that every command takes.
struct CommonOptions {
  bool json = false;
  bool quiet = false;
  std::optional<int64_t> threads;
  std::optional<std::string> isa;
  std::optional<uint64_t> max_memory;  // bytes

  // The help leaves out what is for other work.
  void declare(CommandLine& line, Work work = Work::compute);
};

// Only compute needs more than one thread.
phial::Context make_context(const CommonOptions& common, Work work);

// Loads all of the model; says how far that is when it takes long.
phial::Model load_model(const phial::Context& context, const CommonOptions& common,
                        const std::string& path,
                        const phial_model_options& options = PHIAL_MODEL_OPTIONS_INIT);

// How precisely a model computes. Who measures gets what the model says, unless told otherwise; who
// wants an answer gets it fast.
struct NumericsOptions {
  enum class Purpose { answers, measurements };

  explicit NumericsOptions(Purpose p = Purpose::answers) : purpose(p) {}

  const Purpose purpose;
  std::optional<std::string> compute, kv;

  // `suffix` stands behind the options' names, `what` behind what their help says;
  // `default_value` in place of the defaults that it names.
  void declare_numerics(CommandLine& line, const std::string& suffix = {},
                        const std::string& what = {}, const std::string& default_value = {});
  phial_model_options model_options() const;  // its strings are these
  // One of the options that is given; null when none is.
  const char* given_numerics() const { return compute ? "--compute" : kv ? "--kv" : nullptr; }
};

// Engine options that are the same wherever tokens are computed.
struct EngineOptions : NumericsOptions {
  using NumericsOptions::NumericsOptions;

  std::optional<int64_t> context;

  void declare(CommandLine& line);
};

// A smaller model that drafts what the model checks; nothing without a path.
void declare_assistant(CommandLine& line, std::optional<std::string>& path);
std::optional<phial::Model> load_assistant(const phial::Context& context,
                                           const CommonOptions& common,
                                           const std::optional<std::string>& path);

// A line on stderr that is not an error; nothing with --quiet.
void notice(const CommonOptions& common, const std::string& text);

// Whether stdin was open when the program began.
bool stdin_was_open();
void set_stdin_was_open(bool open);

// The text of a positional, which may be "-" (stdin) or left out (stdin, unless it is closed or a
// terminal). Checked to be UTF-8. Nothing when there is none.
std::optional<std::string> text_argument(const std::optional<std::string>& argument,
                                         const std::string& name);

// Most tokens of one sequence.
int64_t model_context(const phial::Model& model);

// The tokens to make room for. `given`, what --context says, or else 0, the model's context. Where
// --max-memory counts them it is no more than `tokens`, which the work takes, or if these are not
// known the most that fit in each of `sequences`, beside as many of the assistant; then a notice
// says so.
int64_t choose_context(const CommonOptions& common, const phial::Model& model,
                       std::optional<int64_t> given, std::optional<int64_t> tokens,
                       const std::optional<phial::Model>& assistant = std::nullopt,
                       int64_t sequences = 1);

// A sequence of `context` tokens, as choose_context says.
phial::Sequence make_sequence(const phial::Model& model, int64_t context);

// What the library calls by the part it plays ("messages") and the user by another name (a file).
struct PlayedBy {
  std::string part;
  std::string name;
};

inline const PlayedBy kContextOption{"context", "--context"};

// Runs `call`; where an error of it says a part, it says the name instead.
template <class Call>
auto naming(const std::vector<PlayedBy>& names, Call&& call) {
  try {
    return call();
  } catch (const phial::Error& error) {
    const std::string where = error.where();
    for (const PlayedBy& played : names) {
      if (where != played.part && !where.starts_with(played.part + ":")) continue;
      throw phial::Error(error.code(), played.name + where.substr(played.part.size()),
                         error.message(), error.hint());
    }
    throw;
  }
}

// Runs `call`, whose errors are about what stands in `file`, and say so.
template <class Call>
void in_file(const std::string& file, Call&& call) {
  try {
    call();
  } catch (const phial::Error& error) {
    throw phial::Error(error.code(), fmt::format("{}: {}", file, error.where()), error.message(),
                       error.hint());
  }
}

}  // namespace phial_cli

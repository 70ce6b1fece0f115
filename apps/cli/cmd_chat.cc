// phial chat: a conversation at a terminal, or the turns that come through a pipe.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "chat.h"
#include "commands.h"
#include "input.h"
#include "progress.h"

namespace phial_cli {
namespace {

struct ChatCommandLine {
  CommonOptions common;
  EngineOptions engine;
  GenerationFlags generation;
  std::optional<std::string> model_path;
  std::optional<std::string> input;
  std::optional<std::string> system;
  std::optional<std::string> load;
  std::optional<std::string> template_file;
  std::optional<std::string> on_full;
  std::optional<std::string> assistant_model;
  bool plain = false;
  bool no_history = false;

  void declare(CommandLine& line);
  void check() const;
};

void ChatCommandLine::declare(CommandLine& line) {
  line.positional("MODEL", true, model_path);
  line.positional("INPUT", false, input);
  line.heading("Conversation");
  line.text("--system", "TEXT", system, "a system message in front");
  line.text("--load", "FILE", load, "go on with a conversation that /save has written");
  line.text("--template", "FILE", template_file, "a chat template in place of the model's");
  line.choice("--on-full", {{"ask", true}, {"slide", true}, {"stop", true}}, on_full,
              "when the context is full: ask, slide (forget the oldest turns), or stop "
              "(default: ask at a terminal, else slide)");
  line.flag("--plain", plain, "no Markdown and no colours at a terminal");
  line.flag("--no-history", no_history, "keep nothing of what is typed");
  generation.declare(line);
  declare_assistant(line, assistant_model);
  engine.declare(line);
  common.declare(line);
  generation.remarks(line);
  line.remark(
      "At a terminal, /help lists what can be typed. From a pipe, each line is a question; with -, "
      "all of it is one. Answers go to stdout.");
}

void ChatCommandLine::check() const {
  if (common.json) {
    fail_usage("--json", "a conversation has no JSON form", "'phial run --messages' has one");
  }
  if (input && *input != "-") {
    fail_usage("chat", fmt::format("'{}' is one argument too many", *input),
               "'phial run' answers one prompt");
  }
  if (system) phial::check_text(*system, "--system");
  generation.check();
}

OnFull on_full_of(const ChatCommandLine& options, bool interactive) {
  const std::string name = options.on_full.value_or(interactive ? "ask" : "slide");
  if (name == "ask") return interactive ? OnFull::ask : OnFull::slide;
  return name == "stop" ? OnFull::stop : OnFull::slide;
}

// A model without a template cannot hold a conversation: that is said before the first question.
void require_template(const Talk& talk) {
  try {
    if (!talk.messages.empty()) {
      const std::string is_renderable = talk.prompt();
    }
  } catch (const phial::Error& error) {
    if (std::strcmp(error.code(), "not_found") != 0) throw;
    throw phial::Error("not_found", error.where(), error.message(),
                       "give one with --template FILE, or use 'phial run --raw'");
  }
}

void check_template(const phial::Model& model, const std::optional<std::string>& text) {
  Talk probe(model, text, 1);
  probe.messages.push_back({{"role", "user"}, {"content", "?"}});
  require_template(probe);
}

int answer_pipe(const ChatCommandLine& options, Chat& chat) {
  const auto ask = [&](std::string_view text) {
    const std::string question(text);
    if (question.find_first_not_of(" \t\r\n") == std::string::npos) return;
    phial::check_text(question, "stdin");
    chat.turn(question);
  };
  if (!stdin_was_open()) fail_usage("chat", "stdin is closed");
  if (options.input) {
    const std::string text = read_input("-");
    if (text.empty()) fail_usage("chat", "stdin is empty: there is no question");
    ask(text);
  } else {
    for_each_stdin_line(ask);
  }
  return 0;
}

void greet(const ChatView& view, const phial::Model& model, const Talk& talk) {
  const Json info = Json::parse(model.info_json());
  const Json& parameters = info["parameters"];
  const std::string size =
      parameters.is_number() ? human_count(parameters.get<double>()) + " parameters, " : "";
  view.note(fmt::format(
      "{}, {}context {}. /help lists commands, Ctrl-D leaves.",
      printable(info["architecture"].is_string() ? info["architecture"].get<std::string>()
                                                 : "a model"),
      size, grouped(talk.context())));
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  CommandLine parser(command.name, command.summary, command.usage, command.examples);
  ChatCommandLine options;
  options.declare(parser);
  if (!parser.parse(arguments)) {
    write_stdout(parser.help());
    return 0;
  }
  options.check();
  const bool interactive = stdin_was_open() && isatty(STDIN_FILENO) == 1 && !options.input &&
                           (stdout_is_terminal() || stderr_is_terminal());
  std::optional<std::string> template_text;
  if (options.template_file) template_text = read_input(*options.template_file);
  const ChatSettings::Values given = ChatSettings::select(parser.given());
  ChatSettings settings(given);

  const phial::Context context = make_context(options.common, Work::compute);
  const phial::Model model =
      load_model(context, options.common, *options.model_path, options.engine.model_options());
  const std::optional<phial::Model> assistant =
      load_assistant(context, options.common, options.assistant_model);
  check_template(model, template_text);
  Talk talk = naming({kContextOption}, [&] {
    return Talk(
        model, template_text,
        choose_context(options.common, model, options.engine.context, std::nullopt, assistant));
  });
  std::optional<SignalEvents> events;
  if (interactive) events.emplace();
  ChatView view({options.common.quiet, options.plain}, events ? &*events : nullptr);
  Chat chat(model, talk, settings, view,
            {*options.model_path, on_full_of(options, interactive), !options.common.quiet,
             assistant ? assistant->get() : nullptr});
  if (options.load) {
    chat.load(*options.load);
    ChatSettings::Values values = settings.values();
    for (const auto& [name, value] : given) {
      values[name] = value;
    }
    settings.assign(values);
  }
  if (options.system) {
    talk.set_system(options.system);
    require_template(talk);
  }
  if (!interactive) return answer_pipe(options, chat);

  greet(view, model, talk);
  const std::string rescued = rescued_chat_path();
  if (!rescued.empty() && ::access(rescued.c_str(), R_OK) == 0) {
    view.note("The last conversation lost its terminal: /load " + rescued);
  }
  const std::string history = options.no_history ? "" : HistoryFile::state_path("chat_history");
  const int code = chat.talk_at(*events, {history, view.color()});
  events.reset();
  // Whoever waits for us shall see what ended us.
  if (code > 128) std::raise(code - 128);
  return code;
}

}  // namespace

const Command kChatCommand = {
    "chat", "talk with a model", "MODEL [-] [options]",
    "  phial chat smollm2.gguf\n"
    "  phial chat smollm2.gguf --system \"Answer in one sentence.\" --temperature 0.7\n"
    "  phial chat smollm2.gguf --load talk.json\n"
    "  phial chat smollm2.gguf < questions.txt > answers.txt\n",
    run};

}  // namespace phial_cli

// The commands of a conversation: /help and the others.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "chat.h"

namespace phial_cli {

struct ChatCommands {
  using Run = void (*)(Chat&, const std::string& argument);
  struct Entry {
    const char* name;
    const char* argument;
    const char* help;
    Run run;
  };
  static const std::vector<Entry>& all();

  static void help(Chat& chat, const std::string&);
  static void system(Chat& chat, const std::string& text);
  static void set(Chat& chat, const std::string& text);
  static void save(Chat& chat, const std::string& path);
  static void load(Chat& chat, const std::string& path);
  static void regenerate(Chat& chat, const std::string&);
  static void undo(Chat& chat, const std::string&);
  static void stats(Chat& chat, const std::string&);
  static void show_template(Chat& chat, const std::string&);
  static void clear(Chat& chat, const std::string&);
  static void quit(Chat& chat, const std::string&) { chat.leave_ = true; }
};

const std::vector<ChatCommands::Entry>& ChatCommands::all() {
  static const std::vector<Entry> kEntries = {
      {"/help", "", "this list", help},
      {"/system", "[TEXT|none]", "show, set or remove the system message", system},
      {"/set", "[NAME [VALUE]]", "show or set generation options; 'default' takes one back", set},
      {"/save", "FILE", "write the conversation to a file", save},
      {"/load", "FILE", "go on with a conversation from a file", load},
      {"/regen", "", "answer the last question again", regenerate},
      {"/undo", "", "take the last question and its answer back", undo},
      {"/stats", "", "tokens, speed, context and memory", stats},
      {"/template", "", "show the conversation as the model reads it", show_template},
      {"/clear", "", "begin anew; the system message and options stay", clear},
      {"/quit", "", "leave (/exit, /bye and Ctrl-D, too)", quit}};
  return kEntries;
}

namespace {

std::string expanded_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  return path.starts_with("~/") && home != nullptr ? home + path.substr(1) : path;
}

std::string needed(const std::string& argument, const char* command) {
  if (argument.empty()) fail_usage(command, "needs the name of a file");
  return expanded_home(argument);
}

std::string plural(int64_t count, const char* noun) {
  return fmt::format("{} {}{}", grouped(count), noun, count == 1 ? "" : "s");
}

}  // namespace

void ChatCommands::help(Chat& chat, const std::string&) {
  for (const Entry& entry : all()) {
    chat.view_.say(
        fmt::format("{:<24}  {}", fmt::format("{} {}", entry.name, entry.argument), entry.help));
  }
  chat.view_.say(
      "\n"
      "A line that ends with \\ goes on in the next one; so does everything between \"\"\" and\n"
      "\"\"\". Pasted text is one message. Ctrl-C stops an answer and keeps it. A message that\n"
      "begins with a slash wants a space in front.");
}

void ChatCommands::system(Chat& chat, const std::string& text) {
  if (text.empty()) {
    chat.view_.say(without_controls(chat.talk_.system().value_or("no system message")));
    return;
  }
  const std::optional<std::string> before = chat.talk_.system();
  const bool remove = text == "none";
  chat.talk_.set_system(remove ? std::nullopt : std::optional(text));
  try {
    if (!chat.talk_.messages.empty()) {
      const std::string is_renderable = chat.talk_.prompt();
    }
  } catch (const phial::Error&) {
    chat.talk_.set_system(before);
    throw;
  }
  chat.view_.note(remove ? "no system message" : "the system message is set");
}

void ChatCommands::set(Chat& chat, const std::string& text) {
  const size_t space = std::min(text.find(' '), text.size());
  const std::string name = text.substr(0, space);
  const size_t begin = std::min(text.find_first_not_of(' ', space), text.size());
  const std::string value = text.substr(begin);
  if (!value.empty()) {
    chat.settings_.set(name, value);
    chat.view_.note(fmt::format("{} {}", name, value));
    return;
  }
  bool shown = false;
  ChatSettings::for_each([&](const CommandLine::Option& option) {
    const std::string short_name = ChatSettings::short_name(option.name);
    if (!name.empty() && name != short_name && name != option.name) return;
    const auto found = chat.settings_.values().find(option.name);
    const bool is_set = found != chat.settings_.values().end();
    std::string now = is_set ? "" : "-";
    for (const std::string& given : is_set ? found->second : std::vector<std::string>()) {
      now += (now.empty() ? "" : ", ") + (option.value.empty() ? "on" : printable(given));
    }
    chat.view_.say(fmt::format("{:<22} {:<10} {}", short_name, now, option.help));
    shown = true;
  });
  // Says what is wrong with the name.
  if (!shown) chat.settings_.set(name, "default");
}

void ChatCommands::save(Chat& chat, const std::string& path) {
  chat.save(needed(path, "/save"));
  chat.view_.note(fmt::format("saved: {}",
                              plural(static_cast<int64_t>(chat.talk_.messages.size()), "message")));
}

void ChatCommands::load(Chat& chat, const std::string& path) {
  chat.load(needed(path, "/load"));
  chat.view_.note(fmt::format("loaded: {}, {}",
                              plural(static_cast<int64_t>(chat.talk_.messages.size()), "message"),
                              plural(chat.talk_.length(), "token")));
}

void ChatCommands::regenerate(Chat& chat, const std::string&) {
  const Json before = chat.talk_.messages;
  if (!chat.talk_.take_answer()) fail_usage("/regen", "there is no answer yet");
  const auto sampling = chat.settings_.flags().request(chat.model_).sampling;
  if ((sampling ? *sampling : chat.model_.sampling()).do_sample == 0) {
    chat.view_.note(
        "greedy decoding gives the same answer again; '/set temperature 0.8' changes that");
  }
  const QuietKeys quiet_keys;
  bool answered = false;
  try {
    answered = chat.answer();
  } catch (...) {
    chat.talk_.messages = before;
    throw;
  }
  if (!answered) chat.talk_.messages = before;
}

void ChatCommands::undo(Chat& chat, const std::string&) {
  if (!chat.talk_.take_turn()) fail_usage("/undo", "there is nothing to take back");
  const auto left = static_cast<int64_t>(chat.talk_.messages.size());
  chat.view_.note(
      fmt::format("taken back; {} left", left == 0 ? "no message" : plural(left, "message")));
}

void ChatCommands::stats(Chat& chat, const std::string&) {
  const TurnStats& turn = chat.last_;
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const double seconds = turn.prefill_ms / 1000;
  chat.view_.say(fmt::format("prompt    {}: {} kept, {} computed in {:.2f} s ({:.1f} tok/s)",
                             plural(turn.prompt_tokens, "token"), grouped(turn.kept_tokens),
                             grouped(turn.computed_tokens), seconds,
                             per_second(turn.computed_tokens, turn.prefill_ms)));
  chat.view_.say(fmt::format("answer    {} in {:.2f} s ({:.1f} tok/s)",
                             plural(turn.new_tokens, "token"), turn.decode_ms / 1000,
                             per_second(turn.new_tokens - 1, turn.decode_ms)));
  chat.view_.say(fmt::format(
      "context   {} of {} tokens ({:.1f}%), {}", grouped(chat.talk_.length()),
      grouped(chat.talk_.context()),
      100.0 * static_cast<double>(chat.talk_.length()) / static_cast<double>(chat.talk_.context()),
      plural(static_cast<int64_t>(chat.talk_.messages.size()), "message")));
  chat.view_.say(fmt::format("memory    {} at most",
                             human_bytes(1024.0 * static_cast<double>(usage.ru_maxrss))));
}

void ChatCommands::show_template(Chat& chat, const std::string&) {
  if (chat.talk_.messages.empty()) fail_usage("/template", "there is no message yet");
  chat.view_.say(without_controls(chat.talk_.prompt()));
}

void ChatCommands::clear(Chat& chat, const std::string&) {
  const std::optional<std::string> system = chat.talk_.system();
  chat.talk_.messages = Json::array();
  chat.talk_.set_system(system);
  chat.last_ = {};
  chat.answers_ = 0;
  chat.view_.note("a new conversation");
}

void run_chat_command(Chat& chat, const std::string& line) {
  const size_t end = std::min(line.find_first_of(" \t\n"), line.size());
  std::string name = line.substr(0, end);
  if (name == "/exit" || name == "/bye") name = "/quit";
  const size_t begin = std::min(line.find_first_not_of(" \t\n", end), line.size());
  std::string argument = line.substr(begin);
  argument.erase(argument.find_last_not_of(" \t\n") + 1);
  std::vector<std::string> names;
  for (const ChatCommands::Entry& entry : ChatCommands::all()) {
    if (name == entry.name) {
      if (*entry.argument == '\0' && !argument.empty()) fail_usage(name, "takes no argument");
      entry.run(chat, argument);
      return;
    }
    names.emplace_back(entry.name);
  }
  const std::string similar = closest(name, names);
  fail_usage("", fmt::format("no command {}", name),
             similar.empty() ? "/help lists them" : fmt::format("did you mean {}?", similar));
}

namespace {

std::vector<std::string> file_names(const std::string& begun) {
  namespace fs = std::filesystem;
  const size_t slash = begun.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "" : begun.substr(0, slash + 1);
  std::vector<std::string> names;
  std::error_code error;
  const std::string where = expanded_home(folder.empty() ? "." : folder);
  for (fs::directory_iterator entry(where, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    const std::string suffix = entry->is_directory(ignored) ? "/" : "";
    const std::string name = folder + entry->path().filename().string() + suffix;
    if (name.starts_with(begun)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::vector<std::string> complete_chat_command(const std::string& line) {
  if (!line.starts_with('/')) return {};
  const size_t space = line.find(' ');
  std::vector<std::string> words;
  const std::string last = line.substr(line.find_last_of(' ') + 1);
  if (space == std::string::npos) {
    for (const ChatCommands::Entry& entry : ChatCommands::all()) words.emplace_back(entry.name);
  } else if (line.starts_with("/save ") || line.starts_with("/load ")) {
    return file_names(last);
  } else if (line.starts_with("/set ") && line.find(' ', space + 1) == std::string::npos) {
    ChatSettings::for_each([&words](const CommandLine::Option& option) {
      words.push_back(ChatSettings::short_name(option.name));
    });
  } else if (line.starts_with("/set ")) {
    const std::string name = line.substr(space + 1, line.find(' ', space + 1) - space - 1);
    ChatSettings::for_each([&](const CommandLine::Option& option) {
      if (ChatSettings::short_name(option.name) != name) return;
      words = option.choices;
      if (option.value.empty()) words = {"on", "off"};
      words.emplace_back("default");
    });
  }
  std::erase_if(words, [&last](const std::string& word) { return !word.starts_with(last); });
  return words;
}

}  // namespace phial_cli

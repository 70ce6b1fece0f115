#include "chat.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "chat_file.h"
#include "input.h"
#include "output_file.h"
#include "progress.h"

namespace phial_cli {
namespace {

namespace fs = std::filesystem;

// What is kept free for an answer before it begins: enough for a few sentences.
constexpr int64_t kMostRoom = 256;
// After turns were forgotten, this part of the context is free, so that it does not happen anew
// with every turn: each time the conversation has to be read again.
constexpr int64_t kFreedPart = 4;

bool is_cancelled(phial_finish finish) { return finish == PHIAL_FINISH_CANCELLED; }

}  // namespace

bool Chat::turn(const std::string& question) {
  talk_.messages.push_back({{"role", "user"}, {"content", question}});
  try {
    if (answer()) return true;
  } catch (...) {
    talk_.take_turn();
    throw;
  }
  talk_.take_turn();
  return false;
}

// Answers the last message; false when no token came.
bool Chat::answer() {
  const int64_t most = settings_.flags().max_new_tokens.value_or(-1);
  const int64_t room = std::clamp<int64_t>(most >= 0 ? most : kMostRoom, 1,
                                           std::max<int64_t>(1, talk_.context() / 8));
  last_ = {};
  std::vector<int32_t> ids;
  std::string text;
  phial_finish finish = PHIAL_FINISH_LENGTH;
  if (events_ != nullptr) events_->take_interrupt();
  while (true) {
    if (!talk_.prepare(ids.empty() ? room : 1, ids, last_) && !make_room(last_, ids)) break;
    const int64_t left = most < 0 ? -1 : most - static_cast<int64_t>(ids.size());
    const phial::Answer part = generate(left, last_);
    ids.insert(ids.end(), part.ids.begin(), part.ids.end());
    text += part.text;
    finish = part.finish;
    const bool at_most = most >= 0 && static_cast<int64_t>(ids.size()) >= most;
    if (!last_.context_is_full || at_most || part.ids.empty()) break;
  }
  last_.finish = finish;
  if (ids.empty() && is_cancelled(finish)) {
    view_.note("stopped before the answer began; the question is undone");
    return false;
  }
  view_.end_answer();
  talk_.messages.push_back({{"role", "assistant"}, {"content", text}});
  view_.stats_line(last_, talk_.length(), talk_.context());
  return true;
}

phial::Answer Chat::generate(int64_t max_new_tokens, TurnStats& stats) {
  phial::GenerateOptions request = settings_.flags().request(model_);
  request.plain.assistant = options_.assistant;
  if (request.sampling && request.sampling->has_seed != 0) request.sampling->seed += answers_;
  ++answers_;
  if (max_new_tokens >= 0) request.plain.max_new_tokens = max_new_tokens;
  Progress progress("reading", "tokens", options_.show_progress);
  Talk::OnProgress on_progress;
  if (options_.show_progress) {
    on_progress = [&progress](int64_t done, int64_t total) {
      progress.update(static_cast<double>(done), static_cast<double>(total));
    };
  }
  bool streamed = false;
  const auto on_token = [&](int32_t, std::string_view text) {
    progress.clear();
    streamed = true;
    view_.answer(text);
    return !view_.lost();
  };
  const phial::Answer answer = talk_.answer(request, on_token, on_progress, stats);
  progress.clear();
  // Beams are known at the end only.
  if (!streamed) view_.answer(answer.text);
  return answer;
}

bool Chat::may_forget(int64_t needed) {
  if (options_.on_full != OnFull::ask || editor_ == nullptr) {
    return options_.on_full != OnFull::stop;
  }
  view_.end_answer();
  view_.say(fmt::format("The context is full: the conversation takes {} of {} tokens.",
                        grouped(needed), grouped(talk_.context())));
  while (true) {
    const Editor::Input input = editor_->line("forget the oldest turns, or stop? [f/s] ");
    if (input.kind != Editor::Kind::text) return false;
    if (input.text.empty() || input.text[0] == 'f' || input.text[0] == 'F') return true;
    if (input.text[0] == 's' || input.text[0] == 'S') return false;
  }
}

// The conversation and the answer so far do not fit. True when they were made to.
bool Chat::make_room(TurnStats& stats, const std::vector<int32_t>& ids) {
  const int64_t needed = stats.prompt_tokens + static_cast<int64_t>(ids.size());
  const bool in_answer = !ids.empty();
  if (!may_forget(needed)) {
    if (in_answer) {
      view_.note("the context is full: the answer ends here");
      return false;
    }
    throw phial::Error("context_full", "chat",
                       fmt::format("the conversation takes {} tokens of a context of {}",
                                   grouped(needed), grouped(talk_.context())),
                       "undo or clear it, or let the oldest turns be forgotten: --on-full slide");
  }
  int64_t forgotten = 0;
  const int64_t freed = std::max<int64_t>(1, talk_.context() / kFreedPart);
  bool fits = false;
  while (!fits && talk_.forget_oldest()) {
    ++forgotten;
    fits = talk_.prepare(freed, ids, stats);
  }
  // The last question alone: whatever is left over will do.
  if (!fits) fits = talk_.prepare(1, ids, stats);
  if (forgotten > 0) {
    view_.note(fmt::format("the context is full: the oldest {} forgotten",
                           forgotten == 1 ? "turn is" : fmt::format("{} turns are", forgotten)));
  }
  if (fits) return true;
  if (in_answer) {
    view_.note("the context is full: the answer ends here");
    return false;
  }
  throw phial::Error("context_full", "chat",
                     fmt::format("the message takes {} tokens, the context is {}",
                                 grouped(stats.prompt_tokens), grouped(talk_.context())),
                     "shorten it, or use a larger --context");
}

int Chat::talk_at(SignalEvents& events, const EditorOptions& editor_options) {
  Editor editor(events, editor_options, complete_chat_command);
  editor_ = &editor;
  events_ = &events;
  struct Forget {
    Chat& chat;
    ~Forget() {
      chat.editor_ = nullptr;
      chat.events_ = nullptr;
    }
  } const forget{*this};
  while (!leave_ && !view_.lost()) {
    const Editor::Input input = editor.message("> ");
    if (input.kind == Editor::Kind::end) break;
    if (input.kind == Editor::Kind::interrupted) {
      view_.note("\n/quit or Ctrl-D leaves");
      continue;
    }
    try {
      if (input.text.find_first_not_of(" \t\n") == std::string::npos) continue;
      if (!input.verbatim && input.text[0] == '/') {
        run_chat_command(*this, input.text);
        continue;
      }
      phial::check_text(input.text, "the message");
      const QuietKeys quiet_keys;
      turn(input.text);
    } catch (const phial::Error& error) {
      view_.say(error.what());
    }
  }
  if (events.ending() == 0 && !view_.lost() && !editor.lost()) {
    if (!leave_) view_.note("");
    return 0;
  }
  rescue();
  return 128 + (events.ending() != 0 ? events.ending() : SIGHUP);
}

void Chat::write(const std::string& path, const std::string& cache) {
  OutputFile file(path, {options_.model_path});
  file.append(talk_json(
      {talk_.messages, settings_.values(), model_fingerprint(model_), talk_.segments(), cache}));
  file.commit();
}

void Chat::save(const std::string& path) {
  const std::string cache = path + ".kv";
  const bool computed = talk_.sequence().computed() > 0;
  if (computed) {
    // The model is no place to write to; nor is anything but a file.
    const OutputFile is_writable(cache, {options_.model_path});
    talk_.sequence().save(cache);
  }
  write(path, computed ? fs::path(cache).filename().string() : "");
}

void Chat::restore(const SavedTalk& saved, const std::string& path) {
  if (saved.fingerprint != model_fingerprint(model_)) {
    talk_.restore({});
    view_.note("saved with another model: its answers are read as text");
    return;
  }
  if (!saved.cache.empty() && path != "-") {
    const fs::path cache = fs::path(path).parent_path() / saved.cache;
    try {
      if (talk_.restore(saved.segments, cache.string())) return;
      view_.note("the cache beside it is of another conversation: the next turn reads this one");
    } catch (const phial::Error& error) {
      view_.note(fmt::format("the cache beside it is not used, the next turn reads all of it: {}",
                             without_controls(error.what())));
    }
  }
  talk_.restore(saved.segments);
}

void Chat::load(const std::string& path) {
  const SavedTalk saved = parse_talk(read_input(path), input_name(path));
  ChatSettings settings(saved.options);
  const Json messages = std::exchange(talk_.messages, saved.messages);
  try {
    if (!saved.messages.empty()) {
      const std::string is_renderable = talk_.prompt();
    }
    restore(saved, path);
  } catch (...) {
    talk_.messages = messages;
    throw;
  }
  settings_ = settings;
  // What was rescued has found its way back.
  if (path == rescued_chat_path()) ::unlink(path.c_str());
}

std::string rescued_chat_path() { return HistoryFile::state_path("rescued-chat.json"); }

// The terminal is gone, and with it what was said: unless it is kept for the next time.
void Chat::rescue() {
  const std::string path = rescued_chat_path();
  if (path.empty() || talk_.messages.size() < 2) return;
  try {
    make_folders_of(path);
    const mode_t mask = ::umask(0077);
    write(path, /*cache=*/"");
    ::umask(mask);
  } catch (const phial::Error&) {
    // Nobody is there to be told.
  }
}

}  // namespace phial_cli

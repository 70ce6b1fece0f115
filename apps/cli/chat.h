// A conversation with a model: turns, commands, and what happens when the context is full.
#pragma once

#include <optional>
#include <phial/phial.hpp>
#include <string>

#include "chat_editor.h"
#include "chat_file.h"
#include "chat_settings.h"
#include "chat_view.h"
#include "talk.h"

namespace phial_cli {

// When the context cannot hold the conversation.
enum class OnFull {
  ask,    // the reader decides
  slide,  // the oldest turns are forgotten, and a note says so
  stop,   // nothing more is answered
};

struct ChatOptions {
  std::string model_path;
  OnFull on_full = OnFull::slide;
  bool show_progress = false;
  phial_model* assistant = nullptr;  // drafts what the model checks
};

class Chat {
 public:
  Chat(const phial::Model& model, Talk& talk, ChatSettings& settings, ChatView& view,
       const ChatOptions& options)
      : model_(model), talk_(talk), settings_(settings), view_(view), options_(options) {}

  // One turn. False when there is no answer (the context is full, or it was stopped before its
  // first token): the question is then taken back and a note says why. Throws phial::Error, and
  // the question is taken back, too.
  bool turn(const std::string& question);

  // Reads and answers until the reader leaves. Returns the exit code.
  int talk_at(SignalEvents& events, const EditorOptions& editor);

  void load(const std::string& path);
  // The conversation, and beside it what was computed of it.
  void save(const std::string& path);

 private:
  friend struct ChatCommands;

  bool answer();
  bool make_room(TurnStats& stats, const std::vector<int32_t>& ids);
  bool may_forget(int64_t needed);
  phial::Answer generate(int64_t max_new_tokens, TurnStats& stats);
  void write(const std::string& path, const std::string& cache);
  void restore(const SavedTalk& saved, const std::string& path);
  void rescue();

  const phial::Model& model_;
  Talk& talk_;
  ChatSettings& settings_;
  ChatView& view_;
  ChatOptions options_;
  Editor* editor_ = nullptr;        // while somebody is there to be asked
  SignalEvents* events_ = nullptr;  // likewise
  TurnStats last_;
  uint64_t answers_ = 0;  // since the conversation began: each has its own random numbers
  bool leave_ = false;
};

// Where a conversation is kept whose terminal has died; empty without a home.
std::string rescued_chat_path();

// Runs `line`, which begins with a slash. Throws phial::Error.
void run_chat_command(Chat& chat, const std::string& line);
// What may be typed in place of the last word of `line`.
std::vector<std::string> complete_chat_command(const std::string& line);

}  // namespace phial_cli

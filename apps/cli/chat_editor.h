// Reading what is typed at a terminal: line editing and history (libedit), pasted text as one
// piece, messages of several lines.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "interrupt.h"

namespace phial_cli {

// Where the lines that were entered are kept between conversations, a JSON string a line, readable
// by their owner alone. Several programs may add to it. What cannot be read or written is left out.
class HistoryFile {
 public:
  // Empty: nothing is kept.
  explicit HistoryFile(std::string path) : path_(std::move(path)) {}

  // The newest ones, oldest first.
  std::vector<std::string> load() const;
  void append(const std::string& entry) const;

  // $XDG_STATE_HOME/phial/NAME, else ~/.local/state/phial/NAME; empty without a home.
  static std::string state_path(const std::string& name);

 private:
  std::string path_;
};

// Makes the folders that the file lies in, for its owner alone, as far as they are missing.
void make_folders_of(const std::string& path);

struct EditorOptions {
  std::string history_path;  // empty: no history is kept
  bool color = true;
};

class Editor {
 public:
  enum class Kind { text, interrupted, end };
  struct Input {
    Kind kind = Kind::end;
    std::string text;
    bool verbatim = false;  // begins with pasted text: no command, whatever it looks like
  };
  // The words that may stand in place of the last one of `line`.
  using Completer = std::function<std::vector<std::string>(const std::string& line)>;

  // Reads stdin and draws on stdout, or on stderr when stdout is no terminal.
  Editor(SignalEvents& events, const EditorOptions& options, Completer completer);
  ~Editor();
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  // One line, without its newline. Ctrl-C gives `interrupted`; Ctrl-D on an empty line, a terminal
  // that is gone and a signal that asks to end give `end`.
  Input line(const std::string& prompt);
  // A message: one line, or several, each but the last ended by a backslash, or all between """.
  // Pasted text of several lines is one piece. Remembered in the history.
  Input message(const std::string& prompt);
  // Whether the terminal has gone away.
  bool lost() const;

 private:
  struct State;  // what libedit's callbacks see
  std::unique_ptr<State> state_;
};

// While this object lives, what is typed at the terminal does not appear, and waits.
class QuietKeys {
 public:
  QuietKeys();
  ~QuietKeys();
  QuietKeys(const QuietKeys&) = delete;
  QuietKeys& operator=(const QuietKeys&) = delete;

 private:
  struct Saved;
  std::unique_ptr<Saved> saved_;
};

}  // namespace phial_cli

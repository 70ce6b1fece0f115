// What a conversation shows: answers on stdout, everything else on stderr.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "chat_markdown.h"
#include "interrupt.h"
#include "talk.h"

namespace phial_cli {

struct ViewOptions {
  bool quiet = false;
  bool plain = false;  // no Markdown, no colour, also on a terminal
};

class ChatView {
 public:
  // `events` tells of resizes; may be null.
  ChatView(const ViewOptions& options, SignalEvents* events);

  bool color() const { return color_; }
  bool rich() const { return markdown_.has_value(); }

  // Whether the terminal has gone away: nothing is shown any more.
  bool lost() const { return lost_; }

  // An answer as it comes, and its end. What comes through a pipe is written as it is, and an error
  // of the pipe is thrown.
  void answer(std::string_view text);
  void end_answer();
  // A line for the reader of the terminal; nothing with --quiet.
  void note(const std::string& text) const;
  // A line that the reader asked for, or must see.
  void say(const std::string& text) const;
  // How fast the answer came and how full the context is.
  void stats_line(const TurnStats& stats, int64_t length, int64_t context) const;

 private:
  void write(std::string_view text);

  ViewOptions options_;
  SignalEvents* events_;
  bool terminal_;
  bool color_;
  bool lost_ = false;
  std::optional<Markdown> markdown_;
};

// The columns of the terminal that stdout is, or 80.
size_t terminal_columns();
// Whether a terminal may be given colours: NO_COLOR is not set, and it is not a "dumb" one.
bool wants_color();
// Makes the C library decode UTF-8, whatever the locale; whether the user's locale does.
bool use_utf8();

double per_second(int64_t tokens, double ms);

}  // namespace phial_cli

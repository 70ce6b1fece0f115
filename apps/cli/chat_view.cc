#include "chat_view.h"

#include <fmt/format.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <cstring>

namespace phial_cli {

size_t terminal_columns() {
  struct winsize size {};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

bool wants_color() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return (no_color == nullptr || *no_color == '\0') && term != nullptr &&
         std::strcmp(term, "dumb") != 0;
}

bool use_utf8() {
  const auto is_utf8 = [] { return std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0; };
  std::setlocale(LC_CTYPE, "");
  if (is_utf8()) return true;
  std::setlocale(LC_CTYPE, "C.UTF-8");
  return false;
}

double per_second(int64_t tokens, double ms) {
  return ms > 0 && tokens > 0 ? 1000.0 * static_cast<double>(tokens) / ms : 0;
}

ChatView::ChatView(const ViewOptions& options, SignalEvents* events)
    : options_(options), events_(events), terminal_(stdout_is_terminal()) {
  const bool unicode = use_utf8();
  color_ = wants_color() && !options.plain;
  if (terminal_ && color_) markdown_.emplace(MarkdownStyle{terminal_columns(), unicode});
}

void ChatView::answer(std::string_view text) {
  if (text.empty()) return;
  if (!markdown_) {
    write(terminal_ ? without_controls(text) : std::string(text));
    return;
  }
  if (events_ != nullptr && events_->take_resize()) markdown_->resize(terminal_columns());
  write(markdown_->push(text));
}

void ChatView::write(std::string_view text) {
  if (lost_) return;
  try {
    write_stdout(text);
  } catch (const phial::Error&) {
    if (!terminal_) throw;
    lost_ = true;
  }
}

void ChatView::end_answer() { write((markdown_ ? markdown_->finish() : std::string()) + '\n'); }

void ChatView::say(const std::string& text) const {
  const bool dim = color_ && stderr_is_terminal() && !text.empty();
  const std::string line = dim ? "\033[2m" + text + "\033[0m\n" : text + '\n';
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

void ChatView::note(const std::string& text) const {
  if (!options_.quiet) say(text);
}

void ChatView::stats_line(const TurnStats& stats, int64_t length, int64_t context) const {
  if (options_.quiet || !stderr_is_terminal()) return;
  std::string line = fmt::format(
      "{} tokens  {:.1f} tok/s  context {} of {} ({:.0f}%)", grouped(stats.new_tokens),
      per_second(stats.new_tokens - 1, stats.decode_ms), grouped(length), grouped(context),
      100.0 * static_cast<double>(length) / static_cast<double>(context));
  if (stats.finish == PHIAL_FINISH_CANCELLED) line += "  stopped";
  if (stats.finish == PHIAL_FINISH_LENGTH) {
    line += stats.context_is_full ? "  stopped: context full" : "  stopped: --max-new-tokens";
  }
  note(line);
}

}  // namespace phial_cli

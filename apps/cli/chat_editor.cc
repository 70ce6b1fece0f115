#include "chat_editor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <histedit.h>
#include <poll.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "output.h"

namespace phial_cli {
namespace {

constexpr int kHistoryEntries = 1000;
constexpr size_t kHistoryFileBytes = 4 << 20;
// Longer messages are somebody's text rather than something to be asked again.
constexpr size_t kHistoryEntryBytes = 4096;
// Pasted text up to this length and without a newline can be edited; other text stands in the line
// as a mark.
constexpr size_t kInlinePasteBytes = 256;
constexpr wchar_t kReplacement = 0xFFFD;
constexpr char kPasteBegin[] = "\033[200~";
constexpr char kPasteEnd[] = "\033[201~";
constexpr wchar_t kPromptEscape = L'\1';

void append_utf8(std::string& out, wchar_t character) {
  auto c = static_cast<uint32_t>(character);
  if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) c = kReplacement;
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string narrow(const wchar_t* begin, const wchar_t* end) {
  std::string out;
  for (; begin != end; ++begin) append_utf8(out, *begin);
  return out;
}

// One character from the front of `bytes`; nothing is taken when it is not whole yet.
bool take_character(std::string& bytes, wchar_t& character) {
  if (bytes.empty()) return false;
  const auto lead = static_cast<unsigned char>(bytes[0]);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
  const auto replaced = [&](size_t taken) {
    bytes.erase(0, taken);
    character = kReplacement;
    return true;
  };
  if (length == 0) return replaced(1);
  uint32_t value = length == 1 ? lead : lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return false;
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if ((byte & 0xC0) != 0x80) return replaced(i);
    value = value << 6 | (byte & 0x3Fu);
  }
  bytes.erase(0, length);
  character = static_cast<wchar_t>(value);
  return true;
}

std::wstring widened(const std::string& text) {
  std::string bytes = text;
  std::wstring out;
  wchar_t character = 0;
  while (take_character(bytes, character)) out += character;
  return out;
}

}  // namespace

struct Editor::State {
  SignalEvents& events;
  Completer completer;
  EditorOptions options;
  HistoryFile history_file;
  EditLine* el = nullptr;
  HistoryW* history = nullptr;
  std::wstring prompt;
  std::string bytes;  // read from the terminal, not decoded yet
  bool pasting = false;
  bool gone = false;                          // the terminal has ended
  std::map<std::string, std::string> pasted;  // by the marks that stand for them

  State(SignalEvents& signal_events, Completer words, const EditorOptions& given)
      : events(signal_events),
        completer(std::move(words)),
        options(given),
        history_file(given.history_path) {}

  static State& of(EditLine* el) {
    State* state = nullptr;
    el_wget(el, EL_CLIENTDATA, &state);
    return *state;
  }

  bool fill();
  unsigned char paste();
  unsigned char complete();
  std::string expanded(const std::string& line) const;
  void remember(const std::string& message);

  static int read_character(EditLine* el, wchar_t* out);
  static wchar_t* prompt_text(EditLine* el) { return of(el).prompt.data(); }
};

// More bytes from the terminal; false when an interrupt or the end came first.
bool Editor::State::fill() {
  struct pollfd sources[2] = {{STDIN_FILENO, POLLIN, 0}, {events.wake_fd(), POLLIN, 0}};
  while (true) {
    if (events.ending() != 0) return false;
    if (poll(sources, 2, -1) < 0 && errno != EINTR) return false;
    if (sources[1].revents != 0) {
      events.drain();
      if (events.take_resize()) {
        el_resize(el);
        if (!pasting) el_wset(el, EL_REFRESH);
      }
      if (events.ending() != 0) return false;
      if (events.take_interrupt()) {
        errno = EINTR;
        return false;
      }
    }
    if (sources[0].revents == 0) continue;
    char chunk[4096];
    const ssize_t got = ::read(STDIN_FILENO, chunk, sizeof(chunk));
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) {
      gone = true;
      return false;
    }
    bytes.append(chunk, static_cast<size_t>(got));
    return true;
  }
}

int Editor::State::read_character(EditLine* el, wchar_t* out) {
  State& state = of(el);
  while (!take_character(state.bytes, *out)) {
    if (!state.fill()) return state.gone || state.events.ending() != 0 ? 0 : -1;
  }
  return 1;
}

unsigned char Editor::State::paste() {
  std::string text;
  pasting = true;
  size_t end = std::string::npos;
  // The bytes are looked at as they come: decoding 50 kB one by one through libedit takes longer
  // than the terminal needs to send them.
  while (true) {
    text += std::exchange(bytes, {});
    end = text.find(kPasteEnd);
    if (end != std::string::npos || !fill()) break;
  }
  pasting = false;
  if (end == std::string::npos) return CC_EOF;
  bytes = text.substr(end + sizeof(kPasteEnd) - 1);
  text.resize(end);
  // Terminals send a carriage return for each end of a line.
  for (size_t at = 0; (at = text.find('\r', at)) != std::string::npos;) {
    if (at + 1 < text.size() && text[at + 1] == '\n') {
      text.erase(at, 1);
    } else {
      text[at] = '\n';
    }
  }
  std::string checked;
  for (const wchar_t c : widened(text)) append_utf8(checked, c);
  const bool short_line =
      checked.size() <= kInlinePasteBytes &&
      std::all_of(checked.begin(), checked.end(), [](char c) { return c >= ' ' || c < 0; });
  std::string inserted = checked;
  if (!short_line) {
    const auto lines = 1 + std::count(checked.begin(), checked.end(), '\n');
    inserted = fmt::format("[pasted text {}: {} {}, {}]", pasted.size() + 1, grouped(lines),
                           lines == 1 ? "line" : "lines",
                           human_bytes(static_cast<double>(checked.size())));
    pasted[inserted] = checked;
  }
  if (!inserted.empty()) el_winsertstr(el, widened(inserted).c_str());
  return CC_REFRESH;
}

unsigned char Editor::State::complete() {
  const LineInfoW* info = el_wline(el);
  const std::string line = narrow(info->buffer, info->cursor);
  const std::vector<std::string> words = completer(line);
  if (words.empty()) return CC_REFRESH_BEEP;
  const size_t space = line.find_last_of(' ');
  const std::string last = space == std::string::npos ? line : line.substr(space + 1);
  std::string common = words.front();
  for (const std::string& word : words) {
    const auto differ = std::mismatch(common.begin(), common.end(), word.begin(), word.end());
    common.erase(differ.first, common.end());
  }
  if (words.size() == 1 && !common.ends_with('/')) common += ' ';
  if (common.size() > last.size() && common.starts_with(last)) {
    el_winsertstr(el, widened(common.substr(last.size())).c_str());
    return CC_REFRESH;
  }
  std::string list = "\n";
  for (const std::string& word : words) list += "  " + printable(word);
  list += '\n';
  FILE* out = nullptr;
  el_get(el, EL_GETFP, 1, &out);
  fputs(list.c_str(), out);
  return CC_REDISPLAY;
}

// The line with pasted text in place of its marks.
std::string Editor::State::expanded(const std::string& line) const {
  std::string out = line;
  for (const auto& [mark, text] : pasted) {
    const size_t at = out.find(mark);
    if (at != std::string::npos) out.replace(at, mark.size(), text);
  }
  return out;
}

void Editor::State::remember(const std::string& message) {
  if (message.empty() || message.size() > kHistoryEntryBytes) return;
  HistEventW event;
  history_w(history, &event, H_ENTER, widened(message).c_str());
  history_file.append(message);
}

Editor::Editor(SignalEvents& events, const EditorOptions& options, Completer completer)
    : state_(std::make_unique<State>(events, std::move(completer), options)) {
  State& state = *state_;
  FILE* out = stdout_is_terminal() ? stdout : stderr;
  state.el = el_init("phial", stdin, out, stderr);
  if (state.el == nullptr) throw phial::Error("io_error", "chat", "the terminal cannot be used");
  EditLine* el = state.el;
  el_wset(el, EL_CLIENTDATA, &state);
  el_wset(el, EL_SIGNAL, 0);
  el_wset(el, EL_EDITOR, L"emacs");
  el_wset(el, EL_PROMPT_ESC, State::prompt_text, kPromptEscape);
  el_wset(el, EL_GETCFN, State::read_character);

  state.history = history_winit();
  HistEventW event;
  history_w(state.history, &event, H_SETSIZE, kHistoryEntries);
  history_w(state.history, &event, H_SETUNIQUE, 1);
  for (const std::string& entry : state.history_file.load()) {
    history_w(state.history, &event, H_ENTER, widened(entry).c_str());
  }
  el_wset(el, EL_HIST, history_w, state.history);

  el_wset(
      el, EL_ADDFN, L"phial-paste", L"take pasted text as one piece",
      +[](EditLine* e, wint_t) { return State::of(e).paste(); });
  el_wset(
      el, EL_ADDFN, L"phial-complete", L"complete a command",
      +[](EditLine* e, wint_t) { return State::of(e).complete(); });
  el_wset(el, EL_BIND, widened(kPasteBegin).c_str(), L"phial-paste", nullptr);
  el_wset(el, EL_BIND, L"\t", L"phial-complete", nullptr);
  el_wset(el, EL_BIND, L"^R", L"em-inc-search-prev", nullptr);
  // The user's own keys, from ~/.editrc.
  el_source(el, nullptr);
}

Editor::~Editor() {
  if (state_->el != nullptr) el_end(state_->el);
  if (state_->history != nullptr) history_wend(state_->history);
}

Editor::Input Editor::line(const std::string& prompt) {
  static constexpr std::string_view kPasteOn = "\033[?2004h";
  static constexpr std::string_view kPasteOff = "\033[?2004l";
  State& state = *state_;
  state.prompt = widened(prompt);
  const size_t last_space = state.prompt.find_last_of(L' ');
  if (state.options.color && last_space != std::wstring::npos) {
    // libedit gives an escape sequence out with the character behind it: the space ends the colour.
    const std::wstring escape(1, kPromptEscape);
    state.prompt = escape + L"\033[1;36m" + escape + state.prompt.substr(0, last_space) + escape +
                   L"\033[0m" + escape + state.prompt.substr(last_space);
  }
  FILE* out = nullptr;
  el_get(state.el, EL_GETFP, 1, &out);
  const auto send = [out](std::string_view text) {
    fwrite(text.data(), 1, text.size(), out);
    fflush(out);
  };
  state.events.take_interrupt();
  if (state.events.take_resize()) el_resize(state.el);
  send(kPasteOn);
  // libedit would show the prompt first: what is typed right then would still be taken by lines.
  el_wset(state.el, EL_PREP_TERM, 1);
  int count = 0;
  const wchar_t* read = el_wgets(state.el, &count);
  Input input;
  if (read != nullptr && count > 0) {
    input.kind = Kind::text;
    input.text = narrow(read, read + count);
    if (input.text.ends_with('\n')) input.text.pop_back();
  } else {
    input.kind =
        state.gone || state.events.ending() != 0 || count >= 0 ? Kind::end : Kind::interrupted;
  }
  send(kPasteOff);
  return input;
}

bool Editor::lost() const { return state_->gone; }

Editor::Input Editor::message(const std::string& prompt) {
  static constexpr std::string_view kQuotes = "\"\"\"";
  const std::string more = ". ";
  state_->pasted.clear();
  Input input = line(prompt);
  if (input.kind != Kind::text) return input;
  std::string& text = input.text;
  for (const auto& [mark, pasted] : state_->pasted) {
    if (text.starts_with(mark)) input.verbatim = true;
  }
  const auto read_more = [&](char separator) {
    Input next = line(more);
    if (next.kind != Kind::text) {
      input.kind = next.kind;
      return false;
    }
    text += separator + next.text;
    return true;
  };
  if (text.starts_with(kQuotes)) {
    text.erase(0, kQuotes.size());
    while (!text.ends_with(kQuotes)) {
      if (!read_more('\n')) return input;
    }
    text.resize(text.size() - kQuotes.size());
    if (text.starts_with('\n')) text.erase(0, 1);
    if (text.ends_with('\n')) text.pop_back();
  } else {
    while (text.ends_with('\\') && !text.ends_with("\\\\")) {
      text.pop_back();
      if (!read_more('\n')) return input;
    }
  }
  text = state_->expanded(text);
  state_->remember(text);
  return input;
}

std::string HistoryFile::state_path(const std::string& name) {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return fmt::format("{}/phial/{}", state, name);
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') {
    return fmt::format("{}/.local/state/phial/{}", home, name);
  }
  return {};
}

std::vector<std::string> HistoryFile::load() const {
  std::vector<std::string> entries;
  std::ifstream file(path_);
  std::string text;
  while (std::getline(file, text)) {
    const Json entry = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (entry.is_string()) entries.push_back(entry.get<std::string>());
  }
  const size_t extra = entries.size() - std::min<size_t>(entries.size(), kHistoryEntries);
  entries.erase(entries.begin(), entries.begin() + static_cast<ptrdiff_t>(extra));
  return entries;
}

void make_folders_of(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    (void)::mkdir(path.substr(0, slash).c_str(), 0700);
  }
}

void HistoryFile::append(const std::string& entry) const {
  if (path_.empty()) return;
  make_folders_of(path_);
  struct stat status {};
  int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
  // Begun anew when it has grown out of proportion; the entries in memory stay.
  if (::stat(path_.c_str(), &status) == 0 &&
      static_cast<size_t>(status.st_size) > kHistoryFileBytes) {
    flags |= O_TRUNC;
  }
  const int fd = ::open(path_.c_str(), flags, 0600);
  if (fd < 0) return;
  const std::string text = Json(entry).dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
  [[maybe_unused]] const ssize_t written = ::write(fd, text.data(), text.size());
  ::close(fd);
}

struct QuietKeys::Saved {
  struct termios settings;
};

QuietKeys::QuietKeys() {
  struct termios now {};
  if (tcgetattr(STDIN_FILENO, &now) != 0) return;
  saved_ = std::make_unique<Saved>(Saved{now});
  // Not by lines: those are cut at 4,096 bytes when nobody reads them.
  now.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
}

QuietKeys::~QuietKeys() {
  if (saved_ != nullptr) tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_->settings);
}

}  // namespace phial_cli

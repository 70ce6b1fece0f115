#include "output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace phial_cli {
namespace {

// Returns 0 or the error number.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

}  // namespace

void write_stdout(std::string_view text) {
  const int error = write_all(STDOUT_FILENO, text);
  if (error == 0) return;
  if (error == EPIPE) throw ReaderGone{};
  throw phial::Error("io_error", "stdout", fmt::format("cannot be written: {}", strerror(error)));
}

void write_json(const Json& value) {
  write_stdout(value.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
}

void write_stderr(std::string_view text) {
  // A closed or full stderr leaves nobody to tell.
  (void)write_all(STDERR_FILENO, fmt::format("phial: {}\n", text));
}

int report_error(const phial::Error& error, bool json) {
  if (json) {
    const Json object = {{"error",
                          {{"code", error.code()},
                           {"message", error.message()},
                           {"where", error.where()},
                           {"hint", error.hint()}}}};
    try {
      write_json(object);
      return error.exit_code();
    } catch (const phial::Error&) {
      // stdout itself is broken: say it on stderr below.
    } catch (const ReaderGone&) {
      return error.exit_code();
    }
  }
  write_stderr(error.what());
  return error.exit_code();
}

bool stdout_is_terminal() { return isatty(STDOUT_FILENO) == 1; }
bool stdout_takes_colours() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return stdout_is_terminal() && (no_colour == nullptr || *no_colour == '\0') &&
         terminal != nullptr && std::string_view(terminal) != "dumb";
}

bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

bool reserve_standard_streams() {
  const bool stdin_open = fcntl(STDIN_FILENO, F_GETFD) != -1;
  // Opened the wrong way round: using one of them gives an error, as if it were closed.
  if (!stdin_open) (void)open("/dev/null", O_WRONLY);
  if (fcntl(STDOUT_FILENO, F_GETFD) == -1) (void)open("/dev/null", O_RDONLY);
  if (fcntl(STDERR_FILENO, F_GETFD) == -1) (void)open("/dev/null", O_WRONLY);
  return stdin_open;
}

std::string printable(std::string_view text) {
  // The library makes the texts of errors printable; there is one place that knows how.
  return phial::Error("internal", "", std::string(text)).message();
}

std::string grouped(int64_t value) {
  std::string digits = fmt::format("{}", value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

namespace {

std::string scaled(double value, const char* const* units, int count) {
  int unit = 0;
  while (value >= 999.5 && unit + 1 < count) {
    value /= 1000;
    ++unit;
  }
  const std::string number = unit == 0 ? fmt::format("{:.0f}", value)
                                       : fmt::format("{:.{}f}", value, value < 9.995 ? 2 : 1);
  return units[unit][0] == '\0' ? number : number + ' ' + units[unit];
}

}  // namespace

std::string human_count(double value) {
  static constexpr const char* kUnits[] = {"", "K", "M", "B", "T"};
  return scaled(value, kUnits, 5);
}

std::string human_bytes(double value) {
  static constexpr const char* kUnits[] = {"bytes", "kB", "MB", "GB", "TB"};
  return scaled(value, kUnits, 5);
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

}  // namespace phial_cli

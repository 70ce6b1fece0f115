#include "progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "output.h"

namespace phial_cli {
namespace {

constexpr std::chrono::milliseconds kShowAfter{1000};
constexpr std::chrono::milliseconds kBetween{100};

std::string amount(double value, const std::string& unit) {
  return unit == "bytes" ? human_bytes(value) : grouped(static_cast<int64_t>(value));
}

std::string duration(double seconds) {
  if (seconds < 99.5) return fmt::format("{:.0f} s", seconds);
  if (seconds < 99.5 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

void show(const std::string& line) {
  struct winsize size {};
  const size_t columns =
      ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79;
  const std::string text = "\r" + line.substr(0, columns) + "\033[K";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

Progress::Progress(std::string what, std::string unit, bool enabled)
    : what_(std::move(what)), unit_(std::move(unit)), enabled_(enabled && stderr_is_terminal()) {}

Progress::~Progress() { clear(); }

void Progress::update(double done, double total) {
  const Clock::time_point now = Clock::now();
  if (!enabled_ || now - begin_ < kShowAfter || (shown_ && now - last_ < kBetween)) return;
  last_ = now;
  shown_ = true;
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  std::string line = what_;
  if (total > 0) {
    line += fmt::format("  {} of {}", amount(std::min(done, total), unit_), amount(total, unit_));
    if (unit_ != "bytes") line += ' ' + unit_;
  }
  if (done > 0) {
    const double rate = done / seconds;
    line += unit_ == "bytes" ? fmt::format("  {}/s", human_bytes(rate))
                             : fmt::format("  {:.{}f} {}/s", rate, rate < 10 ? 1 : 0,
                                           unit_ == "tokens" ? "tok" : unit_);
    if (total > done) line += fmt::format("  {} left", duration((total - done) / rate));
  } else {
    line += fmt::format("  {}", duration(seconds));
  }
  show(line);
}

void Progress::clear() {
  if (shown_) show("");
  shown_ = false;
}

ProgressWatch::ProgressWatch(std::string what, std::string unit, bool enabled, Measure measure) {
  if (!enabled || !stderr_is_terminal()) return;
  thread_ = std::thread(
      [this, what = std::move(what), unit = std::move(unit), measure = std::move(measure)] {
        Progress progress(what, unit, true);
        std::unique_lock lock(mutex_);
        while (!ended_.wait_for(lock, kBetween, [this] { return end_; })) {
          const auto [done, total] = measure();
          progress.update(done, total);
        }
      });
}

ProgressWatch::~ProgressWatch() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

}  // namespace phial_cli

// A line on stderr that says how far a long piece of work is: "reading  4,096 of 50,000 tokens  310
// tok/s  2 min left". It appears after a second, on a terminal only, and is gone at the end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace phial_cli {

class Progress {
 public:
  // `what` is done in `unit`s ("tokens"; "bytes" are shown in powers of ten). Nothing is ever shown
  // unless `enabled` and stderr is a terminal.
  Progress(std::string what, std::string unit, bool enabled);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `total` 0: not known.
  void update(double done, double total);
  // What is done from now on.
  void rename(std::string what) { what_ = std::move(what); }
  // Takes the line away; the next update() shows it again.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string what_, unit_;
  bool enabled_;
  bool shown_ = false;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
};

// Asks `measure` for what is done, ten times a second, while this object lives: for work that does
// not tell. `measure` runs in a thread of its own.
class ProgressWatch {
 public:
  using Measure = std::function<std::pair<double, double>()>;  // done, total

  ProgressWatch(std::string what, std::string unit, bool enabled, Measure measure);
  ~ProgressWatch();
  ProgressWatch(const ProgressWatch&) = delete;
  ProgressWatch& operator=(const ProgressWatch&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  std::thread thread_;
};

}  // namespace phial_cli

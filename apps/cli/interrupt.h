// Ctrl-C: the first one stops the sequence that runs and keeps what it produced, the second one, or
// the first while no sequence runs, ends the program. A program that talks at a terminal takes
// signals as events instead.
#pragma once

#include <phial/phial.hpp>

namespace phial_cli {

inline constexpr int kInterruptedExit = 130;

// Installs the handler. Without a sequence it ends the program with exit code 130.
void catch_interrupts();

// While this object lives, Ctrl-C cancels `sequence`.
class InterruptScope {
 public:
  explicit InterruptScope(const phial::Sequence& sequence);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
};

// While this object lives, Ctrl-C ends nothing but is kept to be asked for: for work that looks now
// and then whether to go on. The second one ends the program.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;
  bool seen() const;
};

// While this object lives, signals end nothing: they cancel the sequence that runs and are kept to
// be asked for. One at a time.
class SignalEvents {
 public:
  SignalEvents();
  ~SignalEvents();
  SignalEvents(const SignalEvents&) = delete;
  SignalEvents& operator=(const SignalEvents&) = delete;

  // Readable when a signal has come; drain() empties it.
  int wake_fd() const { return wake_[0]; }
  void drain() const;
  // Whether Ctrl-C was pressed, or the terminal resized, since this was asked last.
  bool take_interrupt();
  bool take_resize();
  // The signal that asks the program to end (SIGHUP, SIGTERM); 0: none.
  int ending() const;

 private:
  int wake_[2] = {-1, -1};
};

}  // namespace phial_cli

#include "interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>

namespace phial_cli {
namespace {

// A signal handler sees nothing but globals.
std::atomic<phial_sequence*> running_sequence{nullptr};
std::atomic<bool> interrupted{false};
std::atomic<bool> flag_is_asked{false};
std::atomic<bool> resized{false};
std::atomic<int> ending_signal{0};
std::atomic<int> wake_pipe{-1};
static_assert(std::atomic<phial_sequence*>::is_always_lock_free);
static_assert(std::atomic<int>::is_always_lock_free);

constexpr std::array<int, 4> kEventSignals = {SIGINT, SIGHUP, SIGTERM, SIGWINCH};
std::array<struct sigaction, kEventSignals.size()> previous_actions;

extern "C" void on_interrupt(int) {
  phial_sequence* const sequence = running_sequence.load();
  if (sequence != nullptr) {
    phial_sequence_cancel(sequence);
  } else if (flag_is_asked.load()) {
    interrupted.store(true);
  } else {
    _exit(kInterruptedExit);
  }
}

extern "C" void on_event(int signal) {
  const int saved_errno = errno;
  if (signal == SIGWINCH) {
    resized.store(true);
  } else {
    if (signal == SIGINT) {
      interrupted.store(true);
    } else {
      ending_signal.store(signal);
    }
    phial_sequence* const sequence = running_sequence.load();
    if (sequence != nullptr) phial_sequence_cancel(sequence);
  }
  // A full pipe wakes as well.
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = ::write(wake_pipe.load(), &byte, 1);
  errno = saved_errno;
}

}  // namespace

void catch_interrupts() {
  struct sigaction current {};
  // Whoever starts us with the signal ignored (nohup, a background job) wants it ignored.
  if (sigaction(SIGINT, nullptr, &current) == 0 && current.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
}

InterruptScope::InterruptScope(const phial::Sequence& sequence) {
  running_sequence.store(sequence.get());
}
InterruptScope::~InterruptScope() { running_sequence.store(nullptr); }

InterruptFlag::InterruptFlag() {
  interrupted.store(false);
  flag_is_asked.store(true);
}
InterruptFlag::~InterruptFlag() { flag_is_asked.store(false); }
bool InterruptFlag::seen() const { return interrupted.load(); }

SignalEvents::SignalEvents() {
  if (::pipe2(wake_, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw phial::Error("io_error", "chat", "no pipe can be made");
  }
  wake_pipe.store(wake_[1]);
  struct sigaction action {};
  action.sa_handler = on_event;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kEventSignals.size(); ++i) {
    sigaction(kEventSignals[i], nullptr, &previous_actions[i]);
    // An ignored hang-up (nohup) stays ignored.
    if (previous_actions[i].sa_handler == SIG_IGN) continue;
    sigaction(kEventSignals[i], &action, nullptr);
  }
}

SignalEvents::~SignalEvents() {
  for (size_t i = 0; i < kEventSignals.size(); ++i) {
    sigaction(kEventSignals[i], &previous_actions[i], nullptr);
  }
  wake_pipe.store(-1);
  ::close(wake_[0]);
  ::close(wake_[1]);
}

void SignalEvents::drain() const {
  char bytes[64];
  while (::read(wake_[0], bytes, sizeof(bytes)) > 0) {
  }
}

bool SignalEvents::take_interrupt() { return interrupted.exchange(false); }
bool SignalEvents::take_resize() { return resized.exchange(false); }
int SignalEvents::ending() const { return ending_signal.load(); }

}  // namespace phial_cli

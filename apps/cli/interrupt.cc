#include "interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace phial_cli {
namespace {

// A signal handler sees nothing but globals.
std::atomic<phial_sequence*> running_sequence{nullptr};
static_assert(std::atomic<phial_sequence*>::is_always_lock_free);

extern "C" void on_interrupt(int) {
  phial_sequence* const sequence = running_sequence.load();
  if (sequence == nullptr) _exit(kInterruptedExit);
  phial_sequence_cancel(sequence);
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

}  // namespace phial_cli

// Ctrl-C: the first one stops the sequence that runs and keeps what it produced, the second one, or
// the first while no sequence runs, ends the program.
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

}  // namespace phial_cli

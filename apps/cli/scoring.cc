#include "scoring.h"

#include <fmt/format.h>

namespace phial_cli {

void WindowFlags::declare(CommandLine& line) {
  line.integer("--context", "N", context, 2, INT64_MAX,
               "tokens of a window (default: the model's context, at most 2,048)");
  line.integer("--stride", "N", stride, 1, INT64_MAX,
               "tokens from one window to the next (default: 512, at most the window)");
}

void WindowFlags::check() const {
  if (context && stride && *stride > *context) {
    fail_usage("--stride", fmt::format("expected a whole number, 1..{} (the window); got '{}'",
                                       *context, *stride));
  }
}

}  // namespace phial_cli

// What the commands that score a text have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <phial/phial.hpp>
#include <string>

#include "command_line.h"

namespace phial_cli {

// The windows in which a text is read.
struct WindowFlags {
  std::optional<int64_t> context, stride;

  void declare(CommandLine& line);
  // Throws a usage error when the stride is longer than the window.
  void check() const;
};

// How windows are placed, for the end of the help.
inline constexpr char kWindowsRemark[] =
    "Sliding windows as in Hugging Face's guide: each window scores the tokens that none before it "
    "held, given the tokens before them in the window. The tokenizer's own special tokens are "
    "added to the text as a whole.";

}  // namespace phial_cli

// A text read in sliding windows, for what is measured token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/cancel.h"
#include "base/status.h"
#include "engine/sequence.h"

namespace phial {

// Windows as in Hugging Face's guide (https://huggingface.co/docs/transformers/perplexity). Window
// i holds the tokens [i * stride, min(i * stride + context, n)), alone, at positions from 0 on;
// the last one is the first that reaches the end of the text. A window scores its tokens that no
// earlier window held, each by the logits of the token before it in the window: its very first
// token, which has none, is never scored. So with stride < context each token of the text but the
// first is scored exactly once, after at least context - stride tokens (fewer at the beginning);
// with stride = context the first of each window is left out.
//
// The text's ids come as the tokenizer makes them, its beginning token in front of the whole text
// only (then it is the one that is not scored); no window gets one of its own.
struct WindowOptions {
  int64_t context = 2048;  // tokens of a window, 2 or more
  int64_t stride = 512;    // 1..context
};

// Told after each piece of a window how many tokens are scored, of all that will be; false stops.
using OnScored = std::function<bool(int64_t scored, int64_t total)>;

// Called with a few rows of logits at a time: row r of each sequence's logits() is that of
// ids[at + r] and scores ids[at + r + 1].
using OnRows = std::function<Status(int64_t at, int64_t rows)>;

struct WindowCounts {
  int64_t tokens = 0;  // scored
  int64_t windows = 0;
};

// Reads `ids` with every one of `sequences`, one after the other, piece by piece; they are emptied
// before and after. Logits are held for a few rows at a time, whatever the text's length.
// `where` stands in errors. Errors: usage (options), over_limit (a window longer than a sequence's
// context), invalid_input (fewer than two ids; ids outside a vocabulary), cancelled (by `cancel` or
// by `on_scored`), those of `on_rows`.
Result<WindowCounts> read_windows(const char* where, std::span<Sequence* const> sequences,
                                  std::span<const int32_t> ids, const WindowOptions& options,
                                  const OnRows& on_rows, const OnScored& on_scored,
                                  const CancelFlag* cancel);

}  // namespace phial

// What the evaluation functions of phial.h have in common.
#pragma once

#include <algorithm>

#include "eval/windows.h"
#include "phial/phial.h"

namespace phial::capi {

// The windows that a caller asked for; 0 stands for what suits the context.
inline WindowOptions windows_of(int64_t context, int64_t stride, int64_t sequence_context) {
  WindowOptions windows;
  windows.context = context != 0 ? context : std::min(windows.context, sequence_context);
  windows.stride = stride != 0 ? stride : std::min(windows.stride, windows.context);
  return windows;
}

// The caller's callback; empty for none.
inline OnScored progress_of(phial_progress_callback callback, void* user) {
  if (callback == nullptr) return {};
  return [callback, user](int64_t done, int64_t total) { return callback(user, done, total) == 0; };
}

}  // namespace phial::capi

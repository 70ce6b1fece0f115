// What every target asserts about what the library gives back.
#pragma once

#include <cstdlib>
#include <span>
#include <vector>

#include "base/status.h"
#include "formats/checkpoint.h"

namespace phial::fuzz {

// Aborts, which the fuzzer reports, unless `truth` holds.
inline void require(bool truth) {
  if (!truth) std::abort();
}

// A message is one printable line of bounded length, and hostile input is never a defect of ours.
inline void check_error(const Error& error) {
  const std::string text = error.to_string();
  require(text.size() <= kMaxErrorText && printable(text) == text);
  require(error.code != ErrorCode::internal && !error.message.empty());
}

// Reads the ends of every view, so that the address sanitizer sees one that leaves the file.
inline void touch(const std::vector<NamedTensor>& tensors) {
  volatile uint64_t sum = 0;
  for (const NamedTensor& tensor : tensors) {
    const std::span<const uint8_t> bytes = tensor.view.bytes;
    require(tensor.view.elements() >= 0);
    if (!bytes.empty()) sum = sum + bytes.front() + bytes.back();
  }
}

}  // namespace phial::fuzz

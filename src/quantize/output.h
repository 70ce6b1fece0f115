// Where a run writes: a file or a folder that appears whole.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "quantize/convert.h"
#include "sys/files.h"

namespace phial {

// Dropped without commit(), it leaves nothing.
class Output {
 public:
  virtual ~Output() = default;
  // The next bytes of the tensors, plane by plane, in the order of the plan.
  virtual Status append(std::span<const uint8_t> bytes) = 0;
  // Makes it visible; the bytes of all files.
  virtual Result<uint64_t> commit() = 0;
};

// An output at `place`, which Files::destination() gave. `files` and `plan` must outlive it.
// Errors: those of the writers of the formats.
Result<std::unique_ptr<Output>> open_output(const Files& files, const ConvertPlan& plan,
                                            const std::string& place);

}  // namespace phial

// Memory of the machine and of this process, in bytes; 0 where the system does not tell.
#pragma once

#include <cstdint>

namespace phial {

struct MemoryInfo {
  uint64_t total = 0;      // of the machine, or of the control group when that is less
  uint64_t available = 0;  // that can be used without swapping
};
MemoryInfo machine_memory();

// Highest resident set of this process so far (mapped file pages included).
uint64_t peak_resident_bytes();
// Anonymous (not file-backed) memory resident now.
uint64_t anonymous_bytes();

}  // namespace phial

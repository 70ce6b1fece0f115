// Memory of the machine and of this process, in bytes; 0 where the system does not tell.
#pragma once

#include <cstdint>
#include <string>

namespace phial {

struct MemoryInfo {
  uint64_t total = 0;      // of the machine, or of the control group when that is less
  uint64_t available = 0;  // that can be used without swapping
};
MemoryInfo machine_memory();

// The same, read from proc/ and sys/ under the folder `root`, which ends in a slash: "/" for this
// machine, another one for tests. Control groups of version 1 and 2, with all their parents.
MemoryInfo machine_memory_under(const std::string& root);

// Highest resident set of this process so far (mapped file pages included).
uint64_t peak_resident_bytes();
// Anonymous (not file-backed) memory resident now.
uint64_t anonymous_bytes();

}  // namespace phial

// What the system keeps in memory of files that were read.
#pragma once

#include <string>

namespace phial {

// Asks the system to forget the pages of the file at `path` (posix_fadvise), so that the next
// reader waits for the disk. It keeps what some process has mapped and touched, and what is not on
// the disk yet. Returns the share of the file that is in memory afterwards (mincore), 0 to 1, or 1
// where the system does not tell.
double drop_from_page_cache(const std::string& path);

}  // namespace phial

// Processor time, for limits on work that cannot be counted.
#pragma once

namespace phial {

// Seconds of processor time that the calling thread has used: unlike the wall clock, other programs
// do not make it run. A call costs a few hundred nanoseconds.
double thread_cpu_seconds();

}  // namespace phial

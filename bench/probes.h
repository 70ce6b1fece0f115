// What this machine can do right now, to compare kernels with: shared machines change from minute
// to minute, so every benchmark takes the probe it needs in its own run.
#pragma once

#include <string_view>

#include "sys/thread_pool.h"

namespace phial {

// Bytes per second that the workers of `pool` read from memory together: best of 5 passes over
// 256 MB, more than any cache holds.
double dram_read_probe(ThreadPool& pool);

// Floating point operations per second (a fused multiply-add is two) of independent fused
// multiply-adds in registers, all workers together, with the registers of `isa`; best of 30 runs
// of about 1 ms. 0 for the reference.
double fma_probe(ThreadPool& pool, std::string_view isa);

}  // namespace phial

// What this machine can do right now, to compare kernels with: shared machines change from minute
// to minute, so every benchmark takes the probe it needs in its own run.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "sys/thread_pool.h"

namespace phial {

// Seconds that the workers of `pool` take to read `bytes` together, each its share. Take it in turn
// with the kernel that reads the same bytes; the bytes must exceed every cache.
double dram_read_seconds(ThreadPool& pool, std::span<const uint8_t> bytes);

// Floating point operations per second (a fused multiply-add is two) of independent fused
// multiply-adds in registers, all workers together, with the registers of `isa`; best of 30 runs
// of about 1 ms. 0 for the reference.
double fma_probe(ThreadPool& pool, std::string_view isa);

// The same of products of bytes, as the packed kernels named `isa` multiply 4-bit codes:
// "avx512vnni" vpdpbusd, "avx2" eight vpmaddubsw and vpaddw, then vpmaddwd and vpaddd. A multiply
// and its addition are two operations.
double byte_probe(ThreadPool& pool, std::string_view isa);

}  // namespace phial

// Reading ahead, for all kernels that stream weights.

// Asks for the cache lines of `bytes` bytes at `p` + `offset`, which may lie beyond the
// matrix.
PHIAL_INLINE void prefetch_lines(const uint8_t* p, int64_t offset, int bytes) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(offset);
  PHIAL_UNROLL
  for (int line = 0; line < bytes; line += 64) prefetch(at + static_cast<uintptr_t>(line));
}

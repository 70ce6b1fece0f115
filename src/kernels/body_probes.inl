// Bodies of the probes, over a vocabulary that the unit defines before:
//   Words     64-bit words: kWordBytes, load_words, add_words, sum_words, prefetch_line
//   Floats    float32: zero_floats, one_floats, multiply_add, sum_floats, kFloats lanes
//   Bytes     ones_bytes; Halves: multiply_bytes (kBytes products, summed into 16-bit lanes),
//             add_halves, zero_halves; Sums: widen (neighbours of Halves added), add_sums, total
// No value may be known to the compiler, which would compute it once: opaque() hides it, and where
// a product does not depend on its chain, multiply_bytes must be opaque itself.

// Four streams of two lines each: one stream alone does not keep enough reads in flight.
inline uint64_t read_probe(const uint8_t* bytes, int64_t size) {
  constexpr int kStreams = 4;
  constexpr int kLine = 64;
  constexpr int kLead = 1024;  // bytes that the prefetch is ahead
  const int64_t part = size / kStreams;
  Words sums[kStreams];
  PHIAL_UNROLL
  for (int s = 0; s < kStreams; ++s) sums[s] = zero_words();
  for (int64_t i = 0; i < part; i += 2 * kLine) {
    PHIAL_UNROLL
    for (int s = 0; s < kStreams; ++s) {
      const uint8_t* p = bytes + s * part + i;
      prefetch_line(p + kLead);
      prefetch_line(p + kLead + kLine);
      PHIAL_UNROLL
      for (int j = 0; j < 2 * kLine; j += kWordBytes) {
        sums[s] = add_words(sums[s], load_words(p + j));
      }
    }
  }
  uint64_t sum = 0;
  PHIAL_UNROLL
  for (int s = 0; s < kStreams; ++s) sum += sum_words(sums[s]);
  return sum;
}

// Chains cover latency 4 at two per cycle, with reserve; with the factor they fit 16 registers.
constexpr int kFmaChains = 12;

inline uint64_t fma_probe(int64_t steps) {
  Floats sums[kFmaChains];
  PHIAL_UNROLL
  for (int c = 0; c < kFmaChains; ++c) opaque(sums[c] = zero_floats());
  Floats one = one_floats();
  opaque(one);
  for (int64_t i = 0; i < steps; ++i) {
    PHIAL_UNROLL
    for (int c = 0; c < kFmaChains; ++c) sums[c] = multiply_add(one, one, sums[c]);
  }
  uint64_t products = 0;
  PHIAL_UNROLL
  for (int c = 0; c < kFmaChains; ++c) products += sum_floats(sums[c]);
  return products;
}

// `depth` products of bytes are summed in 16 bits before they are widened.
constexpr int kByteChains = 4;

template <int depth>
inline uint64_t bytes_probe(int64_t steps) {
  Sums sums[kByteChains];
  PHIAL_UNROLL
  for (int c = 0; c < kByteChains; ++c) sums[c] = zero_sums();
  Bytes one = ones_bytes();
  opaque(one);
  for (int64_t i = 0; i < steps; ++i) {
    Halves halves[kByteChains];
    PHIAL_UNROLL
    for (int c = 0; c < kByteChains; ++c) halves[c] = multiply_bytes(one, one);
    PHIAL_UNROLL
    for (int d = 1; d < depth; ++d) {
      PHIAL_UNROLL
      for (int c = 0; c < kByteChains; ++c) {
        halves[c] = add_halves(halves[c], multiply_bytes(one, one));
      }
    }
    PHIAL_UNROLL
    for (int c = 0; c < kByteChains; ++c) sums[c] = add_sums(sums[c], widen(halves[c]));
  }
  uint64_t products = 0;
  PHIAL_UNROLL
  for (int c = 0; c < kByteChains; ++c) products += total(sums[c]);
  return products;
}

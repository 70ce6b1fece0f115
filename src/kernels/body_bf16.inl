// The kernels of bf16.h, over the vocabulary included before.

struct PairProducts {
  using Element = uint32_t;
  using Lanes = Pairs;
  PHIAL_INLINE Lanes load_lanes(const uint32_t* p) { return load_pairs_of(p); }
  PHIAL_INLINE Lanes load_first_lanes(const uint32_t* p, int64_t n) {
    return load_first_pairs(p, n);
  }
  PHIAL_INLINE Lanes every_lane(uint32_t pair) { return broadcast_pair(pair); }
  PHIAL_INLINE Vec add(Vec sum, Lanes a, Lanes b) { return add_products(sum, a, b); }
};

static void round_panel(int64_t k, const float* panel, uint32_t* pairs) {
  for (int64_t c = 0; c < k; c += 2, panel += 2 * kPanelRows, pairs += kPanelRows) {
    PHIAL_UNROLL
    for (int r = 0; r < kPanelRows; r += kLanes) {
      const Vec high = c + 1 < k ? load(panel + kPanelRows + r) : zero();
      store_pairs(pairs + r, pairs_of(load(panel + r), high));
    }
  }
}

static void round_row(int64_t n, const float* x, uint32_t* pairs) {
  constexpr int64_t kStep = 2 * kLanes;
  for (; n >= kStep; n -= kStep, x += kStep, pairs += kLanes) {
    store_pairs(pairs, neighbours(load(x), load(x + kLanes)));
  }
  if (n <= 0) return;
  const Vec first = load_first(x, n < kLanes ? n : kLanes);
  const Vec second = n > kLanes ? load_first(x + kLanes, n - kLanes) : zero();
  uint32_t last[kLanes];
  store_pairs(last, neighbours(first, second));
  __builtin_memcpy(pairs, last, static_cast<size_t>((n + 1) / 2) * sizeof(uint32_t));
}

constexpr Bf16Kernels make_bf16(const char* isa) {
  return {isa, round_row, round_panel, gemm_of<PairProducts>};
}

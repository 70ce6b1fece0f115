// Kernels over rows of float32: norms, activations, rope, softmax.

// A place in a row: kLanes values, or the last few.
struct Whole {
  int64_t at;
};
struct Part {
  int64_t at, lanes;
};
PHIAL_INLINE Vec get(const float* p, Whole place) { return load(p + place.at); }
PHIAL_INLINE Vec get(const float* p, Part place) { return load_first(p + place.at, place.lanes); }
PHIAL_INLINE void put(float* p, Vec v, Whole place) { store(p + place.at, v); }
PHIAL_INLINE void put(float* p, Vec v, Part place) { store_first(p + place.at, v, place.lanes); }
// `v` where the row has values, `other` beyond.
PHIAL_INLINE Vec keep(Vec v, Whole, Vec) { return v; }
PHIAL_INLINE Vec keep(Vec v, Part place, Vec other) { return keep_first(v, place.lanes, other); }

// Calls body(place) for the places of a row of n values, in order.
template <class Body>
PHIAL_INLINE void each(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(Whole{i});
  if (i < n) body(Part{i, n - i});
}

// exp(x), within 2 units in the last place; 0 where the result would be subnormal (x below
// -87.33654), infinity above the range, NaN for NaN.
//
// x = n ln 2 + r with |r| <= (ln 2) / 2, exp(x) = 2^n exp(r). The Taylor series to r^7 leaves less
// than r^8 / 8! * exp(|r|) < 2^-27 out. ln 2 is split so that n times its upper part is exact.
PHIAL_INLINE Vec exp(Vec x) {
  const Vec lowest = broadcast(-87.33654f);
  // Operands in this order keep a NaN.
  const Vec bounded = max(lowest, min(broadcast(89.0f), x));
  const Vec n = round(mul(bounded, broadcast(1.44269504f)));  // log2 e
  const Vec upper = nfma(n, broadcast(0.693359375f), bounded);
  const Vec r = nfma(n, broadcast(-2.12194440e-4f), upper);
  Vec p = broadcast(1.0f / 5040);
  p = fma(p, r, broadcast(1.0f / 720));
  p = fma(p, r, broadcast(1.0f / 120));
  p = fma(p, r, broadcast(1.0f / 24));
  p = fma(p, r, broadcast(1.0f / 6));
  p = fma(p, r, broadcast(0.5f));
  p = fma(p, r, broadcast(1.0f));
  p = fma(p, r, broadcast(1.0f));
  return select_greater(lowest, x, zero(), ldexp(p, n));
}

// v / (1 + exp(-x)): no cancellation for any x.
PHIAL_INLINE Vec times_sigmoid(Vec v, Vec x) {
  return div(v, add(broadcast(1.0f), exp(sub(zero(), x))));
}

static void rms_norm(int64_t n, const float* x, const float* weight, float eps, float* out) {
  Vec squares = zero();
  each(n, [&](auto at) { squares = fma(get(x, at), get(x, at), squares); });
  const float mean = sum(squares) / static_cast<float>(n);
  const Vec factor = broadcast(1.0f / square_root(mean + eps));
  each(n, [&](auto at) { put(out, mul(mul(get(x, at), factor), get(weight, at)), at); });
}

static void layer_norm(int64_t n, const float* x, const float* weight, const float* bias, float eps,
                       float* out) {
  Vec total = zero();
  each(n, [&](auto at) { total = add(total, get(x, at)); });
  const Vec mean = broadcast(sum(total) / static_cast<float>(n));
  Vec squares = zero();
  each(n, [&](auto at) {
    const Vec centred = keep(sub(get(x, at), mean), at, zero());
    squares = fma(centred, centred, squares);
  });
  const float variance = sum(squares) / static_cast<float>(n);
  const Vec factor = broadcast(1.0f / square_root(variance + eps));
  each(n, [&](auto at) {
    const Vec normal = mul(sub(get(x, at), mean), factor);
    put(out, fma(normal, get(weight, at), get(bias, at)), at);
  });
}

static void add_row(int64_t n, const float* y, float* x) {
  each(n, [&](auto at) { put(x, add(get(x, at), get(y, at)), at); });
}

static void scale_row(int64_t n, float factor, float* x) {
  const Vec f = broadcast(factor);
  each(n, [&](auto at) { put(x, mul(get(x, at), f), at); });
}

static void silu_mul(int64_t n, const float* gate, const float* up, float* out) {
  each(n, [&](auto at) {
    const Vec g = get(gate, at);
    put(out, mul(times_sigmoid(g, g), get(up, at)), at);
  });
}

// (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)).
PHIAL_INLINE Vec gelu(Vec v) {
  const Vec linear = broadcast(1.5957691216f);    // 2 sqrt(2 / pi)
  const Vec cubic = broadcast(0.0713548162726f);  // 2 sqrt(2 / pi) * 0.044715
  const Vec twice_u = mul(fma(mul(v, v), cubic, linear), v);
  return times_sigmoid(v, twice_u);
}

static void gelu_tanh(int64_t n, float* x) {
  each(n, [&](auto at) { put(x, gelu(get(x, at)), at); });
}

static void gelu_tanh_mul(int64_t n, const float* gate, const float* up, float* out) {
  each(n, [&](auto at) { put(out, mul(gelu(get(gate, at)), get(up, at)), at); });
}

// tanh u = 2 / (1 + exp(-2 u)) - 1.
static void softcap(int64_t n, float scale, float cap, float* x) {
  const Vec twice = broadcast(2 * scale / cap);
  const Vec top = broadcast(cap), twice_top = broadcast(2 * cap);
  each(n, [&](auto at) { put(x, sub(times_sigmoid(twice_top, mul(get(x, at), twice)), top), at); });
}

static void rope(int64_t heads, int64_t head_dim, int64_t rotary, const float* cos,
                 const float* sin, float* x) {
  for (int64_t h = 0; h < heads; ++h, x += head_dim) {
    float* y = x + rotary / 2;
    each(rotary / 2, [&](auto at) {
      const Vec a = get(x, at), b = get(y, at), c = get(cos, at), s = get(sin, at);
      put(x, nfma(b, s, mul(a, c)), at);
      put(y, fma(a, s, mul(b, c)), at);
    });
  }
}

static float softmax_block(int64_t n, int64_t valid, float scale, float* s, float* row_max,
                           float* row_sum) {
  const Vec f = broadcast(scale);
  const Vec lowest = broadcast(-__builtin_inff());
  Vec maxima = lowest;
  each(valid, [&](auto at) { maxima = max(maxima, keep(mul(get(s, at), f), at, lowest)); });
  const float old_max = *row_max;
  const float block_max = largest(maxima);
  const float new_max = block_max > old_max ? block_max : old_max;
  const Vec m = broadcast(new_max);
  Vec total = zero();
  each(valid, [&](auto at) {
    const Vec p = exp(sub(mul(get(s, at), f), m));
    put(s, p, at);
    total = add(total, keep(p, at, zero()));
  });
  for (int64_t i = valid; i < n; ++i) s[i] = 0.0f;
  const float correction = first(exp(broadcast(old_max - new_max)));
  *row_max = new_max;
  *row_sum = *row_sum * correction + sum(total);
  return correction;
}

// The softmax of attention over one page (kernels/attention.h), online.

// What a page does with its keys and values; `first`, `last`: the rows that see something of it.
struct PageRows {
  int64_t first, last;
};

PHIAL_INLINE int64_t at_least(int64_t n, int64_t low) { return n < low ? low : n; }
PHIAL_INLINE int64_t at_most(int64_t n, int64_t high) { return n < high ? n : high; }

// Rows [first, last) see a position of the page: those not before it, and whose window reaches it.
PHIAL_INLINE PageRows rows_that_see(const AttentionPageArgs& args) {
  PageRows rows{at_least(-args.first_position, 0) * args.group, args.rows};
  if (args.window > 0) {
    const int64_t positions = kPagePositions - 1 + args.window - args.first_position;
    rows.last = at_most(rows.last, at_least(positions, 0) * args.group);
  }
  return rows;
}

// Scores as the cap leaves them; the scale is in them then.
template <bool codes>
static void cap_scores(const AttentionPageArgs& args, PageRows rows) {
  for (int64_t r = rows.first; r < rows.last; ++r) {
    const float scale = codes ? args.scale * args.planes.scale[r] : args.scale;
    softcap(kPagePositions, scale, args.cap, args.scores + r * kPagePositions);
  }
}

// Rows are taken several at a time, step by step: what a step waits for in one row, a maximum over
// lanes or a quotient, it does in the others meanwhile.
constexpr int kRowsAtOnce = 8;
constexpr int kPageVecs = kPagePositions / kLanes;

// What the rows have in common; of codes, the scales of the values and whether one is no number.
struct PageScales {
  float values[kPagePositions];
  bool bad;
};

PHIAL_INLINE void load_scales(const AttentionPageArgs& args, PageScales& scales) {
  Vec probe = zero();
  for (int64_t i = 0; i < kPagePositions; i += kLanes) {
    const Vec some = load_bf16(args.block + args.head->value_scales + 2 * i);
    store(scales.values + i, some);
    probe = fma(some, zero(), probe);
  }
  scales.bad = sum(probe) != 0;
}

// Lanes of vector v that are before position `end`.
PHIAL_INLINE int64_t lanes_before(int64_t end, int v) {
  return at_most(at_least(end - v * kLanes, 0), kLanes);
}

// Scales the scores of a row, those behind its own position to -infinity; returns the largest.
PHIAL_INLINE float scale_scores(const AttentionPageArgs& args, int64_t row, float scale, Vec* out) {
  const int64_t own = args.first_position + row / args.group;
  float* s = args.scores + row * kPagePositions;
  for (int64_t i = 0; args.window > 0 && i <= own - args.window; ++i) s[i] = -__builtin_inff();
  const Vec lowest = broadcast(-__builtin_inff());
  Vec most = lowest;
  PHIAL_UNROLL
  for (int v = 0; v < kPageVecs; ++v) {
    out[v] = mul(load(s + v * kLanes), broadcast(scale));
    if (own + 1 < kPagePositions) out[v] = keep_first(out[v], lanes_before(own + 1, v), lowest);
    most = max(most, out[v]);
  }
  return largest(most);
}

// Weights of a row times the scales of the values; returns the largest, NaN if one is.
PHIAL_INLINE float scale_weights(const PageScales& scales, int64_t end, Vec* weights) {
  Vec most = zero(), probe = zero();
  PHIAL_UNROLL
  for (int v = 0; v < kPageVecs; ++v) {
    weights[v] = mul(weights[v], load(scales.values + v * kLanes));
    // Slots that the row does not see hold anything.
    if (end < kPagePositions) weights[v] = keep_first(weights[v], lanes_before(end, v), zero());
    most = max(weights[v], most);
    if (scales.bad) probe = fma(weights[v], zero(), probe);
  }
  return scales.bad ? largest(most) + sum(probe) : largest(most);
}

PHIAL_INLINE void planes_of_weights(const AttentionPageArgs& args, int64_t row, float most,
                                    const Vec* weights) {
  const Vec inverse = steps_per_unit(most);
  const bool finite = most < __builtin_inff();  // NaN is not
  int8_t* to = args.value_planes.codes + 2 * row * kPagePositions;
  Dots total = dots_of(0);
  PHIAL_UNROLL
  for (int v = 0; v < kPageVecs; ++v) {
    const Vec steps = finite ? mul(weights[v], inverse) : zero();
    total = add(total, put_planes(steps, to + v * kLanes, to + kPagePositions + v * kLanes));
  }
  args.value_planes.scale[row] = most / kPlaneSteps;
  args.value_planes.correction[row] = -128 * sum(total);
}

// softmax_block (body_rows.inl) of `count` rows from `begin` on: scores become weights, of codes
// planes of them times the scales of the values.
template <bool codes, int kMost>
static void weigh_rows(const AttentionPageArgs& args, const PageScales& scales, int64_t begin,
                       int64_t count) {
  Vec weights[kMost][kPageVecs];
  float most[kMost];
  if constexpr (kMost == 1) count = 1;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = begin + i;
    float scale = args.cap > 0 ? 1.0f : args.scale;  // the cap scales the scores itself
    if (codes && args.cap <= 0) scale *= args.planes.scale[row];
    const float page = scale_scores(args, row, scale, weights[i]);
    const float before = args.row_max[row];
    most[i] = page > before ? page : before;
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = begin + i;
    Vec total = zero();
    PHIAL_UNROLL
    for (int v = 0; v < kPageVecs; ++v) {
      weights[i][v] = exp(sub(weights[i][v], broadcast(most[i])));
      total = add(total, weights[i][v]);
      if (!codes) store(args.scores + row * kPagePositions + v * kLanes, weights[i][v]);
    }
    // exp(0) is 1.
    const float before = args.row_max[row];
    const float factor = before == most[i] ? 1.0f : first(exp(broadcast(before - most[i])));
    args.row_max[row] = most[i];
    args.row_sum[row] = args.row_sum[row] * factor + sum(total);
    args.factors[row] = factor;
  }
  if constexpr (codes) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t own = args.first_position + (begin + i) / args.group;
      most[i] = scale_weights(scales, own + 1, weights[i]) + args.row_sum[begin + i] * 0.0f;
    }
    for (int64_t i = 0; i < count; ++i) {
      planes_of_weights(args, begin + i, most[i], weights[i]);
    }
  }
}

template <bool codes>
static void weigh(const AttentionPageArgs& args, PageRows seen) {
  PageScales scales;
  if (codes) load_scales(args, scales);
  if (seen.last - seen.first == 1) return weigh_rows<codes, 1>(args, scales, seen.first, 1);
  for (int64_t r = seen.first; r < seen.last; r += kRowsAtOnce) {
    weigh_rows<codes, kRowsAtOnce>(args, scales, r, at_most(seen.last - r, kRowsAtOnce));
  }
}

// The searches of search.h over vectors of kWidth lanes. Included inside a namespace of each unit,
// which defines kWidth. Vector types are those of gcc and clang: every operation is one of each
// lane's own, and none is contracted.

typedef float Vec __attribute__((vector_size(4 * kWidth)));
typedef int32_t Ints __attribute__((vector_size(4 * kWidth)));

PHIAL_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
PHIAL_INLINE void store(const Vec& v, float* p) { __builtin_memcpy(p, &v, sizeof(v)); }
PHIAL_INLINE Vec all(float value) { return Vec{} + value; }
PHIAL_INLINE Vec magnitude(const Vec& v) { return v < 0.0f ? -v : v; }
PHIAL_INLINE Vec clamp(const Vec& v, const Vec& low, const Vec& high) {
  const Vec above = v > low ? v : low;
  return above < high ? above : high;
}
// To nearest, ties to even, for magnitudes below 2^22: adding 1.5 * 2^23 leaves no place for
// fractions.
PHIAL_INLINE Vec round_to_even(const Vec& v) {
  const float kShift = 12582912.0f;
  return (v + kShift) - kShift;
}
// 1 / v; 0 where v is 0 or so small that the quotient is not finite.
PHIAL_INLINE Vec inverse_of(const Vec& v) {
  const Vec quotient = 1.0f / v;
  return magnitude(quotient) < 3.0e38f ? quotient : Vec{};
}

// The code's number nearest to t.
struct WholeNumbers {
  Vec low, high;
  explicit WholeNumbers(const SearchCodes& codes) : low(all(codes.low)), high(all(codes.high)) {}
  PHIAL_INLINE_MEMBER Vec nearest(const Vec& t) const { return round_to_even(clamp(t, low, high)); }
  PHIAL_INLINE_MEMBER Ints place(const Vec& q) const {
    return __builtin_convertvector(q - low, Ints);
  }
};

struct Levels {
  float level[16], middle[15];
  explicit Levels(const SearchCodes& codes) {
    for (int i = 0; i < 16; ++i) level[i] = codes.levels[i];
    for (int i = 0; i < 15; ++i) middle[i] = (level[i] + level[i + 1]) * 0.5f;
  }
  PHIAL_INLINE_MEMBER Vec nearest(const Vec& t) const {
    Vec q = all(level[0]);
    PHIAL_UNROLL for (int i = 0; i < 15; ++i) q = t > middle[i] ? all(level[i + 1]) : q;
    return q;
  }
  PHIAL_INLINE_MEMBER Ints place(const Vec& q) const {
    Ints at = {};
    PHIAL_UNROLL for (int i = 0; i < 15; ++i) at -= q > middle[i];
    return at;
  }
};

// Lanes [lane, lane + kWidth) of the groups.
struct Lanes {
  int n;
  const float* x;
  const float* w;
  Lanes(const SearchGroups& groups, int lane)
      : n(groups.n), x(groups.x + lane), w(groups.w + lane) {}
  PHIAL_INLINE_MEMBER Vec value(int j) const { return load(x + j * kSearchLanes); }
  PHIAL_INLINE_MEMBER Vec weight(int j) const { return load(w + j * kSearchLanes); }
};

PHIAL_INLINE Vec largest_of(const Lanes& lanes) {
  Vec largest = {};
  for (int j = 0; j < lanes.n; ++j) {
    const Vec x = lanes.value(j);
    largest = magnitude(x) > magnitude(largest) ? x : largest;
  }
  return largest;
}

// How much of the sum of w x x a scale explains when it is the best for its codes, and that scale.
struct ScaleFit {
  Vec gain, scale;
};
template <class Codes>
PHIAL_INLINE ScaleFit fit_codes(const Lanes& lanes, const Codes& codes, const Vec& inverse) {
  Vec wxq = {}, wqq = {};
  for (int j = 0; j < lanes.n; ++j) {
    const Vec x = lanes.value(j);
    const Vec q = codes.nearest(x * inverse);
    const Vec wq = lanes.weight(j) * q;
    wxq += wq * x;
    wqq += wq * q;
  }
  const Vec scale = wxq / wqq;
  return {wqq > 0.0f ? wxq * scale : Vec{}, scale};
}

template <class Codes>
PHIAL_INLINE void fit_scale_lanes(const SearchGroups& groups, int lane, const Codes& codes,
                                  float lowest, const float* steps, int count, int refits,
                                  float* scales) {
  const Lanes lanes(groups, lane);
  const Vec largest = largest_of(lanes);
  const Vec unit = inverse_of(largest);
  // Where all weights are 0, or the values too small to divide by.
  ScaleFit best = {Vec{}, largest / lowest};
  const auto keep = [&best](const ScaleFit& fit) {
    const Ints better = fit.gain > best.gain;
    best.gain = better ? fit.gain : best.gain;
    best.scale = better ? fit.scale : best.scale;
  };
  for (int i = 0; i < count; ++i) keep(fit_codes(lanes, codes, unit * steps[i]));
  for (int i = 0; i < refits; ++i) keep(fit_codes(lanes, codes, inverse_of(best.scale)));
  store(best.scale, scales + lane);
}

void fit_scale(const SearchGroups& groups, const SearchCodes& codes, const float* steps, int count,
               int refits, float* scales) {
  for (int lane = 0; lane < kSearchLanes; lane += kWidth) {
    if (codes.levels != nullptr) {
      fit_scale_lanes(groups, lane, Levels(codes), codes.low, steps, count, refits, scales);
    } else {
      fit_scale_lanes(groups, lane, WholeNumbers(codes), codes.low, steps, count, refits, scales);
    }
  }
}

// What does not depend on codes.
struct Moments {
  Vec w, wx, wxx, low, high;
};
PHIAL_INLINE Moments moments_of(const Lanes& lanes) {
  Moments sums = {{}, {}, {}, lanes.value(0), lanes.value(0)};
  for (int j = 0; j < lanes.n; ++j) {
    const Vec x = lanes.value(j);
    const Vec w = lanes.weight(j);
    sums.w += w;
    const Vec wx = w * x;
    sums.wx += wx;
    sums.wxx += wx * x;
    sums.low = x < sums.low ? x : sums.low;
    sums.high = x > sums.high ? x : sums.high;
  }
  return sums;
}

struct RangeFit {
  Vec error, scale, minimum;
};
PHIAL_INLINE RangeFit fit_range_codes(const Lanes& lanes, const WholeNumbers& codes,
                                      const Moments& sums, const Vec& scale, const Vec& minimum,
                                      bool never_positive) {
  const Vec inverse = inverse_of(scale);
  Vec wq = {}, wqq = {}, wxq = {};
  for (int j = 0; j < lanes.n; ++j) {
    const Vec x = lanes.value(j);
    const Vec q = codes.nearest((x - minimum) * inverse);
    const Vec weighted = lanes.weight(j) * q;
    wq += weighted;
    wqq += weighted * q;
    wxq += weighted * x;
  }
  // Least squares; where all codes are equal there is no slope, and the old one stays.
  const Vec determinant = sums.w * wqq - wq * wq;
  const Ints solvable = determinant > 1e-6f * (sums.w * wqq);
  Vec s = solvable ? (sums.w * wxq - sums.wx * wq) / determinant : scale;
  Vec m = (sums.wx - s * wq) / sums.w;
  m = sums.w > 0.0f ? m : minimum;
  if (never_positive) {
    const Ints above = m > 0.0f;
    s = above ? (wqq > 0.0f ? wxq / wqq : s) : s;
    m = above ? Vec{} : m;
  }
  // w (x - s q - m)^2, multiplied out.
  const Vec error = sums.wxx - 2.0f * (s * wxq + m * sums.wx) +
                    (s * s * wqq + 2.0f * (s * m) * wq + m * m * sums.w);
  return {s > 0.0f ? error : all(3.0e38f), s, m};
}

PHIAL_INLINE void fit_range_lanes(const SearchGroups& groups, int lane, const WholeNumbers& codes,
                                  const float* cuts, int count, int refits, bool never_positive,
                                  float* scales, float* minimums) {
  const Lanes lanes(groups, lane);
  Moments sums = moments_of(lanes);
  if (never_positive) {
    sums.low = sums.low < 0.0f ? sums.low : Vec{};
    sums.high = sums.high > sums.low ? sums.high : sums.low;
  }
  const Vec range = sums.high - sums.low;
  RangeFit best = {all(3.0e38f), range / codes.high, sums.low};
  const auto keep = [&best](const RangeFit& fit) {
    const Ints better = fit.error < best.error;
    best.error = better ? fit.error : best.error;
    best.scale = better ? fit.scale : best.scale;
    best.minimum = better ? fit.minimum : best.minimum;
  };
  for (int i = 0; i < count; ++i) {
    const Vec low = sums.low + range * cuts[2 * i];
    const Vec high = sums.high - range * cuts[2 * i + 1];
    keep(fit_range_codes(lanes, codes, sums, (high - low) / codes.high, low, never_positive));
  }
  for (int i = 0; i < refits; ++i) {
    keep(fit_range_codes(lanes, codes, sums, best.scale, best.minimum, never_positive));
  }
  store(best.scale, scales + lane);
  store(best.minimum, minimums + lane);
}

void fit_range(const SearchGroups& groups, const SearchCodes& codes, const float* cuts, int count,
               int refits, bool never_positive, float* scales, float* minimums) {
  for (int lane = 0; lane < kSearchLanes; lane += kWidth) {
    fit_range_lanes(groups, lane, WholeNumbers(codes), cuts, count, refits, never_positive, scales,
                    minimums);
  }
}

template <class Codes>
PHIAL_INLINE void choose_lanes(const SearchGroups& groups, int lane, const Codes& codes,
                               const float* scales, const float* minimums, SearchSums* out,
                               uint8_t* chosen) {
  const Lanes lanes(groups, lane);
  const Vec scale = load(scales + lane);
  const Vec minimum = minimums != nullptr ? load(minimums + lane) : Vec{};
  const Vec inverse = inverse_of(scale);
  Vec sum_w = {}, wx = {}, wq = {}, wqq = {}, wxq = {}, error = {};
  for (int j = 0; j < lanes.n; ++j) {
    const Vec x = lanes.value(j);
    const Vec w = lanes.weight(j);
    const Vec q = codes.nearest((x - minimum) * inverse);
    const Vec weighted = w * q;
    sum_w += w;
    wx += w * x;
    wq += weighted;
    wqq += weighted * q;
    wxq += weighted * x;
    const Vec off = x - (scale * q + minimum);
    error += w * off * off;
    if (chosen != nullptr) {
      int32_t places[kWidth];
      const Ints place = codes.place(q);
      __builtin_memcpy(places, &place, sizeof(places));
      for (int l = 0; l < kWidth; ++l) {
        chosen[(lane + l) * lanes.n + j] = static_cast<uint8_t>(places[l]);
      }
    }
  }
  store(sum_w, out->w + lane);
  store(wx, out->wx + lane);
  store(wq, out->wq + lane);
  store(wqq, out->wqq + lane);
  store(wxq, out->wxq + lane);
  store(error, out->error + lane);
}

void choose(const SearchGroups& groups, const SearchCodes& codes, const float* scales,
            const float* minimums, SearchSums* sums, uint8_t* chosen) {
  for (int lane = 0; lane < kSearchLanes; lane += kWidth) {
    if (codes.levels != nullptr) {
      choose_lanes(groups, lane, Levels(codes), scales, minimums, sums, chosen);
    } else {
      choose_lanes(groups, lane, WholeNumbers(codes), scales, minimums, sums, chosen);
    }
  }
}

constexpr SearchTable make_search_table(const char* isa) {
  return {isa, fit_scale, fit_range, choose};
}

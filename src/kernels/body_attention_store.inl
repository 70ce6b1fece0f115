// What attention stores of a position, and numbers as planes of integers (kernels/attention.h).

// Values [at, at + kLanes) of a row of n, 0 behind its end.
PHIAL_INLINE Vec get_padded(const float* x, int64_t at, int64_t n) {
  return at + kLanes <= n ? load(x + at) : at < n ? load_first(x + at, n - at) : zero();
}

PHIAL_INLINE Vec magnitude(Vec v) { return max(v, sub(zero(), v)); }

// max |x|; NaN if one of them is no finite number.
PHIAL_INLINE float largest_magnitude(int64_t n, const float* x) {
  Vec most = zero(), probe = zero();
  each(n, [&](auto at) {
    const Vec v = get(x, at);
    most = max(magnitude(v), most);
    probe = fma(v, zero(), probe);  // NaN and infinities times 0 are NaN
  });
  return largest(most) + sum(probe);
}

static void store_f32(const KvStoreArgs& args) {
  const KvHead& head = *args.head;
  auto* keys = reinterpret_cast<float*>(args.block) + args.slot;
  auto* values = reinterpret_cast<float*>(args.block + head.values + args.slot * head.value_row);
  for (int64_t d = 0; d < head.head_dim; ++d) {
    keys[d * kPagePositions] = args.k[d];
    values[d] = args.v[d];
  }
}

static void store_f16(const KvStoreArgs& args) {
  const KvHead& head = *args.head;
  uint8_t* keys = args.block + args.slot * head.key_unit;
  uint8_t* values = args.block + head.values + args.slot * head.value_row;
  for (int64_t at = 0; at < head.width; at += kLanes) {
    uint8_t halves[2 * kLanes];
    put_f16(halves, get_padded(args.k, at, head.head_dim));
    for (int64_t i = 0; i < kLanes; ++i) {
      __builtin_memcpy(keys + (at + i) * kPagePositions * head.key_unit, halves + 2 * i, 2);
    }
    put_f16(values + 2 * at, get_padded(args.v, at, head.head_dim));
  }
}

static void store_bf16(const KvStoreArgs& args) {
  const KvHead& head = *args.head;
  uint8_t* keys = args.block + args.slot * head.key_unit;
  uint8_t* values = args.block + head.values + args.slot / 2 * head.value_row + args.slot % 2 * 2;
  for (int64_t at = 0; at < head.width; at += kLanes) {
    uint8_t halves[2 * kLanes];
    put_bf16(halves, get_padded(args.k, at, head.head_dim));
    for (int64_t i = 0; i < kLanes; i += 2) {
      __builtin_memcpy(keys + (at + i) / 2 * kPagePositions * head.key_unit, halves + 2 * i, 4);
    }
    put_bf16(halves, get_padded(args.v, at, head.head_dim));
    for (int64_t i = 0; i < kLanes; ++i) {
      __builtin_memcpy(values + 4 * (at + i), halves + 2 * i, 2);
    }
  }
}

// The upper half of a float32 that is no smaller in magnitude.
PHIAL_INLINE uint16_t round_up_bf16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  if (value != value) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0xffff) >> 16);
}

// The scale of a row of codes up to `most`; writes it and returns its inverse.
PHIAL_INLINE float put_scale(int64_t n, const float* x, float most, uint8_t* to) {
  const uint16_t half = round_up_bf16(largest_magnitude(n, x) / most);
  __builtin_memcpy(to, &half, sizeof(half));
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float scale;
  __builtin_memcpy(&scale, &bits, sizeof(scale));
  // Of a subnormal scale the inverse may be infinite: then every code would be a NaN.
  return scale >= 0x1p-126f ? 1.0f / scale : 0.0f;
}

static void rotate(int64_t n, bool inverse, float* x);

// The row with zeros up to the width, rotated.
PHIAL_INLINE void rotate_into(const KvHead& head, const float* x, float* row) {
  for (int64_t at = 0; at < head.width; at += kLanes) {
    store(row + at, get_padded(x, at, head.head_dim));
  }
  rotate(head.head_dim, false, row);
}

static void store_int8(const KvStoreArgs& args) {
  const KvHead& head = *args.head;
  const float* key = args.scratch;
  rotate_into(head, args.k, args.scratch);
  const Vec middle = broadcast(128.0f), most = broadcast(127.0f), least = broadcast(-127.0f);
  const auto codes_of = [&](const float* x, int64_t at, Vec inverse, uint8_t* codes) {
    const Vec code = round(mul(get_padded(x, at, head.head_dim), inverse));
    put_bytes(codes, add(min(max(code, least), most), middle));
  };
  const Vec key_inverse = broadcast(
      put_scale(head.head_dim, key, 127.0f, args.block + head.key_scales + 2 * args.slot));
  const Vec value_inverse = broadcast(
      put_scale(head.head_dim, args.v, 127.0f, args.block + head.value_scales + 2 * args.slot));
  uint8_t* keys = args.block + args.slot * head.key_unit;
  uint8_t* values = args.block + head.values + args.slot / 4 * head.value_row + args.slot % 4;
  for (int64_t at = 0; at < head.width; at += kLanes) {
    uint8_t codes[kLanes];
    codes_of(key, at, key_inverse, codes);
    for (int64_t i = 0; i < kLanes; i += 4) {
      __builtin_memcpy(keys + (at + i) / 4 * kPagePositions * head.key_unit, codes + i, 4);
    }
    codes_of(args.v, at, value_inverse, codes);
    for (int64_t i = 0; i < kLanes; ++i) values[4 * (at + i)] = codes[i];
  }
}

// The rotated row as codes 0..15, a byte each. `row` may not overlap `codes`.
PHIAL_INLINE void nibbles_of(const KvHead& head, const float* x, float* row, uint8_t* scale,
                             uint8_t* codes) {
  rotate_into(head, x, row);
  const Vec half = broadcast(0.5f), middle = broadcast(7.5f);
  const Vec inverse = broadcast(put_scale(head.head_dim, row, 15.0f, scale));
  for (int64_t at = 0; at < head.width; at += kLanes) {
    const Vec code = round(fma(mul(load(row + at), inverse), half, middle));
    put_bytes(codes + at, min(max(code, zero()), broadcast(15.0f)));
  }
}

static void store_int4(const KvStoreArgs& args) {
  const KvHead& head = *args.head;
  float* row = args.scratch;
  uint8_t* codes = reinterpret_cast<uint8_t*>(args.scratch + head.width);
  nibbles_of(head, args.k, row, args.block + head.key_scales + 2 * args.slot, codes);
  for (int64_t r = 0; r < head.key_rows; ++r) {
    uint8_t* to = args.block + (r * kPagePositions + args.slot) * head.key_unit;
    for (int64_t i = 0; i < 4; ++i) {
      to[i] = static_cast<uint8_t>(codes[8 * r + i] | codes[8 * r + 4 + i] << 4);
    }
  }
  nibbles_of(head, args.v, row, args.block + head.value_scales + 2 * args.slot, codes);
  uint8_t* values = args.block + head.values + args.slot / 4 * head.value_row + args.slot % 4;
  for (int64_t b = 0; b < head.width; b += 32) {
    for (int64_t i = 0; i < 16; ++i) {
      values[2 * b + 4 * i] = static_cast<uint8_t>(codes[b + i] | codes[b + 16 + i] << 4);
    }
  }
}

// What makes steps of numbers up to `most`. Of a subnormal one the inverse may be infinite; its
// planes are 0.
PHIAL_INLINE Vec steps_per_unit(float most) {
  return broadcast(most >= 0x1p-110f ? kPlaneSteps / most : 0.0f);
}

static void make_planes(int64_t rows, int64_t n, const float* x, const Planes& planes) {
  for (int64_t r = 0; r < rows; ++r, x += n) {
    const float most = largest_magnitude(n, x);
    const Vec inverse = steps_per_unit(most);
    const bool finite = most < __builtin_inff();  // NaN is not
    int8_t* to = planes.codes + 2 * r * n;
    Dots total = dots_of(0);
    for (int64_t at = 0; at < n; at += kLanes) {
      const Vec steps = finite ? mul(load(x + at), inverse) : zero();
      total = add(total, put_planes(steps, to + at, to + n + at));
    }
    planes.scale[r] = most / kPlaneSteps;
    planes.correction[r] = -128 * sum(total);
  }
}

// Signs of the matrix of one block: entry [column][row], so that a column is one load.
struct SignMatrix {
  float signs[20][32];
};

// Sylvester's matrix of order n, a power of two: (-1)^(bits that row and column share).
constexpr SignMatrix sylvester(int n) {
  SignMatrix m = {};
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column < n; ++column) {
      int shared = 0;
      for (int bits = row & column; bits != 0; bits >>= 1) shared += bits & 1;
      m.signs[column][row] = shared % 2 == 0 ? 1.0f : -1.0f;
    }
  }
  return m;
}

// Paley's first construction for a prime q with q % 4 == 3: I + S, S bordered by 1 and -1, inside
// of it the quadratic character of column - row.
constexpr SignMatrix paley(int q) {
  SignMatrix m = {};
  for (int row = 0; row <= q; ++row) {
    for (int column = 0; column <= q; ++column) {
      float sign = 1.0f;
      if (row > 0 && column == 0) {
        sign = -1.0f;
      } else if (row > 0 && row != column) {
        const int difference = (column - row + q) % q;
        bool square = false;
        for (int i = 1; i < q; ++i) square = square || i * i % q == difference;
        sign = square ? 1.0f : -1.0f;
      }
      m.signs[column][row] = sign;
    }
  }
  return m;
}

constexpr SignMatrix transposed(const SignMatrix& from, int n) {
  SignMatrix m = {};
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) m.signs[i][j] = from.signs[j][i];
  }
  return m;
}

constexpr SignMatrix kSigns16 = sylvester(16);  // and, in its corner, those of smaller orders
constexpr SignMatrix kSigns12 = paley(11), kBack12 = transposed(kSigns12, 12);
constexpr SignMatrix kSigns20 = paley(19), kBack20 = transposed(kSigns20, 20);

// rows = m x, for a matrix of order n <= kVecs * kLanes; 0 behind them.
template <int kVecs>
PHIAL_INLINE void multiply_signs(const SignMatrix& m, int64_t n, const float* x, float* rows) {
  Vec sums[kVecs];
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) sums[v] = zero();
  for (int64_t c = 0; c < n; ++c) {
    const Vec factor = broadcast(x[c]);
    PHIAL_UNROLL
    for (int v = 0; v < kVecs; ++v) {
      sums[v] = fma(factor, load(&m.signs[c][v * kLanes]), sums[v]);
    }
  }
  PHIAL_UNROLL
  for (int v = 0; v < kVecs; ++v) store(rows + v * kLanes, sums[v]);
}

// x[0..order * blocks) = the product of block matrices and Sylvester's across blocks, whose number
// is a power of two; both commute, so that the inverse differs in the blocks' matrix only. Blocks
// lie in whole registers meanwhile: loads of parts of stores would wait for them.
template <int kVecs>
static void rotate_part(const SignMatrix& signs, int64_t order, int64_t blocks, float* x) {
  constexpr int64_t kStride = kVecs * kLanes;
  // 64 blocks of 12 or 16 in registers of 16, 32 blocks of 20 in two such registers.
  static_assert(kMostRotated == 64 * 16 && kMostRotated == 32 * 32);
  alignas(64) float rows[kMostRotated];
  for (int64_t b = 0; b < blocks; ++b) {
    multiply_signs<kVecs>(signs, order, x + b * order, rows + b * kStride);
  }
  for (int64_t half = kStride; half < blocks * kStride; half *= 2) {
    for (int64_t i = 0; i < blocks * kStride; i += 2 * half) {
      for (int64_t at = i; at < i + half; at += kLanes) {
        const Vec u = load(rows + at), w = load(rows + at + half);
        store(rows + at, add(u, w));
        store(rows + at + half, sub(u, w));
      }
    }
  }
  const Vec factor = broadcast(1.0f / square_root(static_cast<float>(order * blocks)));
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t at = 0; at < order; at += kLanes) {
      const int64_t left = order - at;
      store_first(x + b * order + at, mul(load(rows + b * kStride + at), factor),
                  left < kLanes ? left : kLanes);
    }
  }
}

template <int kVecs = 1>
PHIAL_INLINE void rotate_parts(const SignMatrix& signs, int64_t order, int64_t blocks, int64_t n,
                               float* x) {
  if constexpr (kVecs * kLanes < 20) {
    if (order > kVecs * kLanes) return rotate_parts<kVecs + 1>(signs, order, blocks, n, x);
  }
  for (int64_t at = 0; at < n; at += order * blocks) {
    rotate_part<kVecs>(signs, order, blocks, x + at);
  }
}

static void rotate(int64_t n, bool inverse, float* x) {
  const auto power_times = [n](int64_t order) {
    const int64_t rest = n / order;
    return n % order == 0 && (rest & (rest - 1)) == 0;
  };
  const int64_t power = n & -n;  // the largest power of two in n
  const int64_t order = power < 16 ? power : 16;
  if (power_times(12)) return rotate_parts(inverse ? kBack12 : kSigns12, 12, n / 12, n, x);
  if (power_times(20)) return rotate_parts(inverse ? kBack20 : kSigns20, 20, n / 20, n, x);
  rotate_parts(kSigns16, order, power / order, n, x);
}

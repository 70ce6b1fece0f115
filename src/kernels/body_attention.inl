// Attention over one page of keys and values (kernels/attention.h), for each type of page: products
// with keys, softmax (body_attention_softmax.inl), products with values.

// Columns of a product are taken four vectors at a time, then two, then one:
// calls tiles(at, count of vectors as a type) for columns [0, n), n a multiple of kLanes.
template <int count>
struct Count {};
template <class Tiles>
PHIAL_INLINE void each_columns(int64_t n, const Tiles& tiles) {
  int64_t at = 0;
  for (; at + 4 * kLanes <= n; at += 4 * kLanes) tiles(at, Count<4>());
  for (; at + 2 * kLanes <= n; at += 2 * kLanes) tiles(at, Count<2>());
  if (at < n) tiles(at, Count<1>());
}

// Pages of float32 numbers, and of 16-bit ones that are read as such.

// An element of `kDepth` rows of B at once, for one vector of columns.
struct HalfRows {
  static constexpr int kDepth = 1;
  static constexpr int64_t kBytes = 2;  // of an element of a row
  PHIAL_INLINE void load(const uint8_t* p, Vec (&rows)[kDepth]) { rows[0] = load_f16(p); }
};
struct BrainRows {
  static constexpr int kDepth = 2;
  static constexpr int64_t kBytes = 4;
  PHIAL_INLINE void load(const uint8_t* p, Vec (&rows)[kDepth]) { load_bf16_pairs(p, rows); }
};

constexpr int kProductRows = kTileVecs == 4 ? 6 : 2;
constexpr int kept_rows(int rows) { return rows < kProductRows ? rows : kProductRows; }

// acc[r][v] += sum over k of a[r][k] * b[k][v], one chain each.
template <class B, int Rows, int Vecs>
PHIAL_INLINE void product_chains(int64_t k, const float* a, int64_t a_stride, const uint8_t* b,
                                 int64_t b_stride, uintptr_t ahead, Vec (&acc)[Rows][Vecs]) {
  for (int64_t i = 0; i < k; i += B::kDepth, b += b_stride) {
    Vec columns[Vecs][B::kDepth];
    PHIAL_UNROLL
    for (int v = 0; v < Vecs; ++v) {
      const uint8_t* p = b + v * kLanes * B::kBytes;
      if (v * kLanes * B::kBytes % 64 == 0) prefetch(reinterpret_cast<uintptr_t>(p) + ahead);
      B::load(p, columns[v]);
    }
    PHIAL_UNROLL
    for (int d = 0; d < B::kDepth; ++d) {
      PHIAL_UNROLL
      for (int r = 0; r < Rows; ++r) {
        const Vec factor = broadcast(a[r * a_stride + i + d]);
        PHIAL_UNROLL
        for (int v = 0; v < Vecs; ++v) acc[r][v] = fma(factor, columns[v][d], acc[r][v]);
      }
    }
  }
}

// c[r][.] = c[r][.] * factors[r] + sum over k of a[r][k] * b[k][.]; without factors, from 0.
template <class B, int Rows, int Vecs>
static void product_tile(int64_t k, const float* a, int64_t a_stride, const uint8_t* b,
                         int64_t b_stride, uintptr_t ahead, const float* factors, float* c,
                         int64_t c_stride) {
  Vec acc[Rows][Vecs];
  PHIAL_UNROLL
  for (int r = 0; r < Rows; ++r) {
    PHIAL_UNROLL
    for (int v = 0; v < Vecs; ++v) {
      acc[r][v] = factors == nullptr
                      ? zero()
                      : mul(load(c + r * c_stride + v * kLanes), broadcast(factors[r]));
    }
  }
  product_chains<B, Rows, Vecs>(k, a, a_stride, b, b_stride, ahead, acc);
  PHIAL_UNROLL
  for (int r = 0; r < Rows; ++r) {
    PHIAL_UNROLL
    for (int v = 0; v < Vecs; ++v) store(c + r * c_stride + v * kLanes, acc[r][v]);
  }
}

using ProductTile = void (*)(int64_t, const float*, int64_t, const uint8_t*, int64_t, uintptr_t,
                             const float*, float*, int64_t);
// By rows - 1; the last ones repeat where fewer are used.
template <class B, int Vecs>
constexpr ProductTile kProductTiles[6] = {
    product_tile<B, kept_rows(1), Vecs>, product_tile<B, kept_rows(2), Vecs>,
    product_tile<B, kept_rows(3), Vecs>, product_tile<B, kept_rows(4), Vecs>,
    product_tile<B, kept_rows(5), Vecs>, product_tile<B, kept_rows(6), Vecs>};

template <class B>
static void product(PageRows rows, int64_t n, int64_t k, const float* a, const uint8_t* b,
                    int64_t b_stride, uintptr_t ahead, const float* factors, float* c) {
  each_columns(n, [&]<int Vecs>(int64_t at, Count<Vecs>) {
    // Pairs of columns take registers of their own.
    constexpr int kRows = B::kDepth == 2 && kProductRows == 6 ? 4 : kProductRows;
    uintptr_t distance = ahead;
    for (int64_t r = rows.first; r < rows.last; r += kRows) {
      const int64_t count = at_most(rows.last - r, kRows);
      kProductTiles<B, Vecs>[count - 1](k, a + r * k, k, b + at * B::kBytes, b_stride, distance,
                                        factors == nullptr ? nullptr : factors + r, c + r * n + at,
                                        n);
      distance = 0;
    }
  });
}

// How far ahead of what is read something is fetched with it; 0: attend_page fetches by itself.
PHIAL_INLINE uintptr_t distance_to_next(const AttentionPageArgs& args) {
  return reinterpret_cast<uintptr_t>(args.next) - reinterpret_cast<uintptr_t>(args.block);
}

template <class B>
struct WidenedPage {
  static constexpr bool kCodes = false;
  static void scores(const AttentionPageArgs& args, PageRows rows) {
    const KvHead& head = *args.head;
    product<B>(rows, kPagePositions, head.width, args.q, args.block, kPagePositions * head.key_unit,
               distance_to_next(args), nullptr, args.scores);
  }
  static void values(const AttentionPageArgs& args, PageRows rows) {
    const KvHead& head = *args.head;
    product<B>(rows, head.width, kPagePositions, args.scores, args.block + head.values,
               head.value_row, distance_to_next(args), args.factors, args.out);
  }
};

struct FloatPage {
  static constexpr bool kCodes = false;
  static void scores(const AttentionPageArgs& args, PageRows rows) {
    const int64_t width = args.head->width;
    const auto* keys = reinterpret_cast<const float*>(args.block);
    gemm(rows.last - rows.first, kPagePositions, width, args.q + rows.first * width, width, keys,
         kPagePositions, args.scores + rows.first * kPagePositions, kPagePositions, false);
  }
  static void values(const AttentionPageArgs& args, PageRows rows) {
    const int64_t width = args.head->width;
    const auto* values = reinterpret_cast<const float*>(args.block + args.head->values);
    for (int64_t r = rows.first; r < rows.last; ++r) {
      if (args.factors[r] != 1.0f) scale_row(width, args.factors[r], args.out + r * width);
    }
    gemm(rows.last - rows.first, width, kPagePositions, args.scores + rows.first * kPagePositions,
         kPagePositions, values, width, args.out + rows.first * width, width, true);
  }
};

// Pages of codes.

// Totals of `groups` dot products of four for Rows rows of planes and Vecs vectors of columns:
// done(r, v, float32 of 128 * hi sums + lo sums + correction).
template <int Rows, int Vecs, class Done>
PHIAL_INLINE void dots_tile(int64_t groups, const int8_t* a, const uint8_t* b, int64_t b_stride,
                            uintptr_t ahead, const int32_t* correction, const Done& done) {
  const int64_t plane = 4 * groups;
  Dots hi[Rows][Vecs], lo[Rows][Vecs];
  PHIAL_UNROLL
  for (int r = 0; r < Rows; ++r) {
    PHIAL_UNROLL
    for (int v = 0; v < Vecs; ++v) {
      hi[r][v] = dots_of(0);
      lo[r][v] = dots_of(correction[r]);
    }
  }
  for (int64_t i = 0; i < groups; ++i, a += 4, b += b_stride) {
    Codes columns[Vecs];
    PHIAL_UNROLL
    for (int v = 0; v < Vecs; ++v) {
      const uint8_t* p = b + v * 4 * kLanes;
      if (v * 4 * kLanes % 64 == 0) prefetch(reinterpret_cast<uintptr_t>(p) + ahead);
      columns[v] = load_code_lanes(p);
    }
    PHIAL_UNROLL
    for (int r = 0; r < Rows; ++r) {
      const Codes high = broadcast_four(a + 2 * r * plane);
      const Codes low = broadcast_four(a + (2 * r + 1) * plane);
      PHIAL_UNROLL
      for (int v = 0; v < Vecs; ++v) {
        hi[r][v] = dot4(hi[r][v], columns[v], high);
        lo[r][v] = dot4(lo[r][v], columns[v], low);
      }
    }
  }
  PHIAL_UNROLL
  for (int r = 0; r < Rows; ++r) {
    PHIAL_UNROLL
    for (int v = 0; v < Vecs; ++v) done(r, v, to_float(add_times_128(lo[r][v], hi[r][v])));
  }
}

// What dots_tile does with its totals, for row 0 and column 0 of the tile.
struct DotsOut {
  const float* row_scale;     // of values
  const float* column_scale;  // of scores, which are to be multiplied by row_scale yet
  const float* factors;       // of values
  float* c;
  int64_t c_stride;
};

template <int Rows, int Vecs>
static void score_tile(int64_t groups, const int8_t* a, const uint8_t* b, int64_t b_stride,
                       uintptr_t ahead, const int32_t* correction, const DotsOut& out) {
  dots_tile<Rows, Vecs>(groups, a, b, b_stride, ahead, correction, [&](int r, int v, Vec total) {
    store(out.c + r * out.c_stride + v * kLanes, mul(total, load(out.column_scale + v * kLanes)));
  });
}
template <int Rows, int Vecs>
static void value_tile(int64_t groups, const int8_t* a, const uint8_t* b, int64_t b_stride,
                       uintptr_t ahead, const int32_t* correction, const DotsOut& out) {
  dots_tile<Rows, Vecs>(groups, a, b, b_stride, ahead, correction, [&](int r, int v, Vec total) {
    float* at = out.c + r * out.c_stride + v * kLanes;
    const Vec before = mul(load(at), broadcast(out.factors[r]));
    store(at, fma(total, broadcast(out.row_scale[r]), before));
  });
}

using DotsTile = void (*)(int64_t, const int8_t*, const uint8_t*, int64_t, uintptr_t,
                          const int32_t*, const DotsOut&);
constexpr int kept_dots_rows(int rows) { return rows < kDotsRows ? rows : kDotsRows; }
template <int Vecs>
constexpr DotsTile kScoreTiles[3] = {score_tile<1, Vecs>, score_tile<kept_dots_rows(2), Vecs>,
                                     score_tile<kept_dots_rows(3), Vecs>};
template <int Vecs>
constexpr DotsTile kValueTiles[3] = {value_tile<1, Vecs>, value_tile<kept_dots_rows(2), Vecs>,
                                     value_tile<kept_dots_rows(3), Vecs>};

static void code_scores(const AttentionPageArgs& args, PageRows rows, const uint8_t* keys,
                        uintptr_t ahead) {
  const int64_t width = args.head->width;
  float scales[kPagePositions];
  for (int64_t i = 0; i < kPagePositions; i += kLanes) {
    store(scales + i, load_bf16(args.block + args.head->key_scales + 2 * i));
  }
  each_columns(kPagePositions, [&]<int Vecs>(int64_t at, Count<Vecs>) {
    uintptr_t distance = ahead;
    for (int64_t r = rows.first; r < rows.last; r += kDotsRows) {
      const int64_t count = at_most(rows.last - r, kDotsRows);
      kScoreTiles<Vecs>[count - 1](
          width / 4, args.planes.codes + 2 * r * width, keys + 4 * at, 4 * kPagePositions, distance,
          args.planes.correction + r,
          {nullptr, scales + at, nullptr, args.scores + r * kPagePositions + at, kPagePositions});
      distance = 0;
    }
  });
}

static void code_values(const AttentionPageArgs& args, PageRows rows, const uint8_t* values,
                        uintptr_t ahead) {
  const int64_t width = args.head->width;
  each_columns(width, [&]<int Vecs>(int64_t at, Count<Vecs>) {
    uintptr_t distance = ahead;
    for (int64_t r = rows.first; r < rows.last; r += kDotsRows) {
      const int64_t count = at_most(rows.last - r, kDotsRows);
      kValueTiles<Vecs>[count - 1](
          kPagePositions / 4, args.value_planes.codes + 2 * r * kPagePositions, values + 4 * at,
          4 * width, distance, args.value_planes.correction + r,
          {args.value_planes.scale + r, nullptr, args.factors + r, args.out + r * width + at,
           width});
      distance = 0;
    }
  });
}

// One row has little to do for each byte: mixed with its products, so many requests make them wait
// for each other, and memory rests during the softmax. So the next page is asked for at once.
PHIAL_INLINE bool fetches_at_once(PageRows rows) { return rows.last - rows.first == 1; }
PHIAL_INLINE uintptr_t code_distance(const AttentionPageArgs& args, PageRows rows) {
  return fetches_at_once(rows) ? 0 : distance_to_next(args);
}
PHIAL_INLINE void fetch(const uint8_t* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) prefetch(reinterpret_cast<uintptr_t>(p + i));
}

struct BytePage {
  static constexpr bool kCodes = true;
  static void scores(const AttentionPageArgs& args, PageRows rows) {
    code_scores(args, rows, args.block, code_distance(args, rows));
  }
  static void values(const AttentionPageArgs& args, PageRows rows) {
    code_values(args, rows, args.block + args.head->values, code_distance(args, rows));
  }
};

// Unpacked to codes of bytes first: 2 c - 15 + 128.
struct NibblePage {
  static constexpr bool kCodes = true;
  static void scores(const AttentionPageArgs& args, PageRows rows) {
    const KvHead& head = *args.head;
    constexpr int64_t kRow = 4 * kPagePositions;
    const uintptr_t ahead = code_distance(args, rows);
    for (int64_t r = 0; r < head.key_rows; ++r) {
      for (int64_t i = 0; i < kRow; i += 64) {
        const uint8_t* p = args.block + r * kRow + i;
        prefetch(reinterpret_cast<uintptr_t>(p) + ahead);
        unpack_nibble_codes(p, args.codes + 2 * r * kRow + i, args.codes + (2 * r + 1) * kRow + i);
      }
    }
    code_scores(args, rows, args.codes, 0);
  }
  static void values(const AttentionPageArgs& args, PageRows rows) {
    const KvHead& head = *args.head;
    const uintptr_t ahead = code_distance(args, rows);
    for (int64_t g = 0; g < kPagePositions / head.value_group; ++g) {
      const uint8_t* from = args.block + head.values + g * head.value_row;
      uint8_t* to = args.codes + 2 * g * head.value_row;
      for (int64_t i = 0; i < head.value_row; i += 64) {
        prefetch(reinterpret_cast<uintptr_t>(from + i) + ahead);
        unpack_nibble_codes(from + i, to + 2 * i, to + 2 * i + 64);
      }
    }
    code_values(args, rows, args.codes, 0);
  }
};

template <class Page>
static void attend_page(const AttentionPageArgs& args) {
  const PageRows rows = rows_that_see(args);
  if (rows.first >= rows.last) return;
  const KvHead& head = *args.head;
  const bool fetches = Page::kCodes && fetches_at_once(rows);
  if (fetches) fetch(args.next, head.values);
  Page::scores(args, rows);
  if (fetches) fetch(args.next + head.values, head.bytes - head.values);
  if (args.cap > 0) cap_scores<Page::kCodes>(args, rows);
  weigh<Page::kCodes>(args, rows);
  Page::values(args, rows);
}

static void merge_parts(int64_t rows, int64_t width, const AttentionPart& part,
                        const AttentionPart& into) {
  const float none = -__builtin_inff();
  for (int64_t r = 0; r < rows; ++r) {
    const float a = into.row_max[r], b = part.row_max[r];
    if (b == none) continue;
    float* out = into.out + r * width;
    const float* other = part.out + r * width;
    if (a == none) {
      into.row_max[r] = b;
      into.row_sum[r] = part.row_sum[r];
      each(width, [&](auto at) { put(out, get(other, at), at); });
      continue;
    }
    const float most = a > b ? a : b;
    const Vec old = exp(broadcast(a - most)), more = exp(broadcast(b - most));
    into.row_max[r] = most;
    into.row_sum[r] = into.row_sum[r] * first(old) + part.row_sum[r] * first(more);
    each(width, [&](auto at) { put(out, fma(get(other, at), more, mul(get(out, at), old)), at); });
  }
}

constexpr AttentionKernels make_attention() {
  AttentionKernels kernels = {};
  const auto set = [&kernels](KvType type, KvStoreFn store_position, AttentionPageFn page) {
    kernels.store[static_cast<int>(type)] = store_position;
    kernels.page[static_cast<int>(type)] = page;
  };
  set(KvType::f32, store_f32, attend_page<FloatPage>);
  set(KvType::f16, store_f16, attend_page<WidenedPage<HalfRows>>);
  set(KvType::bf16, store_bf16, attend_page<WidenedPage<BrainRows>>);
  set(KvType::int8, store_int8, attend_page<BytePage>);
  set(KvType::int4, store_int4, attend_page<NibblePage>);
  kernels.make_planes = make_planes;
  kernels.rotate = rotate;
  kernels.merge = merge_parts;
  return kernels;
}

#include "kernels/attention.h"

#include <cmath>
#include <limits>

#include "kernels/test_support.h"
#include "sys/cpu.h"

namespace phial {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr KvType kTypes[] = {KvType::f32, KvType::f16, KvType::bf16, KvType::int8, KvType::int4};
constexpr int64_t kHeadDims[] = {64, 80, 96, 128, 256, 5, 24};

struct Variant {
  const char* name;
  const AttentionKernels* kernels;
  bool supported;
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const KernelTable* table : tested_tables()) {
    all.push_back({table->isa, table->attention, is_supported(*table)});
  }
#if defined(__x86_64__)
  all.push_back({"avx512vnni", &kAvx512VnniAttention,
                 is_supported(kAvx512Kernels) && probe_cpu().avx512_vnni});
#endif
  return all;
}

std::string name_of(const testing::TestParamInfo<Variant>& info) { return info.param.name; }

// A page of a head, with random keys and values in its first slots.
struct Page {
  KvHead head;
  std::vector<uint8_t> bytes;

  Page(const AttentionKernels& kernels, KvType type, int64_t head_dim, int64_t positions, Rng& rng,
       double size = 1)
      : head(KvHead::of(type, head_dim)), bytes(static_cast<size_t>(head.bytes)) {
    std::vector<float> scratch(static_cast<size_t>(2 * head.width));
    for (int64_t slot = 0; slot < positions; ++slot) {
      const std::vector<float> k = random_row(rng, head_dim, size);
      const std::vector<float> v = random_row(rng, head_dim, size);
      kernels.store[static_cast<int>(type)](
          {&head, slot, k.data(), v.data(), bytes.data(), scratch.data()});
    }
  }
};

// All that a page kernel works with, for `rows` random queries.
struct Rows {
  int64_t rows, width;
  std::vector<float> q, row_max, row_sum, out, scores, factors, plane_scale, value_scale;
  std::vector<int8_t> plane_codes, value_codes;
  std::vector<int32_t> plane_correction, value_correction;
  std::vector<uint8_t> codes;

  Rows(const KvHead& head, int64_t count, Rng& rng) : rows(count), width(head.width) {
    const auto n = static_cast<size_t>(rows), w = static_cast<size_t>(width);
    q.resize(n * w);
    for (size_t r = 0; r < n; ++r) {
      const std::vector<float> row = random_row(rng, head.head_dim, 2);
      std::copy(row.begin(), row.end(), q.begin() + static_cast<ptrdiff_t>(r * w));
    }
    row_max.assign(n, -kInf);
    row_sum.assign(n, 0);
    out.assign(n * w, 0);
    scores.resize(n * kPagePositions);
    factors.resize(n);
    plane_scale.resize(n);
    value_scale.resize(n);
    plane_codes.resize(2 * n * w);
    value_codes.resize(2 * n * kPagePositions);
    plane_correction.resize(n);
    value_correction.resize(n);
    codes.resize(w * kPagePositions);
    kReferenceAttention.make_planes(rows, width, q.data(), planes());
  }
  Planes planes() { return {plane_codes.data(), plane_scale.data(), plane_correction.data()}; }
  AttentionPageArgs args(const Page& page, int64_t group, int64_t first_position) {
    AttentionPageArgs a = {};
    a.head = &page.head;
    a.block = a.next = page.bytes.data();
    a.rows = rows;
    a.group = group;
    a.first_position = first_position;
    a.scale = 0.3f;
    a.q = q.data();
    a.planes = planes();
    a.row_max = row_max.data();
    a.row_sum = row_sum.data();
    a.out = out.data();
    a.scores = scores.data();
    a.factors = factors.data();
    a.value_planes = {value_codes.data(), value_scale.data(), value_correction.data()};
    a.codes = codes.data();
    return a;
  }
};

class Attend : public testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    if (!GetParam().supported) GTEST_SKIP() << "not executed: no " << GetParam().name << " here";
  }
  const AttentionKernels& kernels() const { return *GetParam().kernels; }
  void attend(KvType type, const AttentionPageArgs& args) const {
    kernels().page[static_cast<int>(type)](args);
  }
};
INSTANTIATE_TEST_SUITE_P(Tables, Attend, testing::ValuesIn(variants()), name_of);

// The reference decides every bit of what is stored. Sums of a rotation run in another order than
// the reference's: codes of 8 bits may differ by one, and scales in their last bit.
TEST_P(Attend, StoresTheBitsOfTheReference) {
  for (const KvType type : kTypes) {
    if (type == KvType::int4) continue;
    for (const int64_t head_dim : kHeadDims) {
      for (const double size : {1.0, 1e-30, 1e-40, 3e4}) {
        Rng a(7), b(7);
        const Page got(kernels(), type, head_dim, 64, a, size);
        const Page expected(kReferenceAttention, type, head_dim, 64, b, size);
        const int64_t keys = got.head.rotates_keys ? got.head.values : 0;
        EXPECT_TRUE(std::equal(got.bytes.begin() + keys, got.bytes.end(),
                               expected.bytes.begin() + keys, expected.bytes.end()))
            << static_cast<int>(type) << " " << head_dim << " " << size;
        for (int64_t i = 0; i < keys; i += i < got.head.key_scales ? 1 : 2) {
          const auto at = static_cast<size_t>(i);
          ASSERT_NEAR(got.bytes[at], expected.bytes[at], 1) << head_dim << " " << size << " " << i;
        }
      }
    }
  }
}

// One column of a key, or a value, as attention sees it: a query, or weight, of one.
std::vector<float> stored_value(const Page& page, int64_t slot) {
  Rng rng(1);
  Rows rows(page.head, 1, rng);
  AttentionPageArgs args = rows.args(page, 1, slot);
  args.window = 1;
  kReferenceAttention.page[static_cast<int>(page.head.type)](args);
  return rows.out;
}

// Each type keeps a value within half a step of its own, rotated back for int4.
TEST_P(Attend, StoredValuesAreWithinHalfAStep) {
  for (const KvType type : kTypes) {
    for (const int64_t head_dim : kHeadDims) {
      Rng rng(3), again(3);
      const Page page(kernels(), type, head_dim, 9, rng);
      for (int64_t slot = 0; slot < 9; ++slot) {
        random_row(again, head_dim);
        std::vector<float> v = random_row(again, head_dim);
        if (type == KvType::int4) kernels().rotate(head_dim, false, v.data());
        const std::vector<float> kept = stored_value(page, slot);
        double most = 0;
        for (const float x : v) most = std::max<double>(most, std::fabs(x));
        for (int64_t d = 0; d < page.head.width; ++d) {
          const double x = d < head_dim ? v[static_cast<size_t>(d)] : 0;
          // Half a unit in the last place; half a step of codes, whose scale was rounded up by at
          // most 2^-7; a few roundings of float32.
          double bound = 4 * kUnit * most;
          if (type == KvType::f16) bound += std::fabs(x) * 0x1p-11 + 0x1p-25;
          if (type == KvType::bf16) bound += std::fabs(x) * 0x1p-8;
          if (type == KvType::int8) bound += most / 127 * (1 + 0x1p-7) / 2;
          if (type == KvType::int4) bound += most / 15 * (1 + 0x1p-7);
          if (type == KvType::int4 && d >= head_dim) continue;  // no multiple of the step is 0
          ASSERT_NEAR(kept[static_cast<size_t>(d)], x, bound)
              << static_cast<int>(type) << " " << head_dim << " " << d;
        }
      }
    }
  }
}

TEST_P(Attend, StoreWritesItsOwnSlotOnly) {
  for (const KvType type : kTypes) {
    Rng rng(5), same(5);
    const Page four(kernels(), type, 80, 4, rng), five(kernels(), type, 80, 5, same);
    // Position 4 stored into a page of ones changes nothing of the first four.
    const std::vector<float> ones(80, 1.0f);
    std::vector<float> scratch(256);
    Page page = five;
    kernels().store[static_cast<int>(type)](
        {&page.head, 4, ones.data(), ones.data(), page.bytes.data(), scratch.data()});
    for (int64_t slot = 0; slot < 4; ++slot) {
      EXPECT_EQ(stored_value(page, slot), stored_value(four, slot)) << static_cast<int>(type);
    }
  }
}

TEST_P(Attend, PlanesAreThoseOfTheReference) {
  Rng rng(9);
  for (const double size : {1.0, 1e-20, 1e-36, 1e30}) {
    const int64_t rows = 3, n = 96;
    std::vector<float> x = random_row(rng, rows * n, size);
    std::fill_n(x.begin() + n, n, 0.0f);
    std::vector<int8_t> codes[2];
    std::vector<float> scales[2];
    std::vector<int32_t> corrections[2];
    for (int i = 0; i < 2; ++i) {
      codes[i].resize(static_cast<size_t>(2 * rows * n));
      scales[i].resize(static_cast<size_t>(rows));
      corrections[i].resize(static_cast<size_t>(rows));
      const AttentionKernels& k = i == 0 ? kernels() : kReferenceAttention;
      k.make_planes(rows, n, x.data(), {codes[i].data(), scales[i].data(), corrections[i].data()});
    }
    EXPECT_EQ(codes[0], codes[1]) << size;
    EXPECT_TRUE(same_bits(scales[0], scales[1])) << size;
    EXPECT_EQ(corrections[0], corrections[1]) << size;
    for (const int8_t code : codes[0]) ASSERT_LE(std::abs(code), 64);
    // Far below the smallest inverse the planes are 0.
    if (size < 1e-30) continue;
    for (int64_t i = 0; i < rows * n; ++i) {
      const int64_t r = i / n, at = 2 * r * n + i % n;
      const double back =
          (128.0 * codes[0][static_cast<size_t>(at)] + codes[0][static_cast<size_t>(at + n)]) *
          scales[0][static_cast<size_t>(r)];
      ASSERT_NEAR(back, x[static_cast<size_t>(i)],
                  scales[0][static_cast<size_t>(r)] * (0.5 + kPlaneSteps * 4 * kUnit));
    }
  }
}

// Of a row with a number that is none, only the scale says so.
TEST_P(Attend, PlanesOfNoNumbersAreZero) {
  Rng rng(10);
  const int64_t n = 96;
  for (const float bad : {kNan, kInf, -kInf}) {
    for (const int64_t at : {0, 17, 95}) {
      std::vector<float> x = random_row(rng, 2 * n);
      x[static_cast<size_t>(at)] = bad;
      std::vector<int8_t> codes(static_cast<size_t>(4 * n), 1);
      std::vector<float> scales(2);
      std::vector<int32_t> corrections(2, 1);
      kernels().make_planes(2, n, x.data(), {codes.data(), scales.data(), corrections.data()});
      EXPECT_TRUE(std::isnan(scales[0]) && std::isfinite(scales[1])) << bad;
      EXPECT_EQ(corrections[0], 0) << bad;
      EXPECT_EQ(std::count(codes.begin(), codes.begin() + 2 * n, 0), 2 * n) << bad << " at " << at;
    }
  }
}

TEST_P(Attend, RotationIsOrthogonalAndSpreadsOneNumber) {
  for (const int64_t n : {64, 80, 96, 128, 256, 5, 6, 8, 12, 20, 24, 40, 48, 72, 640, 768, 1024}) {
    Rng rng(11);
    const std::vector<float> before = random_row(rng, n);
    Guarded x(before), expected(before);
    kernels().rotate(n, false, x.data());
    kReferenceAttention.rotate(n, false, expected.data());
    ASSERT_TRUE(x.intact());
    double length = 0;
    for (const float v : before) length += static_cast<double>(v) * v;
    // A sum of n numbers, in two chains.
    const double bound =
        gamma_of(static_cast<double>(n) + 4) * std::sqrt(length * static_cast<double>(n)) + 1e-30;
    for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(x[i], expected[i], bound) << n;
    kernels().rotate(n, true, x.data());
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_NEAR(x[i], before[static_cast<size_t>(i)], 2 * bound) << n << " " << i;
    }
    if (n < 64 || n == 72) continue;  // 72 is 9 blocks of 8
    // The whole point: an outlier becomes n equal parts.
    std::vector<float> one(static_cast<size_t>(n), 0.0f);
    one[3] = 1;
    kernels().rotate(n, false, one.data());
    for (const float v : one)
      ASSERT_NEAR(std::fabs(v), 1 / std::sqrt(static_cast<double>(n)), 1e-6);
  }
}

struct Shape {
  int64_t rows, group, first_position, window;
  float cap;
};
constexpr Shape kShapes[] = {
    {1, 1, 63, 0, 0},   {1, 1, 200, 0, 0},  {3, 3, 17, 0, 0},    {7, 1, 0, 0, 0},
    {10, 2, -2, 0, 0},  {12, 4, 62, 0, 0},  {9, 3, 90, 50, 0},   {14, 7, 5, 3, 0},
    {30, 1, 50, 20, 0}, {64, 1, 20, 0, 30}, {8, 8, 100, 40, 15}, {5, 1, -5, 0, 0},
    {5, 1, 127, 64, 0},
};

TEST_P(Attend, IsTheReference) {
  for (const KvType type : kTypes) {
    for (const int64_t head_dim : kHeadDims) {
      for (const Shape& shape : kShapes) {
        Rng rng(13);
        // Two pages, so that the second one meets what the first one left.
        const Page first(kernels(), type, head_dim, 64, rng);
        const Page second(kernels(), type, head_dim, 64, rng);
        Rows got(first.head, shape.rows, rng);
        Rows expected = got;
        for (Rows* rows : {&got, &expected}) {
          const Page* pages[] = {&first, &second};
          for (int64_t p = 0; p < 2; ++p) {
            AttentionPageArgs args =
                rows->args(*pages[p], shape.group, shape.first_position + 64 - 64 * p);
            args.window = shape.window;
            args.cap = shape.cap;
            if (rows == &got) {
              attend(type, args);
            } else {
              kReferenceAttention.page[static_cast<int>(type)](args);
            }
          }
        }
        // Scores: sums of width products of at most 2 and 1, and one rounding more; a cap's
        // error. Their error is a relative one of each weight. Of weights in planes: half a step
        // of the largest, for each of 64 values of at most 1. Two pages.
        const double width = static_cast<double>(first.head.width);
        double score = gamma_of(width + 2) * 2 * width * 0.3;
        if (shape.cap > 0) score += shape.cap * 0x1p-19;
        const double weight = 2 * (2 * score + gamma_of(64 + 20));
        const double planes = first.head.scaled ? 2 * 64 * 0.5 / kPlaneSteps : 0;
        // A rotated value may be as long as its whole vector.
        const double size = type == KvType::int4 ? std::sqrt(width) : 1;
        for (int64_t r = 0; r < shape.rows; ++r) {
          const auto at = static_cast<size_t>(r);
          if (expected.row_max[at] == -kInf) {  // it sees nothing of either page
            ASSERT_EQ(got.row_max[at], -kInf);
            continue;
          }
          ASSERT_NEAR(got.row_max[at], expected.row_max[at], score + 1e-6);
          const double sum = expected.row_sum[at];
          ASSERT_NEAR(got.row_sum[at], sum, sum * weight) << head_dim;
          for (int64_t d = 0; d < head_dim; ++d) {
            const auto i = static_cast<size_t>(r * first.head.width + d);
            ASSERT_NEAR(got.out[i], expected.out[i], size * (sum * weight + planes))
                << "type " << static_cast<int>(type) << " head " << head_dim << " row " << r
                << " of " << shape.rows << " dimension " << d;
          }
        }
      }
    }
  }
}

// Bit for bit, whatever other rows there are.
TEST_P(Attend, RowsDoNotDependOnOthers) {
  for (const KvType type : kTypes) {
    for (const int64_t head_dim : {64, 80, 96}) {
      Rng rng(17);
      const Page page(kernels(), type, head_dim, 64, rng);
      Rows all(page.head, 16, rng);
      const Rows before = all;
      attend(type, all.args(page, 2, 30));
      for (int64_t p = 0; p < 8; ++p) {
        Rows few = before;
        AttentionPageArgs args = few.args(page, 2, 30 + p);
        args.rows = 2;
        args.q += 2 * p * few.width;
        args.planes.codes += 4 * p * few.width;
        args.planes.scale += 2 * p;
        args.planes.correction += 2 * p;
        attend(type, args);
        const std::vector<float> one(few.out.begin(), few.out.begin() + 2 * few.width);
        const auto begin = all.out.begin() + 2 * p * few.width;
        EXPECT_TRUE(same_bits(one, {begin, begin + 2 * few.width})) << static_cast<int>(type);
      }
    }
  }
}

TEST_P(Attend, MergedPartsAreTheWhole) {
  for (const KvType type : kTypes) {
    Rng rng(19);
    const Page first(kernels(), type, 80, 64, rng), second(kernels(), type, 80, 64, rng);
    Rows whole(first.head, 6, rng);
    Rows a = whole, b = whole, untouched = whole;
    attend(type, whole.args(first, 1, 64));
    attend(type, whole.args(second, 1, 0));
    attend(type, a.args(first, 1, 64));
    attend(type, b.args(second, 1, 0));
    const auto part = [](Rows& rows) {
      return AttentionPart{rows.row_max.data(), rows.row_sum.data(), rows.out.data()};
    };
    // A row that has seen nothing changes nothing, and takes what there is.
    const std::vector<float> alone = a.out;
    kernels().merge(6, a.width, part(untouched), part(a));
    EXPECT_TRUE(same_bits(a.out, alone));
    kernels().merge(6, a.width, part(a), part(untouched));
    EXPECT_TRUE(same_bits(untouched.out, alone));
    kernels().merge(6, a.width, part(b), part(a));
    const double size = type == KvType::int4 ? std::sqrt(80.0) : 1;
    for (size_t r = 0; r < 6; ++r) {
      EXPECT_EQ(a.row_max[r], whole.row_max[r]);
      EXPECT_NEAR(a.row_sum[r], whole.row_sum[r], whole.row_sum[r] * gamma_of(80));
      for (size_t d = 0; d < 80; ++d) {
        const size_t i = r * static_cast<size_t>(a.width) + d;
        EXPECT_NEAR(a.out[i], whole.out[i], size * whole.row_sum[r] * gamma_of(80));
      }
    }
  }
}

TEST_P(Attend, SlotsBehindTheLastPositionDoNotCount) {
  for (const KvType type : {KvType::int8, KvType::int4}) {
    Rng rng(23), same(23);
    Page clean(kernels(), type, 64, 10, rng), dirty(kernels(), type, 64, 10, same);
    const std::vector<float> bad(64, kNan);
    std::vector<float> scratch(128);
    for (int64_t slot = 10; slot < 64; ++slot) {
      kernels().store[static_cast<int>(type)](
          {&dirty.head, slot, bad.data(), bad.data(), dirty.bytes.data(), scratch.data()});
    }
    Rows a(clean.head, 2, rng);
    Rows b = a;
    attend(type, a.args(clean, 1, 8));
    attend(type, b.args(dirty, 1, 8));
    EXPECT_TRUE(same_bits(a.out, b.out)) << static_cast<int>(type);
  }
}

TEST_P(Attend, NumbersThatAreNoneDoNotHide) {
  for (const KvType type : kTypes) {
    for (const float bad : {kNan, kInf}) {
      for (const bool in_key : {true, false}) {
        Rng rng(29);
        Page page(kernels(), type, 64, 12, rng);
        std::vector<float> k(64, 0.5f), v(64, 0.5f), scratch(128);
        (in_key ? k : v)[17] = bad;
        kernels().store[static_cast<int>(type)](
            {&page.head, 3, k.data(), v.data(), page.bytes.data(), scratch.data()});
        Rows rows(page.head, 1, rng);
        // An infinite score of the other sign would be one that nobody looks at.
        std::fill_n(rows.q.begin(), 64, 1.0f);
        kReferenceAttention.make_planes(1, rows.width, rows.q.data(), rows.planes());
        attend(type, rows.args(page, 1, 11));
        float probe = rows.row_sum[0] * 0;
        for (const float x : rows.out) probe += x * 0;
        EXPECT_TRUE(std::isnan(probe)) << static_cast<int>(type) << " " << bad << " " << in_key;
      }
    }
  }
}

#if defined(__x86_64__)

// Integers are exact: neither the emulation nor the shorter instruction changes a bit.
TEST(AttentionBits, AllOf512BitsAgree) {
  if (!is_supported(kAvx512Kernels)) GTEST_SKIP() << "not executed: no avx512 here";
  for (const KvType type : kTypes) {
    for (const int64_t head_dim : kHeadDims) {
      std::vector<std::vector<float>> outs;
      for (const Variant& variant : variants()) {
        const std::string name = variant.name;
        if (!variant.supported || (name != "avx512vnni" && name.find("512") == name.npos)) continue;
        Rng rng(31);
        const Page page(*variant.kernels, type, head_dim, 64, rng);
        Rows rows(page.head, 9, rng);
        variant.kernels->page[static_cast<int>(type)](rows.args(page, 3, 58));
        outs.push_back(rows.out);
      }
      ASSERT_GE(outs.size(), 2u);
      for (const std::vector<float>& out : outs) {
        EXPECT_TRUE(same_bits(out, outs[0])) << static_cast<int>(type) << " " << head_dim;
      }
    }
  }
}

#endif

}  // namespace
}  // namespace phial

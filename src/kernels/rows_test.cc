// Norms, activations, rope and softmax: every table against double precision. Bounds count the
// float32 roundings on the way to a result; `sums` is the longest chain of additions in a sum of n
// values with 8 lanes or more, and the tree over the lanes.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/test_support.h"
#include "tensor/test_blocks.h"

namespace phial {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
// Results below the smallest normal number round to multiples of 2^-149, or become 0 in exp.
constexpr double kTiny = 0x1p-126;

constexpr int64_t kLengths[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 576, 1001};

double sums(int64_t n) { return std::ceil(static_cast<double>(n) / 8) + 4; }

class Rows : public KernelTest {};

TEST_P(Rows, RmsNorm) {
  for (const int64_t n : kLengths) {
    Rng rng(21);
    const std::vector<float> x = random_row(rng, n, 3), weight = random_row(rng, n, 2);
    const double eps = static_cast<double>(1e-5f);
    double squares = 0;
    for (const float v : x) squares += static_cast<double>(v) * v;
    const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
    // Squares are positive: their sum is relatively exact to gamma(sums + 1), the square root
    // halves that; then the mean, eps, root, reciprocal and two products.
    const double relative = gamma_of(sums(n) / 2 + 7);
    for (const bool in_place : {false, true}) {
      Guarded in(x), out(n);
      table().rms_norm(n, in.data(), weight.data(), 1e-5f, in_place ? in.data() : out.data());
      Guarded& result = in_place ? in : out;
      ASSERT_TRUE(in.intact() && out.intact()) << n;
      for (int64_t i = 0; i < n; ++i) {
        const double expected = x[static_cast<size_t>(i)] * factor * weight[static_cast<size_t>(i)];
        ASSERT_NEAR(result[i], expected, relative * std::fabs(expected)) << n << " at " << i;
      }
    }
  }
}

TEST_P(Rows, LayerNorm) {
  for (const int64_t n : kLengths) {
    Rng rng(22);
    std::vector<float> x = random_row(rng, n, 3);
    for (float& v : x) v += 1.5f;
    const std::vector<float> weight = random_row(rng, n, 2), bias = random_row(rng, n);
    const double count = static_cast<double>(n), eps = static_cast<double>(1e-5f);
    double mean = 0, magnitude = 0, variance = 0;
    for (const float v : x) mean += v / count, magnitude += std::fabs(v) / count;
    for (const float v : x) variance += (v - mean) * (v - mean) / count;
    const double factor = 1 / std::sqrt(variance + eps);
    const double mean_error = gamma_of(sums(n) + 1) * magnitude;
    // A mean that is off by e adds e^2 to the variance.
    const double factor_error =
        gamma_of(sums(n) / 2 + 6) + mean_error * mean_error * factor * factor / 2;
    for (const bool in_place : {false, true}) {
      Guarded in(x), out(n);
      table().layer_norm(n, in.data(), weight.data(), bias.data(), 1e-5f,
                         in_place ? in.data() : out.data());
      Guarded& result = in_place ? in : out;
      ASSERT_TRUE(in.intact() && out.intact()) << n;
      for (int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<size_t>(i);
        const double normal = (x[at] - mean) * factor;
        const double expected = normal * weight[at] + bias[at];
        const double bound =
            std::fabs(weight[at]) * (std::fabs(normal) * (factor_error + gamma_of(2)) +
                                     (1 + factor_error + gamma_of(2)) * mean_error * factor) +
            gamma_of(2) * (std::fabs(normal * weight[at]) + std::fabs(bias[at]));
        ASSERT_NEAR(result[i], expected, bound) << n << " at " << i;
      }
    }
  }
}

TEST_P(Rows, LayerNormOfAConstantRowIsTheBias) {
  const std::vector<float> x(48, 2.0f), weight(48, 3.0f);
  Rng rng(23);
  const std::vector<float> bias = random_row(rng, 48);
  Guarded out(48);
  table().layer_norm(48, x.data(), weight.data(), bias.data(), 1e-5f, out.data());
  EXPECT_TRUE(same_bits(out.copy(), bias));
}

TEST_P(Rows, NormsDoNotHideNan) {
  for (const int64_t at : {0, 15, 16, 36}) {
    std::vector<float> x(37, 1.0f);
    const std::vector<float> ones(37, 1.0f);
    x[static_cast<size_t>(at)] = kNan;
    Guarded rms(37), layer(37);
    table().rms_norm(37, x.data(), ones.data(), 1e-5f, rms.data());
    table().layer_norm(37, x.data(), ones.data(), ones.data(), 1e-5f, layer.data());
    for (int64_t i = 0; i < 37; ++i) {
      EXPECT_TRUE(std::isnan(rms[i])) << at;
      EXPECT_TRUE(std::isnan(layer[i])) << at;
    }
  }
}

TEST_P(Rows, AddAndScaleRoundOnce) {
  for (const int64_t n : kLengths) {
    Rng rng(24);
    const std::vector<float> x = random_row(rng, n), y = random_row(rng, n, 1e-3);
    Guarded sum(x), product(x);
    table().add(n, y.data(), sum.data());
    table().scale(n, 0.3f, product.data());
    ASSERT_TRUE(sum.intact() && product.intact());
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      ASSERT_EQ(sum[i], x[at] + y[at]);
      ASSERT_EQ(product[i], x[at] * 0.3f);
    }
  }
}

// Floats from `low` to `high` such that every binade between has many, and the ends themselves.
std::vector<float> sweep(double low, double high) {
  std::vector<float> values;
  for (int i = 0; i <= 200'000; ++i) {
    values.push_back(static_cast<float>(low + (high - low) * i / 200'000));
  }
  for (int exponent = -149; exponent < 8; ++exponent) {
    for (const double mantissa : {1.0, 1.3, 1.999}) {
      for (const double sign : {-1.0, 1.0}) {
        const double value = sign * std::ldexp(mantissa, exponent);
        if (value >= low && value <= high) values.push_back(static_cast<float>(value));
      }
    }
  }
  return values;
}

// exp of every value, through a softmax whose maximum is 0.
std::vector<float> exp_of(const KernelTable& table, std::vector<float> x) {
  const size_t count = x.size();
  x.resize((count + 15) / 16 * 16);
  float row_max = 0, row_sum = 0;
  table.softmax_block(static_cast<int64_t>(x.size()), static_cast<int64_t>(count), 1, x.data(),
                      &row_max, &row_sum);
  x.resize(count);
  return x;
}

TEST_P(Rows, ExpIsWithinTwoUnitsInTheLastPlace) {
  const std::vector<float> x = sweep(-87.33, 0);
  const std::vector<float> got = exp_of(table(), x);
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(static_cast<double>(x[i]));
    const double last_place = std::ldexp(1, std::ilogb(expected) - 23);
    ASSERT_NEAR(got[i], expected, 2 * last_place) << x[i];
  }
}

TEST_P(Rows, ExpOfVeryNegativeValuesIsZero) {
  for (const float x : {-kInf, -std::numeric_limits<float>::max(), -1e6f, -150.0f, -104.0f}) {
    EXPECT_EQ(exp_of(table(), {x})[0], 0.0f) << x;
  }
  for (const float x : sweep(-104, -87.33)) {
    const float got = exp_of(table(), {x})[0];
    ASSERT_GE(got, 0.0f);
    ASSERT_LE(got, 1.2 * kTiny) << x;
  }
  EXPECT_EQ(exp_of(table(), {0.0f})[0], 1.0f);
  EXPECT_EQ(exp_of(table(), {-0.0f})[0], 1.0f);
  EXPECT_TRUE(std::isnan(exp_of(table(), {kNan})[0]));
}

TEST_P(Rows, SiluMul) {
  const std::vector<float> gate = sweep(-100, 100);
  const auto n = static_cast<int64_t>(gate.size());
  const std::vector<float> up(gate.size(), 0.75f);
  Guarded out(n);
  table().silu_mul(n, gate.data(), up.data(), out.data());
  ASSERT_TRUE(out.intact());
  for (int64_t i = 0; i < n; ++i) {
    const double g = gate[static_cast<size_t>(i)];
    const double e = std::exp(-g);
    const double expected = g / (1 + e) * 0.75;
    // exp to 2 units (4 roundings) counts by its share of 1 + e; then sum, quotient, product.
    // Where exp overflows, the result is 0 instead of g / e.
    const double bound = std::fabs(expected) * gamma_of(4 * e / (1 + e) + 3) +
                         std::fabs(g) / std::numeric_limits<float>::max() + 0x1p-149;
    ASSERT_NEAR(out[i], expected, bound) << g;
  }
}

TEST_P(Rows, SiluMulShapesAndPlaces) {
  for (const int64_t n : kLengths) {
    Rng rng(26);
    const std::vector<float> gate = random_row(rng, n, 4), up = random_row(rng, n);
    Guarded separate(n), in_gate(gate), in_up(up);
    table().silu_mul(n, gate.data(), up.data(), separate.data());
    table().silu_mul(n, in_gate.data(), up.data(), in_gate.data());
    table().silu_mul(n, gate.data(), in_up.data(), in_up.data());
    ASSERT_TRUE(separate.intact() && in_gate.intact() && in_up.intact());
    EXPECT_TRUE(same_bits(separate.copy(), in_gate.copy())) << n;
    EXPECT_TRUE(same_bits(separate.copy(), in_up.copy())) << n;
    for (int64_t i = 0; i < n; ++i) {
      const double g = gate[static_cast<size_t>(i)];
      const double expected = g / (1 + std::exp(-g)) * up[static_cast<size_t>(i)];
      ASSERT_NEAR(separate[i], expected, gamma_of(7) * std::fabs(expected)) << n;
    }
  }
}

TEST_P(Rows, GeluTanh) {
  const std::vector<float> x = sweep(-40, 40);
  const auto n = static_cast<int64_t>(x.size());
  Guarded out(x);
  table().gelu_tanh(n, out.data());
  ASSERT_TRUE(out.intact());
  for (int64_t i = 0; i < n; ++i) {
    const double v = x[static_cast<size_t>(i)];
    // 0.5 (1 + tanh u) = 1 / (1 + exp(-2 u)), which does not cancel.
    const double twice_u = 2 * std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
    const double e = std::exp(-twice_u);
    const double expected = v / (1 + e);
    // 2 u takes 5 roundings (2 constants, 3 operations), which exp turns from relative to absolute;
    // exp, sum and quotient as in silu. tanh in double precision is good to 2^-52 of 1.
    const double share = std::isinf(e) ? 1 : e / (1 + e);
    const double bound =
        std::fabs(expected) *
            (gamma_of(4 * share + 2) + share * std::expm1(gamma_of(5) * std::fabs(twice_u))) +
        std::fabs(v) * (0x1p-52 + 1.0 / std::numeric_limits<float>::max()) + 0x1p-149;
    ASSERT_NEAR(out[i], expected, bound) << v;
  }
}

TEST_P(Rows, GeluTanhMulIsGeluTimesUp) {
  for (const int64_t n : kLengths) {
    Rng rng(28);
    const std::vector<float> gate = random_row(rng, n, 4), up = random_row(rng, n);
    Guarded gelu(gate), separate(n), in_gate(gate), in_up(up);
    table().gelu_tanh(n, gelu.data());
    table().gelu_tanh_mul(n, gate.data(), up.data(), separate.data());
    table().gelu_tanh_mul(n, in_gate.data(), up.data(), in_gate.data());
    table().gelu_tanh_mul(n, gate.data(), in_up.data(), in_up.data());
    ASSERT_TRUE(separate.intact() && in_gate.intact() && in_up.intact());
    EXPECT_TRUE(same_bits(separate.copy(), in_gate.copy())) << n;
    EXPECT_TRUE(same_bits(separate.copy(), in_up.copy())) << n;
    for (int64_t i = 0; i < n; ++i) {
      const double expected = static_cast<double>(gelu[i]) * up[static_cast<size_t>(i)];
      // gelu was rounded once more on its way here; the product is rounded.
      ASSERT_NEAR(separate[i], expected, gamma_of(2) * std::fabs(expected) + 0x1p-149) << n;
    }
  }
}

TEST_P(Rows, SoftcapIsExactToAPartOfTheCap) {
  for (const float cap : {1.0f, 30.0f, 50.0f}) {
    for (const float scale : {1.0f, 0.0625f}) {
      const std::vector<float> x = sweep(-400, 400);
      const auto n = static_cast<int64_t>(x.size());
      Guarded out(x);
      table().softcap(n, scale, cap, out.data());
      ASSERT_TRUE(out.intact());
      for (int64_t i = 0; i < n; ++i) {
        const double expected =
            cap * std::tanh(static_cast<double>(x[static_cast<size_t>(i)]) * scale / cap);
        ASSERT_NEAR(out[i], expected, 0x1p-20 * cap) << x[static_cast<size_t>(i)];
        ASSERT_LE(std::fabs(out[i]), cap);
      }
    }
  }
}

TEST_P(Rows, SoftcapShapesAndEdges) {
  for (const int64_t n : kLengths) {
    Rng rng(29);
    const std::vector<float> x = random_row(rng, n, 60);
    Guarded out(x);
    table().softcap(n, 0.5f, 50.0f, out.data());
    ASSERT_TRUE(out.intact()) << n;
    for (int64_t i = 0; i < n; ++i) {
      const double expected = 50 * std::tanh(x[static_cast<size_t>(i)] * 0.5 / 50);
      ASSERT_NEAR(out[i], expected, 0x1p-20 * 50) << n;
    }
  }
  Guarded edges(std::vector<float>{kInf, -kInf, 3e38f, -3e38f, 0.0f, kNan});
  table().softcap(6, 1.0f, 30.0f, edges.data());
  EXPECT_EQ(edges[0], 30.0f);
  EXPECT_EQ(edges[1], -30.0f);
  EXPECT_EQ(edges[2], 30.0f);
  EXPECT_EQ(edges[3], -30.0f);
  EXPECT_EQ(edges[4], 0.0f);
  EXPECT_TRUE(std::isnan(edges[5]));
}

TEST_P(Rows, ActivationsAtTheEdges) {
  std::vector<float> x = {kInf, 3e38f, -3e38f, 0.0f, kNan};
  const std::vector<float> ones(5, 1.0f);
  Guarded silu(5), gelu(x);
  table().silu_mul(5, x.data(), ones.data(), silu.data());
  table().gelu_tanh(5, gelu.data());
  for (Guarded* out : {&silu, &gelu}) {
    EXPECT_EQ((*out)[0], kInf);
    EXPECT_EQ((*out)[1], 3e38f);
    EXPECT_EQ((*out)[2], 0.0f);
    EXPECT_EQ((*out)[3], 0.0f);
    EXPECT_TRUE(std::isnan((*out)[4]));
  }
}

TEST_P(Rows, Rope) {
  for (const auto& [head_dim, rotary] :
       {std::pair<int64_t, int64_t>{64, 64}, {80, 32}, {96, 96}, {6, 4}, {34, 34}, {8, 0}}) {
    Rng rng(27);
    const int64_t heads = 3;
    const std::vector<float> before = random_row(rng, heads * head_dim);
    const std::vector<float> cos = random_row(rng, rotary / 2), sin = random_row(rng, rotary / 2);
    Guarded x(before);
    table().rope(heads, head_dim, rotary, cos.data(), sin.data(), x.data());
    ASSERT_TRUE(x.intact());
    for (int64_t h = 0; h < heads; ++h) {
      const float* old = before.data() + h * head_dim;
      for (int64_t i = 0; i < head_dim; ++i) {
        const float got = x[h * head_dim + i];
        if (i >= rotary) {
          ASSERT_EQ(got, old[i]) << "dimension " << i << " of " << head_dim;
          continue;
        }
        const int64_t pair = i % (rotary / 2);
        const double a = old[pair], b = old[pair + rotary / 2];
        const double c = cos[static_cast<size_t>(pair)], s = sin[static_cast<size_t>(pair)];
        const bool lower = i < rotary / 2;
        const double expected = lower ? a * c - b * s : b * c + a * s;
        const double magnitude =
            lower ? std::fabs(a * c) + std::fabs(b * s) : std::fabs(b * c) + std::fabs(a * s);
        ASSERT_NEAR(got, expected, gamma_of(2) * magnitude) << head_dim << " " << i;
      }
    }
  }
}

// Scores in blocks of 48 with the last one cut at `keys`, as attention feeds them.
TEST_P(Rows, SoftmaxOverBlocks) {
  constexpr int64_t kBlock = 48;
  const float scale = 0.125f;
  for (const int64_t keys : {1, 7, 8, 9, 16, 17, 47, 48, 49, 96, 100, 130}) {
    Rng rng(28);
    const int64_t blocks = (keys + kBlock - 1) / kBlock;
    std::vector<float> scores = random_row(rng, blocks * kBlock, 40);
    double largest = -1e300;
    for (int64_t j = 0; j < keys; ++j) {
      largest = std::max<double>(largest, scores[static_cast<size_t>(j)] * scale);
    }
    // What is not valid must not be read as a number.
    for (int64_t j = keys; j < blocks * kBlock; ++j) scores[static_cast<size_t>(j)] = kNan;
    float row_max = -kInf, row_sum = 0;
    std::vector<double> weights;  // of all keys so far, kept up to date by the factors
    for (int64_t b = 0; b < blocks; ++b) {
      Guarded s({scores.begin() + b * kBlock, scores.begin() + (b + 1) * kBlock});
      const int64_t valid = std::min(kBlock, keys - b * kBlock);
      const float factor =
          table().softmax_block(kBlock, valid, scale, s.data(), &row_max, &row_sum);
      ASSERT_TRUE(s.intact());
      if (b == 0) {
        ASSERT_EQ(factor, 0.0f);
      }
      for (double& w : weights) w *= factor;
      for (int64_t j = 0; j < kBlock; ++j) {
        if (j >= valid) {
          ASSERT_EQ(s[j], 0.0f) << keys << " key " << j;
        } else {
          weights.push_back(s[j]);
        }
      }
    }
    ASSERT_EQ(row_max, static_cast<float>(largest)) << keys;  // times a power of two: exact
    double total = 0;
    for (int64_t j = 0; j < keys; ++j) {
      total += std::exp(scores[static_cast<size_t>(j)] * static_cast<double>(scale) - largest);
    }
    // A weight takes a difference of magnitude up to 10 (one rounding, absolute), exp (4), and as
    // much again for each factor; the sum adds its chain.
    const double each = static_cast<double>(blocks) * gamma_of(10 + 4 + 1);
    ASSERT_NEAR(row_sum, total,
                total * (each + gamma_of(sums(keys) + static_cast<double>(blocks))));
    for (int64_t j = 0; j < keys; ++j) {
      const double expected =
          std::exp(scores[static_cast<size_t>(j)] * static_cast<double>(scale) - largest);
      ASSERT_NEAR(weights[static_cast<size_t>(j)], expected, each * expected) << keys << " " << j;
    }
  }
}

TEST_P(Rows, SoftmaxOfABlockWithoutValidKeysChangesNothing) {
  std::vector<float> s(32, 5.0f);
  float row_max = 1.5f, row_sum = 3.25f;
  EXPECT_EQ(table().softmax_block(32, 0, 1.0f, s.data(), &row_max, &row_sum), 1.0f);
  EXPECT_EQ(row_max, 1.5f);
  EXPECT_EQ(row_sum, 3.25f);
  EXPECT_EQ(s, std::vector<float>(32, 0.0f));
}

TEST_P(Rows, SoftmaxDoesNotHideNan) {
  for (const size_t at : {0u, 7u, 20u}) {
    std::vector<float> s(32, 1.0f);
    s[at] = kNan;
    float row_max = -kInf, row_sum = 0;
    table().softmax_block(32, 21, 1.0f, s.data(), &row_max, &row_sum);
    EXPECT_TRUE(std::isnan(row_sum)) << at;
  }
}

PHIAL_INSTANTIATE_KERNEL_TEST(Rows);

#if defined(__x86_64__)

// The emulation is only worth something if it is what AVX-512 computes: every kernel, bit by bit.
TEST(Emulated512, HasTheBitsOfAvx512) {
  if (!is_supported(kAvx512Kernels)) GTEST_SKIP() << "not executed: no avx512 here";
  const KernelTable& a = kAvx512Kernels;
  const KernelTable& b = kEmulated512Kernels;
  Rng rng(29);
  const int64_t n = 1001;
  const std::vector<float> x = random_row(rng, 8 * n, 8), y = random_row(rng, n);
  const auto both = [&](const char* name, const std::vector<float>& start, const auto& run) {
    std::vector<float> first = start, second = start;
    run(a, first);
    run(b, second);
    EXPECT_TRUE(same_bits(first, second)) << name;
  };
  both("rms_norm", y, [&](const KernelTable& t, std::vector<float>& v) {
    t.rms_norm(n, x.data(), x.data() + n, 1e-6f, v.data());
  });
  both("layer_norm", y, [&](const KernelTable& t, std::vector<float>& v) {
    t.layer_norm(n, x.data(), x.data() + n, x.data() + 2 * n, 1e-6f, v.data());
  });
  both("silu_mul", y, [&](const KernelTable& t, std::vector<float>& v) {
    t.silu_mul(n, x.data(), x.data() + n, v.data());
  });
  both("gelu_tanh", x,
       [&](const KernelTable& t, std::vector<float>& v) { t.gelu_tanh(8 * n, v.data()); });
  both("rope", y, [&](const KernelTable& t, std::vector<float>& v) {
    t.rope(10, 100, 70, x.data(), x.data() + n, v.data());
  });
  both("softmax_block", x, [&](const KernelTable& t, std::vector<float>& v) {
    float row_max = 2, row_sum = 3;
    const float factor = t.softmax_block(992, 990, 0.3f, v.data(), &row_max, &row_sum);
    v.insert(v.end(), {row_max, row_sum, factor});
  });
  for (const GridInfo& grid : grid_table()) {
    const int64_t columns = 864 / grid.block_values * grid.block_values;
    const int64_t stride = row_bytes(grid.grid, columns);
    std::vector<uint8_t> w(static_cast<size_t>(9 * stride));
    for (int64_t r = 0; r < 9; ++r) {
      test::fill_row(grid.grid, rng, columns, 2, w.data() + r * stride);
    }
    both(grid.name, x, [&](const KernelTable& t, std::vector<float>& v) {
      t.gemv[static_cast<int>(grid.grid)](
          {w.data(), stride, columns, 0, 9, x.data(), n, 7, v.data(), 9});
    });
  }
}

#endif

}  // namespace
}  // namespace phial

// gemv and unpack of affine grids: every table, every description.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/test_support.h"
#include "tensor/test_affine.h"

namespace phial {
namespace {

test::AffinePlanes random_planes(const AffineGrid& grid, int64_t rows, int64_t columns) {
  test::AffinePlanes planes(grid, rows, columns);
  Rng rng(static_cast<uint64_t>(columns));
  for (int64_t r = 0; r < rows; ++r) planes.encode_row(r, random_row(rng, columns).data());
  return planes;
}

std::vector<float> run_gemv(const KernelTable& table, const AffineMatrix& w, int64_t rows,
                            int64_t columns, const std::vector<float>& x, int32_t x_rows) {
  Guarded y(x_rows * rows);
  table.gemv_affine({.weights = nullptr,
                     .row_stride = 0,
                     .columns = columns,
                     .row_begin = 0,
                     .row_end = rows,
                     .x = x.data(),
                     .x_stride = columns,
                     .x_rows = x_rows,
                     .y = y.data(),
                     .y_stride = rows,
                     .affine = &w});
  EXPECT_TRUE(y.intact());
  return y.copy();
}

class AffineKernels : public KernelTest {};

TEST_P(AffineKernels, MultiplyTheDecodedWeights) {
  constexpr int64_t kRows = 11;
  for (const AffineGrid& grid : test::affine_grids()) {
    for (const int64_t columns : {0, 1, 33, 255, 256, 300}) {
      const test::AffinePlanes planes = random_planes(grid, kRows, columns);
      Rng rng(2);
      const std::vector<float> x = random_row(rng, kMaxGemvRows * columns);
      const std::vector<float> y =
          run_gemv(table(), planes.matrix(), kRows, columns, x, kMaxGemvRows);
      for (int64_t r = 0; r < kRows; ++r) {
        const std::vector<float> w = planes.decode_row(r);
        for (int64_t m = 0; m < kMaxGemvRows; ++m) {
          double expected = 0, magnitude = 0;
          for (int64_t c = 0; c < columns; ++c) {
            const double product = static_cast<double>(w[static_cast<size_t>(c)]) *
                                   x[static_cast<size_t>(m * columns + c)];
            expected += product;
            magnitude += std::fabs(product);
          }
          // One rounding per column, whatever the order; of subnormal results to 2^-149.
          const auto n = static_cast<double>(columns);
          ASSERT_NEAR(y[static_cast<size_t>(m * kRows + r)], expected,
                      gamma_of(n) * magnitude + n * 0x1p-150)
              << test::affine_name(grid) << " columns " << columns;
        }
      }
      // One activation row at a time and another first row give the same bits.
      AffineMatrix from_third = planes.matrix();
      from_third.first_row = 3;
      for (int64_t m = 0; m < kMaxGemvRows; ++m) {
        const std::vector<float> one(x.begin() + m * columns, x.begin() + (m + 1) * columns);
        const std::vector<float> part = run_gemv(table(), from_third, kRows - 3, columns, one, 1);
        const std::vector<float> same(y.begin() + m * kRows + 3, y.begin() + (m + 1) * kRows);
        ASSERT_TRUE(same_bits(part, same)) << test::affine_name(grid) << " columns " << columns;
      }
    }
  }
}

TEST_P(AffineKernels, UnpackTheDecodedWeights) {
  for (const AffineGrid& grid : test::affine_grids()) {
    const test::AffinePlanes planes = random_planes(grid, 40, 300);
    const AffineMatrix w = planes.matrix();
    for (const auto& [begin, k] : {std::pair{0, 300}, {7, 1}, {31, 269}, {299, 1}, {5, 0}}) {
      Guarded panel(k * kPanelRows);
      table().unpack_affine({.weights = nullptr,
                             .row_stride = 0,
                             .row_begin = 2,
                             .n = 37,
                             .column_begin = begin,
                             .k = k,
                             .panel = panel.data(),
                             .affine = &w});
      ASSERT_TRUE(panel.intact());
      for (int64_t r = 0; r < kPanelRows; ++r) {
        std::vector<float> row(300);
        if (r < 37) row = planes.decode_row(2 + r);
        for (int64_t c = 0; c < k; ++c) {
          const float expected = row[static_cast<size_t>(begin + c)];
          ASSERT_EQ(std::bit_cast<uint32_t>(panel[c * kPanelRows + r]),
                    std::bit_cast<uint32_t>(expected))
              << test::affine_name(grid) << " row " << r << " column " << begin + c;
        }
      }
    }
  }
}

TEST_P(AffineKernels, DoNotHideNanInAScale) {
  const AffineGrid grid{.scale = ScaleKind::f16, .offset = OffsetKind::middle};
  test::AffinePlanes planes = random_planes(grid, 9, 64);
  store_number<uint16_t>(0x7e00, planes.scales.data() + 2 * (4 * 2 + 1));
  const std::vector<float> x(64, 1.0f);
  const std::vector<float> y = run_gemv(table(), planes.matrix(), 9, 64, x, 1);
  for (size_t r = 0; r < 9; ++r) EXPECT_EQ(std::isnan(y[r]), r == 4) << r;
}

PHIAL_INSTANTIATE_KERNEL_TEST(AffineKernels);

}  // namespace
}  // namespace phial

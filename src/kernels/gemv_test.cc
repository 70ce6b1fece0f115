// gemv and unpack: every table, every grid.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/test_support.h"
#include "tensor/test_blocks.h"

namespace phial {
namespace {

// An encoded matrix whose rows lie at odd addresses with gaps between them.
struct Matrix {
  Matrix(Grid grid_arg, int64_t rows_arg, int64_t columns_arg, double size, uint64_t seed)
      : grid(grid_arg),
        rows(rows_arg),
        columns(columns_arg),
        stride(row_bytes(grid_arg, columns_arg) + 3),
        bytes(static_cast<size_t>(1 + stride * rows_arg)),
        values(static_cast<size_t>(rows_arg * columns_arg)) {
    Rng rng(seed);
    for (int64_t r = 0; r < rows; ++r) {
      test::fill_row(grid, rng, columns, size, row(r));
      decode(r);
    }
  }
  uint8_t* row(int64_t r) { return bytes.data() + 1 + r * stride; }
  void decode(int64_t r) { decode_row(grid, row(r), columns, values.data() + r * columns); }
  float value(int64_t r, int64_t c) const { return values[static_cast<size_t>(r * columns + c)]; }

  Grid grid;
  int64_t rows, columns, stride;
  std::vector<uint8_t> bytes;
  std::vector<float> values;
};

// Columns that end in every part of a chunk, a batch of chunks and a vector.
std::vector<int64_t> column_counts(Grid grid) {
  switch (grid_info(grid).block_values) {
    case 1:
      return {0, 1, 7, 8, 9, 16, 31, 32, 33, 63, 64, 100, 127, 160, 255, 256, 515};
    case 32:
      return {0, 32, 64, 96, 128, 160, 288, 576};
    default:
      return {0, 256, 512, 768, 1280};
  }
}

// About 300 columns, but no whole number of batches where a grid allows that.
int64_t some_columns(Grid grid) {
  const int32_t block = grid_info(grid).block_values;
  return block == 1 ? 333 : block == 32 ? 352 : 512;
}

struct GemvRun {
  std::vector<float> y;  // [x_rows, rows], guards where nothing is written
  bool intact;
};

GemvRun run_gemv(const KernelTable& table, Matrix& w, const std::vector<float>& x, int64_t x_stride,
                 int32_t x_rows, int64_t begin, int64_t end) {
  Guarded y(x_rows * w.rows);
  table.gemv[static_cast<int>(w.grid)]({.weights = w.row(0),
                                        .row_stride = w.stride,
                                        .columns = w.columns,
                                        .row_begin = begin,
                                        .row_end = end,
                                        .x = x.data(),
                                        .x_stride = x_stride,
                                        .x_rows = x_rows,
                                        .y = y.data(),
                                        .y_stride = w.rows});
  return {y.copy(), y.intact()};
}

class Gemv : public KernelTest {};

TEST_P(Gemv, IsTheProductOfTheDecodedWeights) {
  for (const GridInfo& grid : grid_table()) {
    for (const int64_t columns : column_counts(grid.grid)) {
      // 1e-41 is subnormal in float32, 1e-6 in f16.
      for (const double size : {1.0, 1e-6, 1e-41}) {
        Matrix w(grid.grid, 19, columns, size, 3);
        Rng rng(4);
        const int64_t x_stride = columns + 5;
        const std::vector<float> x = random_row(rng, kMaxGemvRows * x_stride, 2);
        const auto [y, intact] = run_gemv(table(), w, x, x_stride, kMaxGemvRows, 0, w.rows);
        ASSERT_TRUE(intact) << grid.name << " " << columns;
        for (int64_t m = 0; m < kMaxGemvRows; ++m) {
          for (int64_t r = 0; r < w.rows; ++r) {
            double expected = 0;
            double magnitude = 0;
            for (int64_t c = 0; c < columns; ++c) {
              const double product =
                  static_cast<double>(w.value(r, c)) * x[static_cast<size_t>(m * x_stride + c)];
              expected += product;
              magnitude += std::fabs(product);
            }
            // One rounding per column at most, whatever the order; subnormal results round to
            // multiples of 2^-149 instead.
            const double columns_real = static_cast<double>(columns);
            const double bound = gamma_of(columns_real) * magnitude + columns_real * 0x1p-150;
            ASSERT_NEAR(y[static_cast<size_t>(m * w.rows + r)], expected, bound)
                << grid.name << " columns " << columns << " size " << size << " row " << r;
          }
        }
      }
    }
  }
}

TEST_P(Gemv, ARowsResultDependsOnNothingElse) {
  for (const GridInfo& grid : grid_table()) {
    const int64_t columns = some_columns(grid.grid);
    Matrix w(grid.grid, 21, columns, 1, 5);
    Rng rng(6);
    const std::vector<float> x = random_row(rng, kMaxGemvRows * columns);
    const GemvRun all = run_gemv(table(), w, x, columns, kMaxGemvRows, 0, w.rows);
    for (int32_t first = 0; first < kMaxGemvRows; ++first) {
      for (int32_t x_rows = 1; x_rows <= kMaxGemvRows - first; ++x_rows) {
        const std::vector<float> part(x.begin() + first * columns, x.end());
        // Ranges that start and end anywhere in a tile of rows.
        for (const auto& [begin, end] : {std::pair{0, 21}, {3, 20}, {5, 6}, {20, 21}, {9, 9}}) {
          const GemvRun run = run_gemv(table(), w, part, columns, x_rows, begin, end);
          ASSERT_TRUE(run.intact);
          for (int32_t m = 0; m < x_rows; ++m) {
            for (int64_t r = 0; r < w.rows; ++r) {
              const float got = run.y[static_cast<size_t>(m * w.rows + r)];
              if (r < begin || r >= end) {
                ASSERT_TRUE(Guarded::is_guard(got)) << grid.name << " wrote row " << r;
              } else {
                const float expected = all.y[static_cast<size_t>((first + m) * w.rows + r)];
                ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(expected))
                    << grid.name << " x_rows " << x_rows << " rows " << begin << ".." << end;
              }
            }
          }
        }
      }
    }
  }
}

TEST_P(Gemv, DoesNotHideNan) {
  for (const GridInfo& grid : grid_table()) {
    const int64_t columns = some_columns(grid.grid);
    Matrix w(grid.grid, 9, columns, 1, 7);
    std::vector<float> x(static_cast<size_t>(columns), 1.0f);
    x.back() = std::numeric_limits<float>::quiet_NaN();
    for (const float y : run_gemv(table(), w, x, columns, 1, 0, w.rows).y) {
      EXPECT_TRUE(std::isnan(y)) << grid.name << ": NaN in x";
    }
    if (grid.is_integer) continue;
    x.back() = 1.0f;
    // The last number of the row, or the scale of its last block.
    uint8_t* last = w.row(4) + row_bytes(grid.grid, columns) - grid.block_bytes;
    if (grid.block_values == 1) {
      std::memset(last, 0xff, static_cast<size_t>(grid.block_bytes));
    } else {
      test::set_scales(grid.grid, 0x7e00, last);
    }
    const GemvRun run = run_gemv(table(), w, x, columns, 1, 0, w.rows);
    for (int64_t r = 0; r < w.rows; ++r) {
      EXPECT_EQ(std::isnan(run.y[static_cast<size_t>(r)]), r == 4) << grid.name << " row " << r;
    }
  }
}

PHIAL_INSTANTIATE_KERNEL_TEST(Gemv);

class Unpack : public KernelTest {
 protected:
  // Unpacks and compares with decode_row, bit by bit.
  void check(Matrix& w, int64_t row_begin, int32_t n, int64_t column_begin, int64_t k) {
    Guarded panel(k * kPanelRows);
    table().unpack[static_cast<int>(w.grid)]({.weights = w.row(0),
                                              .row_stride = w.stride,
                                              .row_begin = row_begin,
                                              .n = n,
                                              .column_begin = column_begin,
                                              .k = k,
                                              .panel = panel.data()});
    ASSERT_TRUE(panel.intact());
    for (int64_t c = 0; c < k; ++c) {
      for (int64_t r = 0; r < kPanelRows; ++r) {
        const float expected = r < n ? w.value(row_begin + r, column_begin + c) : 0.0f;
        ASSERT_EQ(std::bit_cast<uint32_t>(panel[c * kPanelRows + r]),
                  std::bit_cast<uint32_t>(expected))
            << grid_info(w.grid).name << " n " << n << " row " << r << " column " << c;
      }
    }
  }
};

TEST_P(Unpack, IsDecodeRowTransposed) {
  for (const GridInfo& grid : grid_table()) {
    const int64_t step = grid.block_values;
    for (const int64_t columns : column_counts(grid.grid)) {
      Matrix w(grid.grid, kPanelRows + 2, columns, 1, 8);
      for (const int32_t n : {1, 2, 15, 16, 17, 63, 64}) check(w, 2, n, 0, columns);
      if (columns > 2 * step) {
        check(w, 0, kPanelRows, step, columns - step);
        check(w, 1, 33, step, columns - 2 * step);
        check(w, 0, kPanelRows, columns - step, step);
      }
    }
  }
}

// All numbers of up to 16 bits; random codes of blocks under zero, subnormal, negative, infinite
// and NaN scales.
TEST_P(Unpack, DecodesEveryPattern) {
  constexpr uint16_t kScales[] = {0x0000, 0x0001, 0x83ff, 0x3c00, 0xbc01, 0x7bff, 0x7c00, 0x7e01};
  Rng rng(10);
  for (const GridInfo& grid : grid_table()) {
    Matrix w(grid.grid, kPanelRows, 1024, 1, 9);
    for (int64_t r = 0; r < w.rows; ++r) {
      for (int64_t i = 0; i < 1024 / grid.block_values; ++i) {
        uint8_t* block = w.row(r) + i * grid.block_bytes;
        const auto pattern = static_cast<uint16_t>(r * 1024 + i);
        if (grid.block_values == 1) {
          if (grid.block_bytes == 2) store_number(pattern, block);
          if (grid.block_bytes == 1) *block = static_cast<uint8_t>(pattern);
        } else {
          for (int j = 0; j < grid.block_bytes; ++j) block[j] = static_cast<uint8_t>(rng.next());
          test::set_scales(grid.grid, kScales[(r + i) % 8], block);
        }
      }
      w.decode(r);
    }
    if (grid.block_values == 1) {
      check(w, 0, kPanelRows, 0, 1024);
      continue;
    }
    // A sum or product of two NaN has the payload of either: compare those without bits.
    Guarded panel(1024 * kPanelRows);
    table().unpack[static_cast<int>(grid.grid)](
        {w.row(0), w.stride, 0, kPanelRows, 0, 1024, panel.data()});
    for (int64_t c = 0; c < 1024; ++c) {
      for (int64_t r = 0; r < kPanelRows; ++r) {
        const float got = panel[c * kPanelRows + r];
        const float expected = w.value(r, c);
        const bool same = std::bit_cast<uint32_t>(got) == std::bit_cast<uint32_t>(expected);
        ASSERT_TRUE(same || (std::isnan(got) && std::isnan(expected)))
            << grid.name << " row " << r << " column " << c << ": " << got << ", " << expected;
      }
    }
  }
}

PHIAL_INSTANTIATE_KERNEL_TEST(Unpack);

}  // namespace
}  // namespace phial

// The reference of the packed kernels against what numbers say: how far roundings may take it.

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/packed_tables.h"
#include "kernels/test_packed.h"

namespace phial {
namespace {

// What codes mean: each is off by at most half a step, but for the rounding of x * (127 / top),
// three times 2^-24 of a q of at most 254 * 127; wide ones have steps of most / 254 / 127.
TEST(PackedReference, CodesAreNearTheirInputs) {
  Rng rng(8);
  const int64_t columns = 300;
  const std::vector<float> x = input_rows(rng, 7, columns);
  for (const InputCodes codes : {InputCodes::as_needed, InputCodes::wide}) {
    const Inputs in(kReferencePacked, x, 7, columns, {.rows = 7}, codes);
    for (int64_t slab = 0; slab < 2; ++slab) {
      const SlabTile tile = slab_tile(in.quantized, slab, 0);
      const int64_t there = std::min<int64_t>(kSlabColumns, columns - slab * kSlabColumns);
      for (int64_t m = 0; m < 7; ++m) {
        const float* row = x.data() + m * columns + slab * kSlabColumns;
        float most = 0;
        for (int64_t c = 0; c < there; ++c) most = std::max(most, std::fabs(row[c]));
        const double scale = tile.scales[m];
        EXPECT_LE(scale, most / 127);
        if (codes == InputCodes::wide) {
          EXPECT_LE(scale, most / 127 / 254 * (1 + 0x1p-22));
        }
        for (int64_t c = 0; c < there; ++c) {
          const int64_t at = c / 4 * 4 * 7 + 4 * m + c % 4;
          const bool high = (tile.high_rows[c / kChunkColumns] >> m & 1) != 0;
          const int64_t chunks = quantized_columns(in.quantized, slab) / kChunkColumns;
          const HighChunk& chunk = tile.high[m * chunks + c / kChunkColumns];
          const int q = tile.codes[at] + (high ? kHighStep * chunk.codes[c % kChunkColumns] : 0);
          EXPECT_NEAR(scale * q, row[c], scale * (0.5 + 254 * 127 * 3 * 0x1p-24));
        }
      }
    }
  }
}

// What int8 costs against the exact product: each rounding of an input is at most half a step of
// amax / 127, of wide codes amax / 127 / 254, so a result is off by at most the sum of |w| times
// those steps; and by the float32 roundings of scales, parts and sums.
TEST(PackedReference, IsNearTheExactProduct) {
  Rng rng(7);
  const int64_t columns = 576;
  for (const Grid grid : {Grid::q4_0, Grid::q4_1, Grid::q8_0, Grid::q5_1, Grid::mxfp4}) {
    const Weights w = block_weights(grid, 64, columns, rng);
    const std::vector<float> x = random_row(rng, columns);
    for (const InputCodes codes : {InputCodes::as_needed, InputCodes::wide}) {
      const double step = 1.0 / 127 / (codes == InputCodes::wide ? 254 : 1);  // amax <= 1
      const Inputs in(kReferencePacked, x, 1, columns, {.rows = 8}, codes);
      const std::vector<float> y =
          product(kReferencePacked, Product::direct, w.matrix, in.quantized);
      std::vector<float> row(static_cast<size_t>(columns));
      double widest = 0;
      for (int64_t r = 0; r < 64; ++r) {
        decode_packed_row(w.matrix, r, row.data());
        double exact = 0, size = 0;
        for (size_t c = 0; c < row.size(); ++c) {
          exact += static_cast<double>(row[c]) * x[c];
          size += std::fabs(row[c]);
        }
        const double error = std::fabs(y[static_cast<size_t>(r)] - exact);
        EXPECT_LE(error, size * (step / 2 + gamma_of(200))) << grid_info(grid).name;
        widest = std::max(widest, error / size);
      }
      // The bound says something: codes of one plane are farther off than those of two may be.
      if (codes == InputCodes::as_needed) {
        EXPECT_GT(widest, 1.0 / 127 / 254 / 2 + gamma_of(200));
      }
    }
  }
}

// Rounding scales and what the middle codes stand for to integers takes each of them at most half a
// unit away, of which there are 4095 to the largest scale (or the eighth of what a middle code
// stands for); and that shows.
TEST(PackedReference, IntegerScalesAreNearTheirOwn) {
  Rng rng(11);
  const int64_t columns = 512;
  for (const Grid grid : {Grid::q4_0, Grid::q4_1, Grid::q4_k}) {
    const Weights w = block_weights(grid, 64, columns, rng);
    ASSERT_TRUE(has_int_scales(w.layout));
    const std::vector<float> x = random_row(rng, columns);
    const Inputs in(kReferencePacked, x, 1, columns, {.rows = 8});
    const std::vector<float> own = product(kReferencePacked, Product::gemm, w.matrix, in.quantized);
    const std::vector<float> y =
        product(kReferencePacked, Product::int_scales, w.matrix, in.quantized);
    double size = 0;
    for (const float value : x) size += std::fabs(value);
    double widest = 0;
    for (int r = 0; r < 64; ++r) {
      double bound = 0;
      for (int64_t c = 0; c < columns; ++c) {
        const PackedGroup group = packed_group(w.layout, w.matrix.panel(0), r, c);
        const float middle = static_cast<float>(8 - w.layout.zero);
        bound = std::max(bound, std::fabs(1.0 * group.scale));
        bound = std::max(bound, std::fabs(packed_number(w.layout, group, middle)) / 8.0);
      }
      // Codes are at most 8 from the middle one.
      const double unit = bound / 4095;
      const double error = std::fabs(y[static_cast<size_t>(r)] - own[static_cast<size_t>(r)]);
      EXPECT_LE(error, size * (unit * (8 + 1) / 2 + 8 * bound * gamma_of(200)))
          << grid_info(grid).name;
      widest = std::max(widest, error / unit / size);
    }
    EXPECT_GT(widest, 0.01) << grid_info(grid).name;
  }
}

}  // namespace
}  // namespace phial

// The packed kernels of every instruction set give the bits of the reference.

#include "kernels/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/packed_tables.h"
#include "kernels/test_packed.h"

namespace phial {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Whether `a` begins `b`; any NaN is another one.
bool same_numbers(const std::vector<float>& a, const std::vector<float>& b) {
  const auto same = [](float x, float y) {
    return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y) ||
           (std::isnan(x) && std::isnan(y));
  };
  return a.size() <= b.size() && std::equal(a.begin(), a.end(), b.begin(), same);
}

// Rows of float32, each between numbers that do not count.
std::vector<float> float_product(const PackedKernels& kernels, const PackedMatrix& weights,
                                 const std::vector<float>& x, int32_t rows) {
  const int64_t columns = weights.columns(), stride = columns + 3;
  Guarded in(rows * stride, std::numeric_limits<float>::quiet_NaN()), y(rows * weights.rows);
  for (int32_t m = 0; m < rows; ++m) {
    std::copy_n(x.data() + m * columns, columns, in.data() + m * stride);
  }
  PackedFloatArgs args;
  args.weights = &weights;
  args.x = in.data();
  args.x_stride = stride;
  args.rows = rows;
  args.y = y.data();
  args.y_stride = weights.rows;
  args.panel_end = weights.panels() / 2;
  kernels.direct_floats(args);
  args.panel_begin = args.panel_end;
  args.panel_end = weights.panels();
  args.y_row = args.panel_begin * kPackedRows;
  args.y += args.y_row;
  kernels.direct_floats(args);
  EXPECT_TRUE(y.intact());
  return y.copy();
}

// Parts of slabs that differ; high codes count where there are any.
int64_t differing_parts(const QuantizedRows& a, const QuantizedRows& b) {
  int64_t differing = 0;
  const auto compare = [&differing](const void* p, const void* q, int64_t bytes) {
    differing += std::memcmp(p, q, static_cast<size_t>(bytes)) != 0 ? 1 : 0;
  };
  for (int64_t slab = 0; slab * kSlabColumns < a.columns; ++slab) {
    for (int32_t t = 0; t < tile_count(a); ++t) {
      const SlabTile x = slab_tile(a, slab, t), y = slab_tile(b, slab, t);
      const int32_t rows = tile_begin(a, t + 1) - tile_begin(a, t);
      compare(x.scales, y.scales, rows * 4);
      compare(x.high_rows, y.high_rows, kSlabChunks);
      const int64_t chunks = quantized_columns(a, slab) / kChunkColumns;
      const int64_t placed = placed_columns(a, slab);
      compare(x.codes, y.codes, placed * rows);
      compare(x.sums, y.sums, placed / 16 * rows * 4);
      compare(x.chunk_sums, y.chunk_sums, placed / kChunkColumns * rows * 4);
      for (int64_t c = 0; c < chunks; ++c) {
        for (int32_t m = 0; m < rows; ++m) {
          if ((x.high_rows[c] >> m & 1) == 0) continue;
          const HighChunk &p = x.high[m * chunks + c], &q = y.high[m * chunks + c];
          compare(p.codes, q.codes, sizeof(p.codes));
          compare(p.sums, q.sums, sizeof(p.sums));
          compare(&p.chunk_sum, &q.chunk_sum, sizeof(p.chunk_sum));
          compare(&p.steps, &q.steps, sizeof(p.steps));
          compare(&p.scale, &q.scale, sizeof(p.scale));
        }
      }
    }
  }
  return differing;
}

class PackedTest : public testing::TestWithParam<const PackedKernels*> {
 protected:
  void SetUp() override {
    if (!is_supported(*GetParam())) {
      GTEST_SKIP() << "not executed: no " << GetParam()->isa << " here";
    }
  }
  const PackedKernels& kernels() const { return *GetParam(); }

  void expect_product(Product kind, const Weights& w, int32_t rows, const std::string& name) {
    Rng rng(11);
    const int64_t columns = w.layout.columns;
    const std::vector<float> x = input_rows(rng, rows, columns);
    const auto tile_of = [kind](const PackedKernels& k) {
      return kind == Product::direct ? k.direct_tile : k.gemm_tile;
    };
    for (const InputCodes codes : {InputCodes::as_needed, InputCodes::wide}) {
      const Inputs a(kReferencePacked, x, rows, columns, tile_of(kReferencePacked), codes);
      const Inputs b(kernels(), x, rows, columns, tile_of(kernels()), codes);
      EXPECT_TRUE(same_bits(product(kReferencePacked, kind, w.matrix, a.quantized),
                            product(kernels(), kind, w.matrix, b.quantized)))
          << name << ", rows " << rows << ", " << name_of(kind)
          << (codes == InputCodes::wide ? ", wide" : "");
    }
  }
  // What there is for many rows of inputs.
  std::vector<Product> products_of_many(const Weights& w) const {
    if (kernels().int_scales == nullptr || !has_int_scales(w.layout)) return {Product::gemm};
    return {Product::gemm, Product::int_scales};
  }
  // What each product that there is makes of `rows` rows of inputs.
  std::vector<std::vector<float>> all_products(const Weights& w, const std::vector<float>& x,
                                               int32_t rows) const {
    const int64_t columns = w.layout.columns;
    const Inputs in(kernels(), x, rows, columns, kernels().direct_tile);
    const Inputs wide(kernels(), x, rows, columns, kernels().gemm_tile, InputCodes::wide);
    std::vector<std::vector<float>> results = {
        product(kernels(), Product::direct, w.matrix, in.quantized)};
    for (const Product kind : products_of_many(w)) {
      results.push_back(product(kernels(), kind, w.matrix, wide.quantized));
    }
    return results;
  }
  void expect_unpack(const Weights& w, const std::string& name) {
    const int64_t columns = w.layout.columns;
    for (const int64_t begin : {int64_t{0}, columns > 96 ? int64_t{64} : 0}) {
      Guarded panel((columns - begin) * kPackedRows);
      kernels().unpack({&w.matrix, w.matrix.panels() - 1, begin, columns - begin, panel.data()});
      std::vector<float> row(static_cast<size_t>(columns));
      const int64_t first = (w.matrix.panels() - 1) * kPackedRows;
      for (int64_t r = first; r < w.matrix.rows; ++r) {
        decode_packed_row(w.matrix, r, row.data());
        for (int64_t c = begin; c < columns; ++c) {
          ASSERT_EQ(std::bit_cast<uint32_t>(panel[(c - begin) * kPackedRows + r - first]),
                    std::bit_cast<uint32_t>(row[static_cast<size_t>(c)]))
              << name << " row " << r << " column " << c;
        }
      }
      EXPECT_TRUE(panel.intact()) << name;
    }
  }
  // The reference; and what the matrix kernel makes of unpacked panels, which many rows take.
  void expect_floats(const Weights& w, const std::string& name) {
    Rng rng(12);
    const int64_t columns = w.layout.columns;
    const std::vector<float> x = random_row(rng, kMaxGemvRows * columns);
    const std::vector<float> want = float_product(kReferencePacked, w.matrix, x, kMaxGemvRows);
    for (int32_t rows = 1; rows <= kMaxGemvRows; ++rows) {
      EXPECT_TRUE(same_numbers(float_product(kernels(), w.matrix, x, rows), want))
          << name << ", rows " << rows << " in float32";
    }
    const int64_t panel = w.matrix.panels() - 1, first = panel * kPackedRows;
    std::vector<float> weights(static_cast<size_t>(columns * kPackedRows));
    kReferencePacked.unpack({&w.matrix, panel, 0, columns, weights.data()});
    std::vector<float> y(static_cast<size_t>(kMaxGemvRows * kPackedRows));
    kReferenceKernels.gemm(kMaxGemvRows, kPackedRows, columns, x.data(), columns, weights.data(),
                           kPackedRows, y.data(), kPackedRows, false);
    for (int64_t m = 0; m < kMaxGemvRows; ++m) {
      const auto got = want.begin() + m * w.matrix.rows;
      EXPECT_TRUE(same_numbers({got + first, got + w.matrix.rows},
                               {y.begin() + m * kPackedRows, y.begin() + (m + 1) * kPackedRows}))
          << name << ", row " << m << " of unpacked panels";
    }
  }
  void expect_all(const Weights& w, const std::string& name, const std::vector<int32_t>& direct,
                  const std::vector<int32_t>& gemm) {
    expect_unpack(w, name);
    expect_floats(w, name);
    if (!w.layout.is_integer()) return;
    for (const int32_t rows : direct) expect_product(Product::direct, w, rows, name);
    for (const Product kind : products_of_many(w)) {
      for (const int32_t rows : gemm) expect_product(kind, w, rows, name);
    }
  }
};

TEST_P(PackedTest, EveryGridIsTheReference) {
  Rng rng(1);
  for (const GridInfo& info : grid_table()) {
    for (const int64_t columns : {512, 96, 800}) {
      if (!packed_layout(info.grid, columns)) continue;
      expect_all(block_weights(info.grid, 70, columns, rng), info.name,
                 {1, 2, 3, 4, 5, 6, 7, 8, 13, 15}, {1, 9, 16, 33});
    }
  }
}

TEST_P(PackedTest, EveryAffineGridIsTheReference) {
  Rng rng(2);
  for (AffineGrid grid : test::affine_grids()) {
    // Every grid once, those that files have with every group.
    const bool common = grid.bits == 4 && grid.scale == ScaleKind::f16;
    for (const int32_t group : {64, 16, 32, 128, 256, 1024}) {
      if (!common && group != 64) break;
      grid.group_columns = group;
      const int64_t columns = group == 64 ? 420 : 560;
      if (!packed_layout(grid, columns)) continue;
      expect_all(affine_weights(grid, 20, columns, rng),
                 test::affine_name(grid) + ", group " + std::to_string(group), {1, 6}, {5});
    }
  }
}

// Numbers that are hard to multiply: NaN and infinities, also in scales; what is subnormal or
// becomes so; columns that end inside a step.
TEST_P(PackedTest, FloatsAreTheReferenceWhateverTheNumbers) {
  Rng rng(10);
  for (const ScaleKind scale : {ScaleKind::f32, ScaleKind::f16, ScaleKind::bf16}) {
    for (const OffsetKind offset : {OffsetKind::none, OffsetKind::minimum, OffsetKind::real}) {
      for (const int64_t columns : {1, 31, 34, 289, 1027}) {
        AffineGrid grid;
        grid.bits = 5;
        grid.group_columns = 32;
        grid.scale = scale;
        grid.offset = offset;
        const Weights w = affine_weights(grid, 66, columns, rng);
        uint8_t* scales = w.panels->data() + slab_parts(w.layout, 0).scales;
        for (int i = 0; i < w.layout.scale_bytes; ++i) {
          scales[i] = static_cast<uint8_t>(rng.next());
        }
        std::vector<float> x = random_row(rng, kMaxGemvRows * columns, 3);
        for (size_t i = 0; i < x.size(); i += 5) x[i] = 1e-41f;
        for (size_t i = 3; i < x.size(); i += 7) x[i] = 1e38f;
        x[static_cast<size_t>(2 * columns)] = kInfinity;
        x[static_cast<size_t>(3 * columns)] = std::numeric_limits<float>::quiet_NaN();
        const std::vector<float> want = float_product(kReferencePacked, w.matrix, x, 8);
        for (const int32_t rows : {1, 3, 8}) {
          EXPECT_TRUE(same_numbers(float_product(kernels(), w.matrix, x, rows), want))
              << test::affine_name(grid) << ", " << columns << " columns, rows " << rows;
        }
      }
    }
  }
}

// The rows of inputs of one call do not see each other, nor how panels are divided; and a prompt's
// rows are those of single tokens.
TEST_P(PackedTest, ARowDoesNotDependOnTheOthers) {
  Rng rng(3);
  const Weights w = block_weights(Grid::q4_k, 200, 512, rng);
  const std::vector<float> x = input_rows(rng, 40, 512);
  const Inputs all(kernels(), x, 40, 512, kernels().gemm_tile);
  const std::vector<float> want = product(kernels(), Product::gemm, w.matrix, all.quantized);
  for (int32_t rows = 1; rows <= 40; ++rows) {
    const bool few = rows < kMinPackedGemmRows;
    const Inputs some(kernels(), x, rows, 512, few ? kernels().direct_tile : kernels().gemm_tile);
    const std::vector<float> got =
        product(kernels(), few ? Product::direct : Product::gemm, w.matrix, some.quantized);
    EXPECT_TRUE(same_bits(got, {want.begin(), want.begin() + static_cast<int64_t>(got.size())}))
        << rows;
  }
  if (kernels().int_scales == nullptr) return;
  const std::vector<float> rounded =
      product(kernels(), Product::int_scales, w.matrix, all.quantized);
  for (const int32_t rows : {1, 5, 17, 39}) {
    const Inputs some(kernels(), x, rows, 512, kernels().gemm_tile);
    const std::vector<float> got =
        product(kernels(), Product::int_scales, w.matrix, some.quantized);
    EXPECT_TRUE(
        same_bits(got, {rounded.begin(), rounded.begin() + static_cast<int64_t>(got.size())}))
        << rows << " with integer scales";
  }
}

// Inputs that are hard to round.
std::vector<float> awkward_rows(Rng& rng, int32_t rows, int64_t columns) {
  std::vector<float> x = input_rows(rng, rows, columns);
  // Halves between two codes, zeros, subnormals, large values.
  for (size_t i = 0; i < x.size(); i += 7) x[i] = static_cast<float>(rng.next() % 256) / 2;
  if (columns >= 64) {
    std::fill_n(x.begin(), 32, 0.0f);
    std::fill_n(x.begin() + 32, 32, 1e-41f);
    x.back() = 3e38f;
  }
  return x;
}

TEST_P(PackedTest, QuantizedRowsAreTheReference) {
  Rng rng(4);
  for (const int64_t columns : {1, 31, 33, 256, 300, 576, 1504}) {
    for (const int32_t rows : {1, 5, 7, 40}) {
      const std::vector<float> x = awkward_rows(rng, rows, columns);
      for (const InputCodes codes : {InputCodes::as_needed, InputCodes::wide}) {
        for (const bool paired : {false, true}) {
          const TileForm form{.rows = 6, .paired = paired};
          const Inputs a(kReferencePacked, x, rows, columns, form, codes);
          const Inputs b(kernels(), x, rows, columns, form, codes);
          ASSERT_TRUE(a.memory->intact() && b.memory->intact());
          EXPECT_EQ(differing_parts(a.quantized, b.quantized), 0) << columns << " " << rows;
        }
      }
    }
  }
}

// What is not finite is seen in all results of its row, and in no other.
TEST_P(PackedTest, NonFiniteInputsStayInTheirRow) {
  Rng rng(5);
  const Weights w = block_weights(Grid::q4_0, 64, 320, rng);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x = random_row(rng, 4 * 320);
    x[320 + 77] = bad;
    for (const std::vector<float>& y : all_products(w, x, 4)) {
      for (size_t i = 0; i < y.size(); ++i) {
        EXPECT_EQ(std::isnan(y[i]), i / 64 == 1) << bad << " at " << i;
      }
    }
  }
}

// The farthest that codes, minimums and inputs are from zero, all of one sign: no sum of integers
// leaves its range.
TEST_P(PackedTest, ExtremesStayInRange) {
  for (const uint8_t code : {uint8_t{0x00}, uint8_t{0xff}}) {
    const uint8_t minimum = code == 0 ? uint8_t{0xcc} : uint8_t{0};  // -16 and 0; the scale is 1
    std::vector<uint8_t> block(20, code);
    block[0] = 0, block[1] = 0x3c, block[2] = 0, block[3] = minimum;
    std::vector<uint8_t> bytes;
    for (int i = 0; i < 64 * 512 / 32; ++i) bytes.insert(bytes.end(), block.begin(), block.end());
    MatrixView view;
    view.grid = Grid::q4_1;
    view.rows = 64;
    view.columns = 512;
    view.row_stride = row_bytes(Grid::q4_1, 512);
    view.data = bytes.data();
    const Weights w(view);
    for (const float x : {1.0f, -1.0f}) {
      const double exact = 512.0 * x * (code == 0 ? -16 : 15);
      for (const Product kind : products_of_many(w)) {
        const Inputs in(kernels(), std::vector<float>(512 * 16, x), 16, 512, kernels().gemm_tile);
        for (const float value : product(kernels(), kind, w.matrix, in.quantized)) {
          EXPECT_NEAR(value, exact, std::fabs(exact) * 1e-3) << name_of(kind);
        }
      }
    }
  }
}

// What is not finite in the scales of weights is seen in its weight row, and in no other.
TEST_P(PackedTest, NonFiniteScalesStayInTheirRow) {
  Rng rng(6);
  for (const Grid grid : {Grid::q4_0, Grid::q4_1, Grid::iq4_nl, Grid::mxfp4, Grid::q8_0}) {
    Weights w = block_weights(grid, 64, 320, rng);
    const SlabParts parts = slab_parts(w.layout, 0);
    uint8_t* scale = w.panels->data() + parts.scales + 17 * (w.layout.scale_bytes / 64);
    if (grid == Grid::mxfp4) {
      *scale = 255;
    } else {
      store_number<uint16_t>(0x7c00, scale);
    }
    const std::vector<float> x = random_row(rng, 2 * 320);
    for (const std::vector<float>& y : all_products(w, x, 2)) {
      for (size_t i = 0; i < y.size(); ++i) {
        EXPECT_EQ(!std::isfinite(y[i]), i % 64 == 17) << grid_info(grid).name << " at " << i;
      }
    }
  }
}

// Weight row 17 of the first group has the scale `bits`, of any of the kinds of PackedScales.
void set_scale(const Weights& w, uint32_t bits) {
  const int bytes = w.layout.scale_bytes > 0 ? w.layout.scale_bytes / kPackedRows : 2;
  uint8_t* at = w.panels->data() + slab_parts(w.layout, 0).scales + 17 * bytes;
  for (int i = 0; i < bytes; ++i) at[i] = static_cast<uint8_t>(bits >> 8 * i);
}

// High codes count 254 times their scale. Where that is not finite, rows of a tile that have none
// must not meet those of others.
TEST_P(PackedTest, ScalesThatOverflowForHighCodesStayWithTheirInputs) {
  Rng rng(9);
  AffineGrid floats;
  floats.bits = 4;
  floats.group_columns = 64;
  floats.scale = ScaleKind::f32;
  floats.offset = OffsetKind::minimum;
  const struct {
    Weights weights;
    uint32_t bits;
  } cases[] = {{affine_weights(floats, 70, 320, rng), std::bit_cast<uint32_t>(3e36f)},
               {affine_weights(floats, 70, 320, rng), std::bit_cast<uint32_t>(-kInfinity)},
               {block_weights(Grid::mxfp4, 70, 320, rng), 254},
               {block_weights(Grid::q4_0, 70, 320, rng), 0x7c00},
               {block_weights(Grid::q6_k, 70, 512, rng), 0x7c00},
               {block_weights(Grid::q4_k, 70, 512, rng), 0xfc00}};
  for (const auto& [w, bits] : cases) {
    set_scale(w, bits);
    const int64_t columns = w.layout.columns;
    constexpr int32_t kRows = 33;
    // Rows 1, 4, 7 ... are the ones with large values; small inputs keep their products finite.
    std::vector<float> x = random_row(rng, kRows * columns, 1e-3);
    for (int32_t m = 1; m < kRows; m += 3) x[static_cast<size_t>(m * columns + 3)] = 5;
    const Inputs reference(kReferencePacked, x, kRows, columns, kReferencePacked.gemm_tile);
    const std::vector<float> want =
        product(kReferencePacked, Product::gemm, w.matrix, reference.quantized);
    for (const Product kind : {Product::direct, Product::gemm}) {
      const int32_t rows = kind == Product::direct ? 13 : kRows;
      const Inputs all(kernels(), x, rows, columns,
                       kind == Product::direct ? kernels().direct_tile : kernels().gemm_tile);
      const std::vector<float> got = product(kernels(), kind, w.matrix, all.quantized);
      EXPECT_TRUE(same_numbers(got, want)) << "bits " << bits << ", rows " << rows;
    }
    if (kernels().int_scales != nullptr && has_int_scales(w.layout)) {
      const Inputs all(kernels(), x, kRows, columns, kernels().gemm_tile);
      EXPECT_TRUE(same_numbers(
          product(kernels(), Product::int_scales, w.matrix, all.quantized),
          product(kReferencePacked, Product::int_scales, w.matrix, reference.quantized)))
          << "bits " << bits << ", integer scales";
    }
    for (int32_t m = 0; m < 4; ++m) {
      const std::vector<float> row(x.begin() + m * columns, x.begin() + (m + 1) * columns);
      const Inputs alone(kernels(), row, 1, columns, kernels().direct_tile);
      EXPECT_TRUE(same_numbers(product(kernels(), Product::direct, w.matrix, alone.quantized),
                               {want.begin() + m * 70, want.end()}))
          << "bits " << bits << ", row " << m;
    }
  }
}

// Of builds that have the reference only.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PackedTest);
// The reference is first; to be compared with itself it needs no test.
INSTANTIATE_TEST_SUITE_P(Tables, PackedTest, testing::ValuesIn(packed_tables().subspan(1)),
                         [](const auto& param) { return std::string(param.param->isa); });

}  // namespace
}  // namespace phial

// --compute int8: every family's blocks against the same weights in float32, rows that do not
// depend on their company, what is counted and what saved sequences are told apart by.
#include <gtest/gtest.h>

#include "engine/cpu/packed_weights.h"
#include "engine/fingerprint.h"
#include "engine/memory_need.h"
#include "engine/numerics_test_support.h"
#include "kernels/packed.h"

namespace phial {
namespace {

// A slab of 256 normal values has its largest at 2.8 standard deviations, so rounding it to
// multiples of 1/127 of that is off by 2.8 / 127 / sqrt(12) = 0.6 % of them. Two layers of four
// such inputs, one behind the other, add up to about 2 %. A bias, a scale or a row in the wrong
// place is off by tens.
constexpr double kFarthest = 0.07;

class Int8Families : public testing::TestWithParam<std::string> {
 protected:
  Int8Families()
      : model_(in_blocks(*load_family(family_variant(GetParam()), /*from_gguf=*/false))),
        golden_(load_family_golden(family_variant(GetParam()).golden,
                                   static_cast<size_t>(model_->spec.vocabulary))) {}

  void SetUp() override {
    if (packed_weight_bytes(*model_, Compute::int8) == 0) {
      GTEST_SKIP() << "not executed: rows of this variant are no whole blocks";
    }
  }

  std::shared_ptr<const Model> model_;
  FamilyGolden golden_;
};

TEST_P(Int8Families, AreNearFloat32) {
  const auto exact = make_decoder(model_, Compute::fp32);
  const auto int8 = make_decoder(model_, Compute::int8);
  const std::span<const int32_t> ids = std::span(golden_.ids).first(40);
  const std::vector<float> want = logits_of(*exact, ids, ids.size());
  for (const size_t chunk : {size_t{1}, size_t{5}, size_t{40}}) {
    const double distance = relative_distance(logits_of(*int8, ids, chunk), want);
    EXPECT_GT(distance, 0);  // something was rounded
    EXPECT_LT(distance, kFarthest) << "in steps of " << chunk;
  }
}

TEST_P(Int8Families, RowsDoNotDependOnTheirCompany) {
  const auto decoder = make_decoder(model_, Compute::int8);
  const std::span<const int32_t> ids = std::span(golden_.ids).first(31);
  const std::vector<float> one_by_one = logits_of(*decoder, ids, 1);
  for (const size_t chunk : {2, 3, 4, 5, 6, 7, 8}) {
    EXPECT_EQ(logits_of(*decoder, ids, chunk), one_by_one) << "in steps of " << chunk;
  }
  for (const int threads : {1, 3}) {
    const auto other = make_decoder(model_, Compute::int8, threads);
    EXPECT_EQ(logits_of(*other, ids, 8), one_by_one) << threads << " threads";
  }
}

// On both sides of where kernels for many rows take over, also for the last few rows. (Where all
// matrices are in panels: of others, 9 rows and more are summed in another order.)
TEST(Int8, LongChunksHaveTheBitsOfShortOnes) {
  const FamilyVariant variant = family_variant("phi4");
  const auto model = in_blocks(*load_family(variant, /*from_gguf=*/false));
  const FamilyGolden golden =
      load_family_golden(variant.golden, static_cast<size_t>(model->spec.vocabulary));
  const auto decoder = make_decoder(model, Compute::int8);
  const std::span<const int32_t> ids = golden.ids;
  ASSERT_GT(ids.size(), 40u);
  const std::vector<float> one_by_one = logits_of(*decoder, ids, 1);
  for (const size_t chunk : {15, 16, 17, 33, 40}) {
    EXPECT_EQ(logits_of(*decoder, ids, chunk), one_by_one) << "in steps of " << chunk;
  }
}

// A family's blocks with wider mlps, of random blocks.
std::shared_ptr<const Model> with_wide_mlps(const Model& model, int64_t intermediate,
                                            Grid grid = Grid::q8_0) {
  auto owner = std::make_shared<BlockModel>();
  owner->model = model;
  owner->model.spec.intermediate = intermediate;
  Rng rng(5);
  const auto fill = [&](MatrixView& view, int64_t rows, int64_t columns) {
    view = {};
    view.grid = grid;
    view.rows = rows;
    view.columns = columns;
    view.row_stride = row_bytes(grid, columns);
    std::vector<uint8_t>& bytes =
        owner->blocks.emplace_back(static_cast<size_t>(rows * view.row_stride));
    std::vector<float> row(static_cast<size_t>(columns));
    for (int64_t r = 0; r < rows; ++r) {
      for (float& value : row) value = static_cast<float>(0.2 * (2 * rng.uniform() - 1));
      must(encode_row(grid, row.data(), columns, bytes.data() + r * view.row_stride));
    }
    view.data = bytes.data();
  };
  for (LayerWeights& layer : owner->model.weights.layers) {
    fill(layer.gate.weight, intermediate, model.spec.hidden);
    fill(layer.up.weight, intermediate, model.spec.hidden);
    fill(layer.down.weight, model.spec.hidden, intermediate);
  }
  const Model* made = &owner->model;
  return {std::move(owner), made};
}

// Wide mlps leave what the down projection reads slab by slab and in codes only: the same bits as
// by way of floats, which few rows take.
TEST(Int8, MlpsBySlabsHaveTheBitsOfRows) {
  const FamilyVariant variant = family_variant("phi4");
  const auto narrow = in_blocks(*load_family(variant, /*from_gguf=*/false));
  const FamilyGolden golden =
      load_family_golden(variant.golden, static_cast<size_t>(narrow->spec.vocabulary));
  const std::span<const int32_t> ids = std::span(golden.ids).first(40);
  // Eight slabs of 256 columns for each thread, and a last one with a chunk of 32; then one fewer.
  const struct {
    int64_t intermediate;
    int threads;
  } cases[] = {{1824, 1}, {2048, 1}, {3872, 2}, {1792, 2}};
  for (const auto& [intermediate, threads] : cases) {
    const auto model = with_wide_mlps(*narrow, intermediate);
    const auto decoder = make_decoder(model, Compute::int8, threads);
    const std::vector<float> want = logits_of(*decoder, ids, 1);
    for (const size_t chunk : {32, 40}) {
      EXPECT_EQ(logits_of(*decoder, ids, chunk), want)
          << intermediate << " columns, " << threads << " threads, in steps of " << chunk;
    }
  }
}

// Prompts of many rows may meet scales that are multiples of one unit, the 4095th part of the
// largest (kernels/packed.h, int_scales): an order less than what rounding inputs does, with what
// comes of inputs that are then rounded the other way. Where they do not, nothing differs. Rows of
// such passes, too, depend on themselves alone.
TEST(Int8, LongPromptsAreNearShortChunks) {
  const FamilyVariant variant = family_variant("phi4");
  const auto narrow = in_blocks(*load_family(variant, /*from_gguf=*/false));
  const auto model = with_wide_mlps(*narrow, 1824, Grid::q4_0);
  const FamilyGolden golden =
      load_family_golden(variant.golden, static_cast<size_t>(narrow->spec.vocabulary));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < 2 * kMinIntScalesRows; ++i) {
    ids.push_back(golden.ids[i % golden.ids.size()]);
  }
  for (const KernelTable* table : kernel_tables()) {
    if (!is_supported(*table)) continue;
    const auto decoder = [&](int threads) {
      return must(make_native_decoder(must(Runtime::create(threads, table->isa, disk_files())),
                                      model, {.compute = Compute::int8}));
    };
    const auto two = decoder(2);
    const std::vector<float> want = logits_of(*two, ids, kMinIntScalesRows - 1);
    const std::vector<float> got = logits_of(*two, ids, ids.size());
    const double distance = relative_distance(got, want);
    EXPECT_EQ(distance > 0, packed_kernels(*table).int_scales != nullptr) << table->isa;
    EXPECT_LT(distance, kFarthest / 10) << table->isa;
    EXPECT_EQ(logits_of(*two, ids, kMinIntScalesRows), got) << table->isa;
    EXPECT_EQ(logits_of(*decoder(3), ids, ids.size()), got) << table->isa;
  }
}

TEST(Int8, PackedWeightsCountAgainstTheBudget) {
  const auto model = in_blocks(*load_family(family_variant("phi3-4k"), false));
  const int64_t bytes = packed_weight_bytes(*model, Compute::int8);
  EXPECT_GT(bytes, 0);
  EXPECT_EQ(packed_weight_bytes(*model, Compute::fp32), 0);
  const auto short_of = must(Runtime::create(1, "", disk_files(), bytes - 1));
  const auto refused = make_native_decoder(short_of, model, {.compute = Compute::int8});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::over_limit);
  EXPECT_EQ(short_of->memory->left(), bytes - 1);
  EXPECT_TRUE(make_native_decoder(short_of, model).ok());

  const auto enough = must(Runtime::create(1, "", disk_files(), bytes));
  auto decoder = must(make_native_decoder(enough, model, {.compute = Compute::int8}));
  EXPECT_EQ(enough->memory->left(), 0);
  decoder.reset();
  EXPECT_EQ(enough->memory->left(), bytes);
}

TEST(Int8, SavedSequencesAreToldApart) {
  const auto model = in_blocks(*load_family(family_variant("phi3-4k"), false));
  const uint64_t exact = make_decoder(model, Compute::fp32)->fingerprint();
  EXPECT_EQ(exact, model_fingerprint(*model));
  EXPECT_NE(make_decoder(model, Compute::int8)->fingerprint(), exact);
}

INSTANTIATE_TEST_SUITE_P(Variants, Int8Families, testing::ValuesIn(pure_variants()),
                         variant_test_name);

}  // namespace
}  // namespace phial

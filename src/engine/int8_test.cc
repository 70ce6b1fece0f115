// --compute int8: every family's blocks against the same weights in float32, rows that do not
// depend on their company, what is counted and what saved sequences are told apart by.
#include <gtest/gtest.h>

#include "engine/cpu/packed_weights.h"
#include "engine/fingerprint.h"
#include "engine/memory_need.h"
#include "engine/numerics_test_support.h"

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

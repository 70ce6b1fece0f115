// --compute bf16: every family's blocks against the same weights in float32, and what stays as it
// is.
#include <gtest/gtest.h>

#include "engine/cpu/packed_weights.h"
#include "engine/fingerprint.h"
#include "engine/numerics_test_support.h"

namespace phial {
namespace {

bool has_bf16() { return bf16_kernels(*must(select_kernels(""))) != nullptr; }

// Rounding to 8 bits is off by at most 2^-9, 0.11 % in the mean square, of the inputs and of the
// weights: 0.16 % of a product. Two layers of four such inputs, one behind the other, and the
// head's add up to about 0.5 %, more where single values stick out. A column or a row in the wrong
// place is off by tens.
constexpr double kFarthest = 0.02;

class Bf16Families : public testing::TestWithParam<std::string> {
 protected:
  Bf16Families()
      : plain_(load_family(family_variant(GetParam()), /*from_gguf=*/false)),
        golden_(load_family_golden(family_variant(GetParam()).golden,
                                   static_cast<size_t>(plain_->spec.vocabulary))) {}

  std::shared_ptr<const Model> plain_;
  FamilyGolden golden_;
};

TEST_P(Bf16Families, LongPassesAreNearFloat32) {
  const auto model = in_blocks(*plain_);
  const std::span<const int32_t> ids = std::span(golden_.ids).first(40);
  const std::vector<float> want = logits_of(*make_decoder(model, Compute::fp32), ids, ids.size());
  const auto bf16 = make_decoder(model, Compute::bf16);
  for (const size_t chunk : {size_t{9}, size_t{40}}) {
    const std::vector<float> got = logits_of(*bf16, ids, chunk);
    EXPECT_LT(relative_distance(got, want), kFarthest) << "in steps of " << chunk;
    if (!has_bf16()) {
      EXPECT_EQ(got, logits_of(*make_decoder(model, Compute::fp32), ids, chunk));
    }
  }
}

TEST_P(Bf16Families, ShortPassesAreFloat32) {
  const auto model = in_blocks(*plain_);
  const std::span<const int32_t> ids = std::span(golden_.ids).first(24);
  const auto exact = make_decoder(model, Compute::fp32);
  const auto bf16 = make_decoder(model, Compute::bf16);
  for (const size_t chunk : {size_t{1}, size_t{8}}) {
    EXPECT_EQ(logits_of(*bf16, ids, chunk), logits_of(*exact, ids, chunk));
  }
}

// Plain numbers of more than 8 bits lose none.
TEST_P(Bf16Families, WiderNumbersStayFloat32) {
  if (plain_->weights.lm_head.weight.grid == Grid::bf16) GTEST_SKIP() << "a model in bf16";
  const std::span<const int32_t> ids = std::span(golden_.ids).first(40);
  EXPECT_EQ(logits_of(*make_decoder(plain_, Compute::bf16), ids, ids.size()),
            logits_of(*make_decoder(plain_, Compute::fp32), ids, ids.size()));
}

TEST(Bf16, RoundsWhereThereAreInstructions) {
  if (!has_bf16()) GTEST_SKIP() << "not executed: no products of bfloat16 here";
  const auto model = in_blocks(*load_family(family_variant("phi3-4k"), false));
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 40; ++i) ids.push_back(3 + i % 37);
  const std::vector<float> want = logits_of(*make_decoder(model, Compute::fp32), ids, ids.size());
  const std::vector<float> got = logits_of(*make_decoder(model, Compute::bf16), ids, ids.size());
  EXPECT_GT(relative_distance(got, want), 0);
  for (const int threads : {1, 3}) {
    EXPECT_EQ(logits_of(*make_decoder(model, Compute::bf16, threads), ids, ids.size()), got);
  }
}

TEST(Bf16, PacksNothingAndIsToldApart) {
  const auto model = in_blocks(*load_family(family_variant("phi3-4k"), false));
  EXPECT_EQ(packed_weight_bytes(*model, Compute::bf16), 0);
  EXPECT_NE(make_decoder(model, Compute::bf16)->fingerprint(), model_fingerprint(*model));
}

INSTANTIATE_TEST_SUITE_P(Variants, Bf16Families, testing::ValuesIn(pure_variants()),
                         variant_test_name);

}  // namespace
}  // namespace phial

// --compute int8: every family's blocks against the same weights in float32, rows that do not
// depend on their company, what is counted and what saved sequences are told apart by.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/cpu/packed_weights.h"
#include "engine/family_goldens.h"
#include "engine/fingerprint.h"
#include "engine/memory_need.h"

namespace phial {
namespace {

// A model with its matrices in blocks of q8_0, which panels can hold.
struct BlockModel {
  Model model;
  std::vector<std::vector<uint8_t>> blocks;
};

void encode(MatrixView& view, BlockModel& owner) {
  if (view.empty() || view.columns % grid_info(Grid::q8_0).block_values != 0) return;
  const auto stride = static_cast<size_t>(row_bytes(Grid::q8_0, view.columns));
  std::vector<uint8_t>& bytes = owner.blocks.emplace_back(stride * static_cast<size_t>(view.rows));
  std::vector<float> row(static_cast<size_t>(view.columns));
  for (int64_t r = 0; r < view.rows; ++r) {
    view.decode(r, row.data());
    must(encode_row(Grid::q8_0, row.data(), view.columns,
                    bytes.data() + static_cast<size_t>(r) * stride));
  }
  view.grid = Grid::q8_0;
  view.row_stride = static_cast<int64_t>(stride);
  view.data = bytes.data();
}

std::shared_ptr<const Model> in_blocks(const Model& model) {
  auto owner = std::make_shared<BlockModel>();
  owner->model = model;
  Weights& w = owner->model.weights;
  encode(w.embedding, *owner);
  if (model.spec.tied_embeddings) {
    w.lm_head.weight = w.embedding;
  } else {
    encode(w.lm_head.weight, *owner);
  }
  for (LayerWeights& layer : w.layers) {
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.attention_out, &layer.gate,
                           &layer.up, &layer.down}) {
      encode(linear->weight, *owner);
    }
  }
  const Model* made = &owner->model;
  return {std::move(owner), made};
}

std::shared_ptr<Decoder> make_decoder(std::shared_ptr<const Model> model, Compute compute,
                                      int threads = 2) {
  return must(make_native_decoder(must(Runtime::create(threads, "", disk_files())),
                                  std::move(model), {.compute = compute}));
}

// All rows of `ids`, given `chunk` at a time.
std::vector<float> logits_of(Decoder& decoder, std::span<const int32_t> ids, size_t chunk) {
  const SequenceId id = must(decoder.open(decoder.traits().context));
  std::vector<float> all;
  for (size_t at = 0; at < ids.size(); at += chunk) {
    Step step;
    step.sequence = id;
    step.tokens = ids.subspan(at, std::min(chunk, ids.size() - at));
    step.logits = LogitsRows::all;
    Logits logits;
    must(decoder.forward({&step, 1}, logits, nullptr));
    all.insert(all.end(), logits.values.begin(), logits.values.end());
  }
  decoder.close(id);
  return all;
}

// |a - b| / |b - mean b|
double relative_distance(std::span<const float> a, std::span<const float> b) {
  double mean = 0;
  for (const float x : b) mean += static_cast<double>(x) / static_cast<double>(b.size());
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    const double s = static_cast<double>(b[i]) - mean;
    error += d * d;
    size += s * s;
  }
  return std::sqrt(error / size);
}

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

std::vector<std::string> pure_variants() {
  std::vector<std::string> names;
  for (const FamilyVariant& variant : family_variants()) {
    // Dynamic rope depends on how a sequence was cut into forwards.
    if (variant.name.find("dynamic") == std::string::npos) names.push_back(variant.name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Variants, Int8Families, testing::ValuesIn(pure_variants()),
                         [](const testing::TestParamInfo<std::string>& test) {
                           std::string name = test.param;
                           for (char& c : name) {
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace phial

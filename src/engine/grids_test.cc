// A model in each popular GGUF type gives the logits that transformers computes from its
// dequantized weights (tests/golden/make_grid_models.py), on every instruction set: a prompt in one
// pass, through unpacked panels, and token by token, straight from the codes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/golden_models.h"

namespace phial {
namespace {

constexpr int32_t kVocabulary = 32;
constexpr int32_t kIds = 40;
// Of the logit range: the tolerance of all golden models (golden_test.cc).
constexpr double kTolerance = 2e-4;

struct Case {
  std::string file;
  std::string isa;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const char* file : {"q4_0", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl",
                           "iq4_xs", "mxfp4", "iq2_xxs"}) {
    for (const KernelTable* table : kernel_tables()) {
      if (is_supported(*table)) cases.push_back({file, table->isa});
    }
  }
  return cases;
}

class GridModels : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto files = disk_files();
    const std::string path =
        std::string(PHIAL_SOURCE_DIR) + "/tests/golden/grid_models/" + GetParam().file;
    const auto mapped = must(files->map(path + ".logits"));
    expected_.resize(kIds * kVocabulary);
    ASSERT_EQ(mapped->bytes().size(), expected_.size() * sizeof(float));
    std::memcpy(expected_.data(), mapped->bytes().data(), mapped->bytes().size());
    const auto [low, high] = std::ranges::minmax(expected_);
    bound_ = kTolerance * (static_cast<double>(high) - low);
    auto model = must(open_model(
        std::make_shared<const Checkpoint>(must(read_checkpoint(*files, path + ".gguf")))));
    auto decoder =
        must(make_native_decoder(must(Runtime::create(2, GetParam().isa, files)), model));
    sequence_ = must(Sequence::create(std::move(decoder), 0));
    for (int32_t i = 0; i < kIds; ++i) ids_.push_back(i * 7 % kVocabulary);
  }

  // Appends `count` ids and compares their rows.
  void feed(size_t begin, size_t count) {
    must(sequence_->append(std::span(ids_).subspan(begin, count)));
    must(sequence_->compute_logits(LogitsRows::all, nullptr));
    Logits& logits = sequence_->logits();
    ASSERT_EQ(logits.rows(), static_cast<int64_t>(count));
    for (size_t r = 0; r < count; ++r) {
      for (size_t c = 0; c < kVocabulary; ++c) {
        const float want = expected_[(begin + r) * kVocabulary + c];
        ASSERT_NEAR(logits.row(static_cast<int64_t>(r))[c], want, bound_) << begin + r << " " << c;
      }
    }
  }

  std::vector<float> expected_;
  double bound_ = 0;
  std::vector<int32_t> ids_;
  std::unique_ptr<Sequence> sequence_;
};

TEST_P(GridModels, InOnePass) { feed(0, kIds); }

TEST_P(GridModels, TokenByToken) {
  for (size_t i = 0; i < kIds; ++i) feed(i, 1);
}

TEST_P(GridModels, EightAtATime) {
  for (size_t i = 0; i < kIds; i += 8) feed(i, 8);
}

INSTANTIATE_TEST_SUITE_P(All, GridModels, testing::ValuesIn(all_cases()),
                         [](const auto& test) { return test.param.file + "_" + test.param.isa; });

}  // namespace
}  // namespace phial

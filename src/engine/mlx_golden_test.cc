// Folders that mlx-lm quantized (tests/golden/mlx), run as they are: the logits that mlx computes
// in float32, on every instruction set.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/golden_models.h"
#include "engine/native_decoder.h"
#include "engine/sequence.h"

namespace phial {
namespace {

const std::string kFolders = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/mlx/";
// Of the range of the logits: both sum some hundred products in float32, in other orders; the file
// has seven digits.
constexpr double kTolerance = 2e-5;

class MlxGolden : public testing::TestWithParam<const char*> {};

TEST_P(MlxGolden, LogitsAreThoseOfMlx) {
  const auto disk = disk_files();
  const std::string folder = kFolders + GetParam();
  const auto model =
      must(open_model(std::make_shared<const Checkpoint>(must(read_checkpoint(*disk, folder)))));
  const Json golden =
      must(parse_json(must(read_text(*disk, folder + "/golden.json", 1 << 20)), "golden.json"));
  const std::vector<int32_t> ids = ids_of(*golden.find("ids"));
  const Json::Array& rows = *golden.find("logits")->if_array();
  ASSERT_EQ(rows.size(), ids.size());
  for (const KernelTable* table : kernel_tables()) {
    if (!is_supported(*table)) continue;
    const auto runtime = must(Runtime::create(1, table->isa, disk));
    auto sequence = must(Sequence::create(must(make_native_decoder(runtime, model)), 0));
    must(sequence->append(ids));
    must(sequence->compute_logits(LogitsRows::all, nullptr));
    double low = INFINITY, high = -INFINITY, worst = 0;
    for (size_t r = 0; r < rows.size(); ++r) {
      const Json::Array& row = *rows[r].if_array();
      for (size_t c = 0; c < row.size(); ++c) {
        const double want = *row[c].number();
        const double got = sequence->logits().row(static_cast<int64_t>(r))[c];
        low = std::min(low, want);
        high = std::max(high, want);
        worst = std::max(worst, std::fabs(got - want));
      }
    }
    EXPECT_LE(worst, kTolerance * (high - low)) << table->isa;
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, MlxGolden,
                         testing::Values("llama-4bit-g32", "qwen3-mixed", "phi3-mxfp4",
                                         "gemma2-3bit", "phi-5bit"));

}  // namespace
}  // namespace phial

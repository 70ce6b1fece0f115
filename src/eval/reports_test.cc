#include "eval/reports.h"

#include <gtest/gtest.h>

#include "sys/files.h"

namespace phial {
namespace {

Json info_of(const std::string& folder) {
  const std::string path = std::string(PHIAL_SOURCE_DIR) + "/tests/golden/mlx/" + folder;
  const auto checkpoint = read_checkpoint(*disk_files(), path);
  EXPECT_TRUE(checkpoint.ok());
  return checkpoint.ok() ? model_info(*checkpoint, false) : Json();
}

// Planes count as the matrix that they are: 40 x 64 of the embedding and of the head, 128 x 64 of
// gate, up and down, 64 x 64 of q and the output, 32 x 64 of k and v, and three norms.
TEST(ModelInfo, CountsTheWeightsOfMlxMatrices) {
  const Json info = info_of("llama-4bit-g32");
  EXPECT_EQ(*info.find("format"), Json("mlx"));
  EXPECT_EQ(*info.find("quantization"), Json("4-bit g32"));
  EXPECT_EQ(*info.find("parameters"), Json(2 * 2560 + 3 * 8192 + 2 * 4096 + 2 * 2048 + 3 * 64));
  const Json::Array& grids = *info.find("grids")->if_array();
  ASSERT_EQ(grids.size(), 2u);
  EXPECT_EQ(*grids[0].find("name"), Json("f16"));
  EXPECT_EQ(*grids[0].find("parameters"), Json(3 * 64));
  EXPECT_EQ(*grids[1].find("name"), Json("4-bit g32"));
  EXPECT_EQ(*grids[1].find("tensors"), Json(9 * 3));
}

TEST(ModelInfo, NamesWhatMostOfAMixIs) {
  EXPECT_EQ(*info_of("qwen3-mixed").find("quantization"), Json("4-bit g32"));
  EXPECT_EQ(*info_of("phi3-mxfp4").find("quantization"), Json("mxfp4"));
}

}  // namespace
}  // namespace phial

// Weights in 8-bit floats and their scales; integers; numbers that are none.
#include "model/f8_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "formats/test_files.h"
#include "model/weights.h"
#include "tensor/test_blocks.h"
#include "tensor/view.h"

namespace phial {
namespace {

using test::le_all;
using ::testing::HasSubstr;

constexpr int64_t kRows = 5, kColumns = 6;

// A checkpoint of one weight "a.weight" of [5, 6] in F8 with `scales` beside it.
class F8Test : public testing::Test {
 protected:
  F8Test() : codes_(kRows * kColumns, '\0') {
    for (size_t i = 0; i < codes_.size(); ++i) {
      codes_[i] = static_cast<char>(f32_to_f8_e4m3(static_cast<float>(i) - 15));
    }
  }

  Result<F8Weight> bind(const std::string& name, const std::vector<int64_t>& shape,
                        const std::vector<float>& scales, const std::string& config = "{}") {
    MemoryFiles files;
    test::SafetensorsBuilder file;
    file.tensor("a.weight", "F8_E4M3", {kRows, kColumns}, codes_);
    file.tensor("a.input_scale", "F32", {}, "1234");
    file.tensor(name, "F32", shape, le_all(scales));
    files.put("m/model.safetensors", file.build());
    files.put("m/config.json", config);
    auto checkpoint = read_checkpoint(files, "m");
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
    checkpoint_ = std::move(*checkpoint);
    return bind_f8_weight(checkpoint_, *checkpoint_.find("a.weight"), kRows, kColumns);
  }

  // Every weight is its code times scale(row, column).
  template <class Scale>
  void expect_scaled(const Result<F8Weight>& weight, const Scale& scale) {
    ASSERT_TRUE(weight.ok()) << weight.error().to_string();
    EXPECT_EQ(weight->companions.size(), 2u);
    for (int64_t r = 0; r < kRows; ++r) {
      float row[kColumns];
      decode_affine(weight->matrix, r, 0, kColumns, row);
      for (int64_t c = 0; c < kColumns; ++c) {
        EXPECT_EQ(row[c], static_cast<float>(r * kColumns + c - 15) * scale(r, c));
      }
    }
  }

  std::string codes_;
  Checkpoint checkpoint_;
};

TEST_F(F8Test, OneScaleForAll) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{}, {1}}) {
    expect_scaled(bind("a.weight_scale", shape, {0.5f}), [](int64_t, int64_t) { return 0.5f; });
  }
}

TEST_F(F8Test, OneScalePerRow) {
  const std::vector<float> scales = {1, 2, 4, 8, 16};
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{5}, {5, 1}}) {
    expect_scaled(bind("a.weight_scale", shape, scales),
                  [&](int64_t r, int64_t) { return scales[static_cast<size_t>(r)]; });
  }
}

TEST_F(F8Test, OneScalePerBlock) {
  const std::vector<float> scales = {1, 2, 4, 8, 16, 32};  // [3, 2]
  expect_scaled(
      bind("a.weight_scale_inv", {3, 2}, scales,
           R"({"quantization_config":{"weight_block_size":[2,4]}})"),
      [&](int64_t r, int64_t c) { return scales[static_cast<size_t>(r / 2 * 2 + c / 4)]; });
  // 128 x 128 when the configuration says nothing.
  expect_scaled(bind("a.weight_scale_inv", {1, 1}, {2}), [](int64_t, int64_t) { return 2.0f; });
}

TEST_F(F8Test, WithoutScalesTheNumbersStand) {
  const auto weight = bind("b", {1}, {1});
  ASSERT_TRUE(weight.ok());
  EXPECT_EQ(weight->matrix.codes, nullptr);
  EXPECT_TRUE(weight->companions.empty());
}

TEST_F(F8Test, RefusesScalesThatDoNotFit) {
  const auto shape = bind("a.weight_scale", {2, 3}, {1, 2, 3, 4, 5, 6});
  ASSERT_FALSE(shape.ok());
  EXPECT_EQ(shape.error().code, ErrorCode::damaged);
  EXPECT_THAT(shape.error().to_string(), HasSubstr("a.weight_scale"));
  EXPECT_THAT(shape.error().to_string(), HasSubstr("found the shape [2, 3]"));
  for (const char* size : {"[0,4]", "[2]", "3", "[2,\"x\"]", "[-1,2]"}) {
    const auto block =
        bind("a.weight_scale", {5}, {1, 2, 3, 4, 5},
             std::string(R"({"quantization_config":{"weight_block_size":)") + size + "}}");
    ASSERT_FALSE(block.ok()) << size;
    EXPECT_THAT(block.error().to_string(), HasSubstr("weight_block_size"));
  }
}

// NaN or infinity in the scale of one block, for every grid that has scales.
TEST(CheckFinite, SeesScalesOfEveryGrid) {
  Rng rng(3);
  for (const GridInfo& grid : grid_table()) {
    if (grid.is_integer) continue;
    const int64_t columns = 2 * grid.block_values;
    std::vector<uint8_t> bytes(static_cast<size_t>(3 * row_bytes(grid.grid, columns)));
    for (int64_t r = 0; r < 3; ++r) {
      test::fill_row(grid.grid, rng, columns, 1, bytes.data() + r * row_bytes(grid.grid, columns));
    }
    NamedTensor tensor{"t", {grid.grid, {3, columns}, bytes}, grid.name, "f.gguf"};
    Checkpoint checkpoint;
    checkpoint.tensors.push_back(tensor);
    EXPECT_TRUE(check_finite(checkpoint).ok()) << grid.name;
    constexpr uint16_t kNoNumbers[] = {0x7c00, 0xfc00, 0x7e00};
    for (const uint16_t scale : kNoNumbers) {
      uint8_t* last = bytes.data() + bytes.size() - grid.block_bytes;
      if (grid.block_values == 1) {
        std::fill(last, last + grid.block_bytes, uint8_t{0xff});
      } else {
        test::set_scales(grid.grid, scale, last);
      }
      const Status status = check_finite(checkpoint);
      ASSERT_FALSE(status.ok()) << grid.name;
      EXPECT_EQ(status.error().code, ErrorCode::damaged);
      EXPECT_THAT(status.error().to_string(), HasSubstr("f.gguf: t: row 2"));
    }
  }
}

TEST(CheckFinite, SeesASingleNumber) {
  const float nan = NAN;
  Checkpoint checkpoint;
  checkpoint.tensors.push_back(
      {"a.weight_scale",
       {Grid::f32, {}, {reinterpret_cast<const uint8_t*>(&nan), sizeof(nan)}},
       "F32",
       "f.safetensors"});
  EXPECT_FALSE(check_finite(checkpoint).ok());
}

}  // namespace
}  // namespace phial

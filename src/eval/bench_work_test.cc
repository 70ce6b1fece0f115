#include "eval/bench_work.h"

#include <gtest/gtest.h>

#include <string>

#include "model/synthetic.h"

namespace phial {
namespace {

std::shared_ptr<const Model> synthetic(const std::string& name) {
  auto pool = ThreadPool::create(1);
  EXPECT_TRUE(pool.ok());
  auto model = make_synthetic(name, 0, **pool);
  EXPECT_TRUE(model.ok());
  return *std::move(model);
}

// Per layer of "tiny": q and o 256 x 256, k and v 128 x 256, gate, up and down 512 x 256.
constexpr int64_t kLayer = 2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256;
constexpr int64_t kHead = 512 * 256;

TEST(BenchWork, CountsParametersAndStoredBytes) {
  struct Case {
    const char* name;
    double bits;
  };
  // Bits of a weight with all that belongs to it.
  for (const Case& c : {Case{"f32", 32}, Case{"bf16", 16}, Case{"q4_0", 4.5}, Case{"q8_0", 8.5},
                        Case{"q6_k", 6.5625}, Case{"g32", 5}, Case{"g64", 4.5}, Case{"g128", 4.25},
                        Case{"onnx-g32", 4.5}, Case{"openvino-g128", 4.125}}) {
    const auto model = synthetic(std::string("tiny:") + c.name);
    const ModelWork work = work_of(*model);
    EXPECT_EQ(work.layer_parameters, 2 * kLayer);
    EXPECT_EQ(work.head_parameters, kHead);
    EXPECT_DOUBLE_EQ(work.weight_bytes, (2 * kLayer + kHead) * c.bits / 8) << c.name;
    // The embedding is in memory as well, and not in what a token reads.
    EXPECT_DOUBLE_EQ(static_cast<double>(model->checkpoint->file_bytes),
                     (2 * kLayer + 2 * kHead) * c.bits / 8)
        << c.name;
  }
}

TEST(BenchWork, Operations) {
  const ModelWork work{.layer_parameters = 1000, .head_parameters = 10, .weight_bytes = 0};
  EXPECT_DOUBLE_EQ(work.prefill_operations(512), 2.0 * 1000 * 512);
  EXPECT_DOUBLE_EQ(work.pass_operations(6), 2.0 * 1010 * 6);
}

TEST(BenchWork, KeysAndValues) {
  ModelSpec spec;
  spec.attention.kv_heads = 4;
  spec.attention.head_dim = 96;
  spec.layer_kinds.resize(3);
  // Keys and values of 3 layers of 4 heads, of 11 positions: 10 before it and its own.
  EXPECT_DOUBLE_EQ(kv_read_bytes(spec, KvType::f32, 10), 11.0 * 3 * 2 * 4 * 96 * 4);
  EXPECT_DOUBLE_EQ(kv_read_bytes(spec, KvType::f16, 10), 11.0 * 3 * 2 * 4 * 96 * 2);
  EXPECT_DOUBLE_EQ(kv_read_bytes(spec, KvType::bf16, 10), 11.0 * 3 * 2 * 4 * 96 * 2);
  EXPECT_DOUBLE_EQ(kv_read_bytes(spec, KvType::int8, 10), 11.0 * 3 * 2 * 4 * (96 + 2));
  EXPECT_DOUBLE_EQ(kv_read_bytes(spec, KvType::int4, 10), 11.0 * 3 * 2 * 4 * (48 + 2));
  // A window shows its own position and those before it.
  spec.layer_kinds[1].window = 4;
  EXPECT_DOUBLE_EQ(kv_read_bytes(spec, KvType::f32, 10), (11.0 + 4 + 11) * 2 * 4 * 96 * 4);
  EXPECT_DOUBLE_EQ(kv_read_bytes(spec, KvType::f32, 1), (2.0 + 2 + 2) * 2 * 4 * 96 * 4);
}

TEST(BenchWork, WhichArithmeticBounds) {
  const auto of = [](const char* grid, Compute compute, bool has_bf16) {
    return arithmetic_probe(*synthetic(std::string("tiny:") + grid), compute, has_bf16);
  };
  for (const char* grid : {"q4_0", "q8_0", "bf16", "g64"}) {
    EXPECT_EQ(of(grid, Compute::fp32, true), Probe::fma) << grid;
  }
  for (const char* grid : {"q4_0", "q4_k", "g64", "onnx-g32"}) {
    EXPECT_EQ(of(grid, Compute::int8, true), Probe::int8) << grid;
    EXPECT_EQ(of(grid, Compute::bf16, true), Probe::bf16) << grid;
    EXPECT_EQ(of(grid, Compute::bf16, false), Probe::fma) << grid;
  }
  for (const char* grid : {"q5_0", "q6_k", "q8_0", "iq4_nl", "openvino-row8"}) {
    EXPECT_EQ(of(grid, Compute::int8, true), Probe::int8_wide) << grid;
  }
  EXPECT_EQ(of("bf16", Compute::int8, true), Probe::bf16);
  EXPECT_EQ(of("bf16", Compute::int8, false), Probe::fma);
  EXPECT_EQ(of("f16", Compute::int8, true), Probe::fma);
}

TEST(BenchWork, NamesOfGrids) {
  EXPECT_EQ(main_grid(*synthetic("tiny:q4_0")), "q4_0");
  EXPECT_EQ(main_grid(*synthetic("tiny:g64")), "4-bit g64");
  EXPECT_EQ(main_grid(*synthetic("tiny:openvino-row8")), "8-bit rows");
}

}  // namespace
}  // namespace phial

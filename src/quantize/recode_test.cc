#include "quantize/recode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <iostream>
#include <set>

#include "base/rng.h"
#include "quantize/row_encoder.h"
#include "tensor/test_affine.h"
#include "tensor/test_blocks.h"

namespace phial {
namespace {

constexpr int64_t kRows = 3, kColumns = 256;

// A matrix with its bytes.
struct Source {
  std::string name;
  std::vector<uint8_t> bytes;
  std::unique_ptr<test::AffinePlanes> planes;
  MatrixView view;
};

Source block_source(Grid grid) {
  Source out;
  out.name = grid_info(grid).name;
  out.bytes.resize(static_cast<size_t>(kRows * row_bytes(grid, kColumns)));
  Rng rng(static_cast<uint64_t>(grid) + 1);
  test::fill_row(grid, rng, kRows * kColumns, 0.1, out.bytes.data());
  out.view.grid = grid;
  out.view.rows = kRows;
  out.view.columns = kColumns;
  out.view.row_stride = row_bytes(grid, kColumns);
  out.view.data = out.bytes.data();
  return out;
}

Source plane_source(const StoredGrid& stored) {
  Source out;
  out.name = stored.name() + (stored.scale == ScaleKind::f16 ? " f16" : " bf16");
  out.planes = std::make_unique<test::AffinePlanes>(stored.affine(), kRows, kColumns);
  Rng rng(static_cast<uint64_t>(stored.bits) + 100);
  for (int64_t r = 0; r < kRows; ++r) {
    std::vector<float> values(kColumns);
    for (float& value : values) value = static_cast<float>(rng.uniform() - 0.5);
    out.planes->encode_row(r, values.data());
  }
  out.view.rows = kRows;
  out.view.columns = kColumns;
  out.view.affine = out.planes->matrix();
  return out;
}

StoredGrid planes_of(int bits, int group, ScaleKind scale = ScaleKind::f16) {
  return {.group_columns = group, .bits = bits, .scale = scale};
}
constexpr StoredGrid kMlxMxfp4 = {.grid = Grid::mxfp4, .group_columns = 32};

std::vector<Source> sources() {
  std::vector<Source> out;
  for (const GridInfo& info : grid_table()) {
    if (!info.is_integer && info.grid != Grid::f64) out.push_back(block_source(info.grid));
  }
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {32, 64, 128}) out.push_back(plane_source(planes_of(bits, group)));
  }
  out.push_back(plane_source(planes_of(4, 64, ScaleKind::bf16)));
  out.push_back(plane_source(kMlxMxfp4));
  return out;
}

std::vector<StoredGrid> targets() {
  std::vector<StoredGrid> out;
  for (const GridInfo& info : grid_table()) {
    if (!info.is_integer && info.can_encode && info.grid != Grid::f64) {
      out.push_back({.grid = info.grid});
    }
  }
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {32, 64, 128}) out.push_back(planes_of(bits, group));
  }
  out.push_back(planes_of(4, 64, ScaleKind::bf16));
  out.push_back(kMlxMxfp4);
  return out;
}

// The values of row `r` after it went into `grid`, by the way that a run takes.
std::vector<float> carried(const Source& source, int64_t r, const StoredGrid& grid) {
  TargetTensor tensor;
  tensor.shape = {kRows, kColumns};
  tensor.pieces = {{source.view}};
  std::vector<std::vector<uint8_t>> planes;
  std::vector<uint8_t*> pointers(3);
  const auto bytes = grid.plane_row_bytes(kColumns);
  for (size_t p = 0; p < bytes.size(); ++p) {
    planes.emplace_back(static_cast<size_t>(bytes[p]));
    pointers[p] = planes.back().data();
  }
  std::vector<float> values(kColumns), out(kColumns);
  source.view.decode(r, values.data());
  if (transfer_of(tensor, grid) == Transfer::encoded) {
    RowEncoder(*search_tables()[0], Effort::fast)
        .encode(grid, values.data(), 1, kColumns, nullptr, pointers.data());
  } else {
    EXPECT_TRUE(recode_row(source.view, r, grid, pointers.data()).ok());
  }
  RowEncoder::decode(grid, pointers.data(), 1, kColumns, out.data());
  return out;
}

TEST(Recode, WhatIsCalledExactIsExactAndListed) {
  std::string table;
  for (const Source& source : sources()) {
    std::string exact;
    for (const StoredGrid& grid : targets()) {
      if (!holds_exactly(source.view, grid)) continue;
      exact += " " + grid.name() +
               (grid.has_planes() && grid.scale == ScaleKind::bf16 ? " bf16" : "") + ",";
      for (int64_t r = 0; r < kRows; ++r) {
        std::vector<float> before(kColumns);
        source.view.decode(r, before.data());
        EXPECT_EQ(carried(source, r, grid), before) << source.name << " -> " << grid.name();
      }
    }
    table += source.name + " ->" + exact + "\n";
  }
  std::cout << "exact transfers:\n" << table;
}

TEST(Recode, TheSameGridIsTheSameBytes) {
  for (const Source& source : sources()) {
    if (source.view.is_affine()) continue;
    TargetTensor tensor;
    tensor.pieces = {{source.view}};
    const StoredGrid same = {.grid = source.view.grid};
    EXPECT_EQ(transfer_of(tensor, same), Transfer::copied) << source.name;
    std::vector<uint8_t> row(static_cast<size_t>(row_bytes(source.view.grid, kColumns)));
    uint8_t* planes[3] = {row.data()};
    ASSERT_TRUE(recode_row(source.view, 1, same, planes).ok());
    EXPECT_EQ(std::memcmp(row.data(), source.view.row(1), row.size()), 0) << source.name;
  }
}

bool exact(Grid from, const StoredGrid& into) {
  return holds_exactly(block_source(from).view, into);
}

TEST(Recode, Int4CodesAreCarriedOver) {
  EXPECT_TRUE(exact(Grid::q4_0, planes_of(4, 32)));
  EXPECT_TRUE(exact(Grid::q4_1, planes_of(4, 32)));
  EXPECT_TRUE(exact(Grid::q8_0, planes_of(8, 32)));
  EXPECT_TRUE(exact(Grid::mxfp4, kMlxMxfp4));
  EXPECT_TRUE(exact(Grid::q4_0, {.grid = Grid::q4_1}));
  EXPECT_TRUE(exact(Grid::iq4_nl, {.grid = Grid::q8_0}));
  EXPECT_TRUE(holds_exactly(plane_source(planes_of(4, 64)).view, {.grid = Grid::q4_1}));
  EXPECT_TRUE(holds_exactly(plane_source(kMlxMxfp4).view, {.grid = Grid::mxfp4}));
  // A scale for 64 columns cannot stand for two of 32; a bf16 scale is no f16.
  EXPECT_FALSE(exact(Grid::q4_0, planes_of(4, 64)));
  EXPECT_FALSE(exact(Grid::q4_0, planes_of(4, 32, ScaleKind::bf16)));
  EXPECT_FALSE(exact(Grid::q4_1, {.grid = Grid::q4_0}));
  EXPECT_FALSE(exact(Grid::f16, {.grid = Grid::bf16}));
}

// One of the minimums is no multiple of its scale.
Source with_odd_minimum(Source source) {
  ++source.planes->offsets[0];
  return source;
}

TEST(Recode, KeptGridsHoldExactlyWithTheFewestBits) {
  const auto kept = [](Source source, TargetFormat format) {
    TargetTensor tensor;
    tensor.shape = {kRows, kColumns};
    tensor.pieces = {{source.view}};
    return kept_grid(format, tensor).name();
  };
  EXPECT_EQ(kept(block_source(Grid::q4_k), TargetFormat::gguf), "q4_k");
  EXPECT_EQ(kept(block_source(Grid::bf16), TargetFormat::gguf), "bf16");
  EXPECT_EQ(kept(block_source(Grid::f8_e4m3), TargetFormat::gguf), "f16");
  EXPECT_EQ(kept(block_source(Grid::q4_0), TargetFormat::mlx), "int4 g32");
  EXPECT_EQ(kept(block_source(Grid::q8_0), TargetFormat::mlx), "int8 g32");
  EXPECT_EQ(kept(block_source(Grid::mxfp4), TargetFormat::mlx), "mxfp4 g32");
  EXPECT_EQ(kept(block_source(Grid::q4_k), TargetFormat::mlx), "f32");
  EXPECT_EQ(kept(plane_source(planes_of(3, 64, ScaleKind::bf16)), TargetFormat::mlx), "int3 g64");
  EXPECT_EQ(kept(with_odd_minimum(plane_source(planes_of(4, 64))), TargetFormat::gguf), "q4_1");
  EXPECT_EQ(kept(plane_source(kMlxMxfp4), TargetFormat::gguf), "mxfp4");
  EXPECT_EQ(kept(block_source(Grid::q4_0), TargetFormat::safetensors), "f32");
  EXPECT_EQ(kept(block_source(Grid::f16), TargetFormat::safetensors), "f16");
}

TEST(Recode, BlocksWithoutMinimumsComeBackFromPlanes) {
  for (const auto& [grid, bits] :
       {std::pair(Grid::q4_0, 4), std::pair(Grid::q5_0, 5), std::pair(Grid::q8_0, 8)}) {
    const Source source = block_source(grid);
    const StoredGrid stored = planes_of(bits, 32), back = {.grid = grid};
    const auto bytes = stored.plane_row_bytes(kColumns);
    std::vector<uint8_t> codes(static_cast<size_t>(bytes[0])),
        scales(static_cast<size_t>(bytes[1])), minimums(static_cast<size_t>(bytes[2]));
    uint8_t* planes[3] = {codes.data(), scales.data(), minimums.data()};
    ASSERT_TRUE(recode_row(source.view, 0, stored, planes).ok());
    MatrixView view;
    view.rows = 1;
    view.columns = kColumns;
    view.affine = {.grid = stored.affine(),
                   .codes = codes.data(),
                   .code_row_bits = 8 * bytes[0],
                   .scales = scales.data(),
                   .scale_row = kColumns / 32,
                   .offsets = minimums.data(),
                   .offset_row = kColumns / 32};
    EXPECT_TRUE(holds_data(view, back)) << source.name;
    std::vector<uint8_t> row(static_cast<size_t>(row_bytes(grid, kColumns)));
    uint8_t* blocks[3] = {row.data()};
    ASSERT_TRUE(recode_row(view, 0, back, blocks).ok()) << source.name;
    EXPECT_EQ(std::memcmp(row.data(), source.view.row(0), row.size()), 0) << source.name;
    ++minimums[2 * 5];
    EXPECT_FALSE(holds_data(view, back)) << source.name;
    EXPECT_FALSE(recode_row(view, 0, back, blocks).ok()) << source.name;
  }
}

TEST(Recode, ScalesOfBfloat16ThatFloat16HoldsComeOver) {
  const Source source = with_odd_minimum(plane_source(planes_of(4, 64, ScaleKind::bf16)));
  const StoredGrid grid = {.grid = Grid::q4_1};
  EXPECT_TRUE(holds_data(source.view, grid));
  EXPECT_FALSE(holds_data(source.view, {.grid = Grid::q4_0}));
  EXPECT_FALSE(holds_data(source.view, {.grid = Grid::q4_k}));
  for (int64_t r = 0; r < kRows; ++r) {
    std::vector<float> before(kColumns);
    source.view.decode(r, before.data());
    EXPECT_EQ(carried(source, r, grid), before);
  }
}

TEST(Recode, AMinimumBeyondFloat16IsAnError) {
  Source source = block_source(Grid::q4_0);
  store_number<uint16_t>(f32_to_f16(20000.0f), source.bytes.data());
  const StoredGrid grid = {.grid = Grid::q4_1};
  std::vector<uint8_t> row(static_cast<size_t>(row_bytes(Grid::q4_1, kColumns)));
  uint8_t* planes[3] = {row.data()};
  EXPECT_EQ(recode_row(source.view, 0, grid, planes).error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace phial

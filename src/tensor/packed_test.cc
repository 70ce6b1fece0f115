// Panels: what was packed decodes to the bits of the source, and is restored to its bytes, for
// every grid that can be packed.

#include "tensor/packed.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "base/rng.h"
#include "tensor/planes.h"
#include "tensor/test_affine.h"
#include "tensor/test_blocks.h"

namespace phial {
namespace {

// Rows of random codes, so that every bit counts; `stride` bytes apart.
struct Source {
  Source(Grid grid, int64_t rows, int64_t columns) {
    Rng rng(7);
    view.grid = grid;
    view.rows = rows;
    view.columns = columns;
    view.row_stride = row_bytes(grid, columns);
    bytes.resize(static_cast<size_t>(rows * view.row_stride));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next());
    const GridInfo& info = grid_info(grid);
    for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(info.block_bytes)) {
      test::set_scales(grid, static_cast<uint16_t>(0x2000 + rng.next() % 0x1000), &bytes[at]);
    }
    view.data = bytes.data();
  }
  MatrixView view;
  std::vector<uint8_t> bytes;
};

std::vector<uint8_t> pack(const PackedLayout& layout, const MatrixView& view) {
  std::vector<uint8_t> panels(static_cast<size_t>(*packed_bytes(layout, view.rows)), 0xa5);
  for (int64_t p = 0; p * kPackedRows < view.rows; ++p) {
    pack_panel(layout, view, p, panels.data() + p * layout.panel_bytes);
  }
  return panels;
}

// The bytes of the blocks, however random they are.
void expect_restored(const MatrixView& view, const PackedMatrix& packed) {
  std::vector<uint8_t> bytes(static_cast<size_t>(row_bytes(view.grid, view.columns)), 0xa5);
  for (int64_t r = 0; r < view.rows; ++r) {
    restore_row(packed, view.grid, r, bytes.data());
    ASSERT_EQ(std::memcmp(bytes.data(), view.row(r), bytes.size()), 0) << "row " << r;
  }
}

// All codes, scales and offsets, compared one by one: rows of planes may begin within a byte.
void expect_restored_planes(const MatrixView& view, const PackedMatrix& packed) {
  const AffineMatrix& want = view.affine;
  const AffineRowBytes sizes = affine_row_bytes(want.grid, view.columns);
  std::vector<uint8_t> codes(static_cast<size_t>(sizes.codes), 0xa5);
  std::vector<uint8_t> scales(static_cast<size_t>(sizes.scales), 0xa5);
  std::vector<uint8_t> offsets(static_cast<size_t>(sizes.offsets), 0xa5);
  const int number = scale_bytes(want.grid.scale);
  const int64_t groups = sizes.scales / number;
  for (int64_t r = 0; r < view.rows; ++r) {
    restore_row(packed, want.grid, r, codes.data(), scales.data(), offsets.data());
    const int64_t row = want.first_row + r;
    const auto expect_bits = [&](const std::vector<uint8_t>& got, const uint8_t* from, int64_t at,
                                 int64_t count) {
      int64_t same = 0;
      for (int64_t i = 0; i < count; ++i) {
        same += load_bits(got.data(), i * want.grid.bits, want.grid.bits) ==
                        load_bits(from, at + i * want.grid.bits, want.grid.bits)
                    ? 1
                    : 0;
      }
      ASSERT_EQ(same, count) << "row " << r;
    };
    expect_bits(codes, want.codes, row * want.code_row_bits, view.columns);
    const auto expect_numbers = [&](const std::vector<uint8_t>& got, const uint8_t* from) {
      ASSERT_EQ(std::memcmp(got.data(), from, got.size()), 0) << "row " << r;
    };
    expect_numbers(scales, want.scales + row * want.scale_row * number);
    if (want.grid.offset == OffsetKind::codes) {
      expect_bits(offsets, want.offsets, row * want.offset_row, groups);
    } else if (sizes.offsets > 0) {
      expect_numbers(offsets, want.offsets + row * want.offset_row * number);
    }
    if (testing::Test::HasFatalFailure()) return;
  }
}

// NaN of random bits decode alike as well.
void expect_rows(const MatrixView& view, const std::string& name) {
  SCOPED_TRACE(name);
  const std::optional<PackedLayout> layout = packed_layout(view);
  ASSERT_TRUE(layout.has_value());
  const std::vector<uint8_t> panels = pack(*layout, view);
  const PackedMatrix packed{*layout, view.rows, panels.data()};
  std::vector<float> got(static_cast<size_t>(view.columns)), want(got);
  for (int64_t r = 0; r < view.rows; ++r) {
    decode_packed_row(packed, r, got.data());
    view.decode(r, want.data());
    ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0) << "row " << r;
    for (int64_t c = 0; c < view.columns; c += 37) {
      const float value = packed_value(*layout, packed.panel(r / kPackedRows),
                                       static_cast<int>(r % kPackedRows), c);
      ASSERT_EQ(std::bit_cast<uint32_t>(value),
                std::bit_cast<uint32_t>(got[static_cast<size_t>(c)]))
          << "row " << r << ", column " << c;
    }
  }
  if (view.is_affine()) {
    expect_restored_planes(view, packed);
  } else {
    expect_restored(view, packed);
  }
}

TEST(Packed, RowsOfEveryGridDecodeToTheSame) {
  int packable = 0;
  for (const GridInfo& info : grid_table()) {
    if (!packed_layout(info.grid, 256)) continue;
    ++packable;
    for (const int64_t columns : {256, 1024}) {
      for (const int64_t rows : {1, 64, 131}) {
        expect_rows(Source(info.grid, rows, columns).view,
                    info.name + std::string(", columns ") + std::to_string(columns));
      }
    }
    if (info.block_values <= 32) {
      for (const int64_t columns : {32, 96, 576, 1504}) {
        expect_rows(Source(info.grid, 70, columns).view,
                    info.name + std::string(", columns ") + std::to_string(columns));
      }
    }
  }
  EXPECT_EQ(packable, 16);
}

// No byte more than the source, but for rows that fill the last panel.
TEST(Packed, TakesTheBytesOfTheSource) {
  for (const GridInfo& info : grid_table()) {
    for (const int64_t columns : {256, 576, 3072}) {
      const std::optional<PackedLayout> layout = packed_layout(info.grid, columns);
      if (!layout) continue;
      EXPECT_EQ(*packed_bytes(*layout, 128), 128 * row_bytes(info.grid, columns))
          << info.name << " " << columns;
    }
  }
}

TEST(Packed, AffineRowsDecodeToTheSame) {
  Rng rng(3);
  int packable = 0;
  for (AffineGrid grid : test::affine_grids()) {
    for (const int32_t group : {16, 32, 64, 128, 256, 512, 1000}) {
      for (const int64_t columns : {1000, 512, 33}) {
        grid.group_columns = group;
        if (!packed_layout(grid, columns)) continue;
        ++packable;
        test::AffinePlanes planes(grid, 67, columns);
        for (auto* plane : {&planes.codes, &planes.offsets}) {
          for (uint8_t& byte : *plane) byte = static_cast<uint8_t>(rng.next() & 0x7f);
        }
        for (uint8_t& byte : planes.scales) byte = static_cast<uint8_t>(rng.next() % 0x70);
        MatrixView view;
        view.rows = 66;
        view.columns = columns;
        view.affine = planes.matrix();
        view.affine.first_row = 1;
        expect_rows(view, test::affine_name(grid) + ", group " + std::to_string(group) +
                              ", columns " + std::to_string(columns));
        if (HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(packable, 1000);
}

TEST(Packed, InterleavedHeadsBecomeNatural) {
  Source source(Grid::q4_0, 96, 64);
  const std::vector<uint8_t> natural = pack(*packed_layout(source.view), source.view);
  source.view.row_order = RowOrder::interleaved_heads;
  source.view.head_rows = 32;
  const std::vector<uint8_t> panels = pack(*packed_layout(source.view), source.view);
  const PackedMatrix a{*packed_layout(source.view), 96, natural.data()};
  const PackedMatrix b{a.layout, 96, panels.data()};
  std::vector<float> want(64), got(64);
  for (int64_t r = 0; r < 96; ++r) {
    decode_packed_row(a, r / 32 * 32 + interleaved_row(r % 32, 32), want.data());
    decode_packed_row(b, r, got.data());
    ASSERT_EQ(want, got) << r;
  }
}

TEST(Packed, RefusesWhatItCannotHold) {
  EXPECT_FALSE(packed_layout(Grid::f32, 256));
  EXPECT_FALSE(packed_layout(Grid::iq2_s, 256));
  EXPECT_FALSE(packed_layout(Grid::q4_0, 48));
  EXPECT_FALSE(packed_layout(Grid::q4_0, 0));
  EXPECT_FALSE(packed_layout(Grid::q4_0, -32));
  AffineGrid grid;
  grid.group_columns = 48;
  EXPECT_FALSE(packed_layout(grid, 96));
  EXPECT_TRUE(packed_layout(grid, 48));
  grid.group_columns = 32;
  grid.group_rows = 2;
  EXPECT_FALSE(packed_layout(grid, 96));
  EXPECT_FALSE(packed_bytes(*packed_layout(Grid::q4_0, 1 << 20), int64_t{1} << 50));
}

}  // namespace
}  // namespace phial

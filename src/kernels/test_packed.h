// Packed weights and rounded inputs for tests, and their products.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/packed.h"
#include "kernels/packed_layout.h"
#include "kernels/test_support.h"
#include "tensor/test_affine.h"
#include "tensor/test_blocks.h"

namespace phial {

// Memory at 64 bytes, with guards behind it.
class Aligned {
 public:
  explicit Aligned(int64_t bytes)
      : size_(static_cast<size_t>(bytes)), bytes_(size_ + 2 * kMargin, 0xa5) {}
  uint8_t* data() {
    const auto at = reinterpret_cast<uintptr_t>(bytes_.data());
    return bytes_.data() + (64 - at % 64) % 64;
  }
  bool intact() {
    uint8_t* end = data() + size_;
    return std::all_of(end, bytes_.data() + bytes_.size(), [](uint8_t b) { return b == 0xa5; });
  }

 private:
  static constexpr size_t kMargin = 128;
  size_t size_;
  std::vector<uint8_t> bytes_;
};

// A packed matrix of random codes and sensible scales.
struct Weights {
  Weights(const MatrixView& view) : layout(*packed_layout(view)) {
    panels = std::make_unique<Aligned>(*packed_bytes(layout, view.rows));
    for (int64_t p = 0; p * kPackedRows < view.rows; ++p) {
      pack_panel(layout, view, p, panels->data() + p * layout.panel_bytes);
    }
    matrix = {layout, view.rows, panels->data()};
  }
  PackedLayout layout;
  std::unique_ptr<Aligned> panels;
  PackedMatrix matrix;
};

inline Weights block_weights(Grid grid, int64_t rows, int64_t columns, Rng& rng) {
  MatrixView view;
  view.grid = grid;
  view.rows = rows;
  view.columns = columns;
  view.row_stride = row_bytes(grid, columns);
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * view.row_stride));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next());
  const auto block = static_cast<size_t>(grid_info(grid).block_bytes);
  for (size_t at = 0; at < bytes.size(); at += block) {
    const auto sign = static_cast<uint16_t>(rng.next() % 2 << 15);
    test::set_scales(grid, static_cast<uint16_t>(sign | (0x2000 + rng.next() % 0x1000)),
                     &bytes[at]);
  }
  view.data = bytes.data();
  return Weights(view);
}

inline Weights affine_weights(const AffineGrid& grid, int64_t rows, int64_t columns, Rng& rng) {
  test::AffinePlanes planes(grid, rows, columns);
  for (int64_t r = 0; r < rows; ++r) planes.encode_row(r, random_row(rng, columns).data());
  MatrixView view;
  view.rows = rows;
  view.columns = columns;
  view.affine = planes.matrix();
  return Weights(view);
}

// Rows rounded by `kernels`.
struct Inputs {
  Inputs(const PackedKernels& kernels, const std::vector<float>& x, int32_t rows, int64_t columns,
         TileForm tile, InputCodes codes = InputCodes::as_needed) {
    QuantizedRows shape;
    shape.rows = rows;
    shape.tile = tile;
    shape.columns = columns;
    memory = std::make_unique<Aligned>(quantized_bytes(shape));
    quantized = place_quantized(shape, memory->data());
    const int32_t tiles = tile_count(shape);
    const int64_t slabs = slab_count(shape), half = slabs / 2 * kSlabColumns;
    kernels.quantize({x.data(), columns, 0, tiles / 2, 0, slabs, codes, quantized});
    kernels.quantize({x.data(), columns, tiles / 2, tiles, 0, slabs / 2, codes, quantized});
    kernels.quantize(
        {x.data() + half, columns, tiles / 2, tiles, slabs / 2, slabs, codes, quantized});
    list_high(quantized, 0, slabs / 2);
    list_high(quantized, slabs / 2, slabs);
  }
  std::unique_ptr<Aligned> memory;
  QuantizedRows quantized;
};

// Rows as layers see them: a few columns with large values in most rows, a few such values
// elsewhere.
inline std::vector<float> input_rows(Rng& rng, int32_t rows, int64_t columns) {
  std::vector<float> x = random_row(rng, rows * columns, 3);
  for (int32_t m = 0; m < rows; ++m) {
    float* row = x.data() + m * columns;
    if (m % 4 != 1) row[columns / 3] *= 40;
    if (m % 2 == 0) row[columns - 1] *= 300;
    row[rng.next() % static_cast<uint64_t>(columns)] *= 20;
  }
  return x;
}

enum class Product { direct, gemm, int_scales };

inline PackedProductFn product_of(const PackedKernels& kernels, Product kind) {
  if (kind == Product::direct) return kernels.direct;
  return kind == Product::gemm ? kernels.gemm : kernels.int_scales;
}
inline const char* name_of(Product kind) {
  if (kind == Product::direct) return "direct";
  return kind == Product::gemm ? "gemm" : "int_scales";
}

inline std::vector<float> product(const PackedKernels& kernels, Product kind,
                                  const PackedMatrix& weights, const QuantizedRows& x) {
  Guarded y(x.rows * weights.rows);
  Aligned scratch(gemm_scratch_bytes(x.rows));
  PackedProductArgs args;
  args.weights = &weights;
  args.x = x;
  args.y = y.data();
  args.y_stride = weights.rows;
  args.scratch = scratch.data();
  // Two calls: panels divided among threads.
  args.panel_end = weights.panels() / 2;
  product_of(kernels, kind)(args);
  args.panel_begin = args.panel_end;
  args.panel_end = weights.panels();
  args.y_row = args.panel_begin * kPackedRows;
  args.y += args.y_row;
  product_of(kernels, kind)(args);
  EXPECT_TRUE(y.intact());
  EXPECT_TRUE(scratch.intact());
  return y.copy();
}

}  // namespace phial

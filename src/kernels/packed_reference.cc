// The reference of kernels/packed.h: each value by itself, in the order that the contracts say.

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "kernels/packed_layout.h"
#include "kernels/packed_tables.h"
#include "tensor/block_codebook.h"
#include "tensor/numbers.h"

namespace phial {
namespace {

constexpr float kTiny = 0x1p-100f;

// Magnitudes compared by their bits: NaN counts as larger than infinity.
float larger_magnitude(float a, float b) {
  const uint32_t x = std::bit_cast<uint32_t>(a) & 0x7fffffffu;
  const uint32_t y = std::bit_cast<uint32_t>(b) & 0x7fffffffu;
  return std::bit_cast<float>(std::max(x, y));
}
bool has_inverse(float magnitude) { return magnitude >= kTiny && std::isfinite(magnitude); }

// What becomes 127: of chunks whose largest magnitudes are amax[0 ... chunks).
float top_of(const float* amax, int64_t chunks, InputCodes codes) {
  float sorted[kSlabChunks];
  std::copy_n(amax, chunks, sorted);
  std::sort(sorted, sorted + chunks);
  const float least = sorted[chunks - 1] / 254.0f;
  if (codes == InputCodes::wide) return least;
  const float limit = 1.75f * sorted[(chunks - 1) / 2];
  float top = 0;
  for (int64_t c = 0; c < chunks; ++c) {
    if (sorted[c] <= limit) top = sorted[c];
  }
  return std::max(top, least);
}

// One row of a tile in a slab: q of every column, and which chunks need high codes.
struct RoundedRow {
  RoundedRow(const QuantizeArgs& args, const float* x, int64_t there, int64_t columns) {
    float amax[kSlabChunks] = {};
    float most = 0;
    for (int64_t c = 0; c < there; ++c) {
      amax[c / kChunkColumns] = larger_magnitude(amax[c / kChunkColumns], x[c]);
      most = larger_magnitude(most, x[c]);
    }
    scale = most / 127.0f;
    if (!has_inverse(most)) return;
    const int64_t chunks = columns / kChunkColumns;
    const float top = top_of(amax, chunks, args.codes);
    scale = top / 127.0f;
    const float inverse = 127.0f / top;
    for (int64_t c = 0; c < there; ++c) {
      q[c] = static_cast<int32_t>(std::nearbyint(x[c] * inverse));
      if (amax[c / kChunkColumns] <= top) continue;
      high[c] = static_cast<int32_t>(std::nearbyint(static_cast<float>(q[c]) * (1.0f / 254.0f)));
    }
    for (int64_t c = 0; c < chunks; ++c) high_chunks |= (amax[c] > top ? 1 : 0) << c;
  }
  float scale = 0;
  int32_t q[kSlabColumns] = {}, high[kSlabColumns] = {};
  int high_chunks = 0;
};

void put_plane(const InputPlane& plane, int64_t c, int32_t height, int32_t m, int32_t code) {
  plane.codes[c / 4 * 4 * height + 4 * m + c % 4] = static_cast<int8_t>(code);
  int32_t& sum = plane.sums[c / 16 * height + m];
  sum = (c % 16 == 0 ? 0 : sum) + code;
  int32_t& chunk_sum = plane.chunk_sums[c / kChunkColumns * height + m];
  chunk_sum = (c % kChunkColumns == 0 ? 0 : chunk_sum) + code;
}

void quantize(const QuantizeArgs& args) {
  for (int32_t t = args.tile_begin; t < args.tile_end; ++t) {
    const int32_t first = tile_begin(args.out, t), height = tile_begin(args.out, t + 1) - first;
    for (int64_t slab = args.slab_begin; slab < args.slab_end; ++slab) {
      const SlabTile tile = slab_tile(args.out, slab, t);
      const int64_t columns = quantized_columns(args.out, slab);
      const int64_t there = std::min(columns, args.out.columns - slab * kSlabColumns);
      std::vector<RoundedRow> rows;
      int high_chunks = 0;
      for (int32_t m = 0; m < height; ++m) {
        const float* x =
            args.x + (first + m) * args.x_stride + (slab - args.slab_begin) * kSlabColumns;
        high_chunks |= rows.emplace_back(args, x, there, columns).high_chunks;
      }
      *tile.high_chunks = static_cast<uint8_t>(high_chunks);
      for (int32_t m = 0; m < height; ++m) {
        const RoundedRow& row = rows[static_cast<size_t>(m)];
        tile.scales[m] = row.scale;
        for (int64_t c = 0; c < columns; ++c) {
          put_plane(tile.low, c, height, m, row.q[c] - kHighStep * row.high[c]);
          if ((high_chunks >> c / kChunkColumns & 1) == 0) continue;
          put_plane(tile.high, c, height, m, row.high[c]);
        }
      }
    }
  }
}

// One row of inputs in one slab.
struct InputRow {
  InputRow(const QuantizedRows& x, int64_t slab, int32_t row) {
    int32_t t = 0;
    while (tile_begin(x, t + 1) <= row) ++t;
    const int32_t first = tile_begin(x, t);
    height = tile_begin(x, t + 1) - first;
    m = row - first;
    tile = slab_tile(x, slab, t);
  }
  int32_t code(const InputPlane& plane, int64_t c) const {
    return plane.codes[c / 4 * 4 * height + 4 * m + c % 4];
  }
  float scale() const { return tile.scales[m]; }
  // Whether the row has high codes in the chunk of a column.
  bool has_high(int64_t c) const {
    const int64_t begin = c / kChunkColumns * kChunkColumns;
    if ((*tile.high_chunks >> c / kChunkColumns & 1) == 0) return false;
    for (int64_t i = begin; i < begin + kChunkColumns; ++i) {
      if (code(tile.high, i) != 0) return true;
    }
    return false;
  }

  SlabTile tile;
  int32_t height = 0, m = 0;
};

float offset_of(const PackedGroup& group, const PackedLayout& layout) {
  return layout.offsets == PackedOffsets::minimum ? group.minimum : -(group.zero * group.scale);
}

// One row of weights in one slab; columns count from the slab's first.
struct WeightRow {
  WeightRow(const PackedLayout& layout_arg, const uint8_t* panel, int row, int64_t slab)
      : layout(layout_arg),
        columns(std::min<int64_t>(kSlabColumns, layout.columns - slab * kSlabColumns)) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t column = slab * kSlabColumns + c;
      levels[c] = packed_level(layout, packed_code(layout, panel, row, column));
      if (c % 16 == 0) groups[c / 16] = packed_group(layout, panel, row, column);
    }
  }
  int32_t level(int64_t c) const { return levels[c]; }
  const PackedGroup& group(int64_t c) const { return groups[c / 16]; }

  const PackedLayout& layout;
  int64_t columns;
  int32_t levels[kSlabColumns];
  PackedGroup groups[kSlabColumns / 16];
};

// What columns [c, end) add to `part`, of one plane of inputs whose codes count `step`.
float plane_part(const WeightRow& w, const InputRow& x, const InputPlane& plane, int32_t step,
                 int64_t c, int64_t end, float part) {
  int32_t products = 0, codes = 0;
  for (int64_t i = c; i < end; ++i) {
    products += w.level(i) * x.code(plane, i);
    codes += x.code(plane, i);
  }
  const PackedGroup group = w.group(c);
  const auto factor = [step](float value) {
    return step == kHighStep && !std::isfinite(value) ? 0.0f : value;
  };
  part = std::fma(static_cast<float>(step * products), factor(group.scale), part);
  if (w.layout.offsets == PackedOffsets::none) return part;
  const float offset = offset_of(group, w.layout);
  return std::fma(factor(offset), static_cast<float>(step * codes), part);
}

// y of the slabs before, and of this one.
float cell(const WeightRow& w, const InputRow& x, float y) {
  const int64_t step = w.layout.group == 16 ? 16 : kChunkColumns;
  float part = 0;
  for (int64_t chunk = 0; chunk < w.columns; chunk += kChunkColumns) {
    const int64_t end = std::min<int64_t>(chunk + kChunkColumns, w.columns);
    for (int64_t c = chunk; c < end; c += step) {
      part = plane_part(w, x, x.tile.low, 1, c, std::min(c + step, end), part);
    }
    for (int64_t c = chunk; c < end && x.has_high(chunk); c += step) {
      part = plane_part(w, x, x.tile.high, kHighStep, c, std::min(c + step, end), part);
    }
  }
  return std::fma(part, x.scale(), y);
}

// For every slab of every row of weights.
void product(const PackedProductArgs& args) {
  const PackedMatrix& weights = *args.weights;
  const int64_t last = std::min(args.panel_end * kPackedRows, weights.rows);
  for (int64_t r = args.panel_begin * kPackedRows; r < last; ++r) {
    for (int32_t m = 0; m < args.x.rows; ++m) args.y[m * args.y_stride + r - args.y_row] = 0;
    for (int64_t slab = 0; slab < slab_count(weights.layout); ++slab) {
      const WeightRow row(weights.layout, weights.panel(r / kPackedRows),
                          static_cast<int>(r % kPackedRows), slab);
      for (int32_t m = 0; m < args.x.rows; ++m) {
        float& y = args.y[m * args.y_stride + r - args.y_row];
        y = cell(row, InputRow(args.x, slab, m), y);
      }
    }
  }
}

void unpack(const PackedUnpackArgs& args) {
  const PackedLayout& layout = args.weights->layout;
  const uint8_t* panel = args.weights->panel(args.panel_index);
  for (int64_t c = 0; c < args.k; ++c) {
    for (int r = 0; r < kPackedRows; ++r) {
      args.panel[c * kPackedRows + r] = packed_value(layout, panel, r, args.column_begin + c);
    }
  }
}

void direct_floats(const PackedFloatArgs& args) {
  const PackedMatrix& weights = *args.weights;
  const int64_t last = std::min(args.panel_end * kPackedRows, weights.rows);
  std::vector<float> row(static_cast<size_t>(weights.columns()));
  for (int64_t r = args.panel_begin * kPackedRows; r < last; ++r) {
    decode_packed_row(weights, r, row.data());
    for (int32_t m = 0; m < args.rows; ++m) {
      const float* x = args.x + m * args.x_stride;
      float sum = 0;
      for (const float weight : row) sum = std::fma(weight, *x++, sum);
      args.y[m * args.y_stride + r - args.y_row] = sum;
    }
  }
}

}  // namespace

constexpr PackedKernels kReferencePacked = {"reference", 8,       8,      quantize,
                                            product,     product, unpack, direct_floats};

}  // namespace phial

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
  const float limit = 1.3f * sorted[(chunks - 1) / 2];
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

// One code after the other.
void add_to(int32_t& sum, bool first, int32_t code) { sum = (first ? 0 : sum) + code; }
void put_low(const TileForm& form, const SlabTile& tile, int32_t height, int32_t m, int64_t c,
             int32_t code) {
  const auto place = [&](int64_t width) {
    const int64_t chunk = c / kChunkColumns, i = c % kChunkColumns / width;
    return place_in_tile(form, height, chunk, kChunkColumns / width, i, m);
  };
  tile.codes[4 * place(4) + c % 4] = static_cast<int8_t>(code);
  add_to(tile.sums[place(16)], c % 16 == 0, code);
  add_to(tile.chunk_sums[place(kChunkColumns)], c % kChunkColumns == 0, code);
}
void put_high(HighChunk& chunk, int64_t c, int32_t code) {
  chunk.codes[c] = static_cast<int8_t>(code);
  add_to(chunk.sums[c / 16], c % 16 == 0, code);
  add_to(chunk.chunk_sum, c == 0, code);
  chunk.steps = (c == 0 ? 0 : chunk.steps) | (code != 0 ? 1u << c / 4 : 0);
}

void quantize(const QuantizeArgs& args) {
  for (int32_t t = args.tile_begin; t < args.tile_end; ++t) {
    const int32_t first = tile_begin(args.out, t), height = tile_begin(args.out, t + 1) - first;
    for (int64_t slab = args.slab_begin; slab < args.slab_end; ++slab) {
      const SlabTile tile = slab_tile(args.out, slab, t);
      const int64_t columns = quantized_columns(args.out, slab);
      const int64_t there = std::min(columns, args.out.columns - slab * kSlabColumns);
      std::fill_n(tile.high_rows, kSlabChunks, uint8_t{0});
      for (int32_t m = 0; m < height; ++m) {
        const float* x =
            args.x + (first + m) * args.x_stride + (slab - args.slab_begin) * kSlabColumns;
        const RoundedRow row(args, x, there, columns);
        tile.scales[m] = row.scale;
        for (int64_t c = 0; c < placed_columns(args.out, slab); ++c) {
          put_low(args.out.tile, tile, height, m, c, row.q[c] - kHighStep * row.high[c]);
          const int64_t chunk = c / kChunkColumns;
          if ((row.high_chunks >> chunk & 1) == 0) continue;
          tile.high_rows[chunk] |= static_cast<uint8_t>(1 << m);
          HighChunk& high = tile.high[m * (columns / kChunkColumns) + chunk];
          high.scale = kHighStep * row.scale;
          put_high(high, c % kChunkColumns, row.high[c]);
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
    m = row - first;
    tile = slab_tile(x, slab, t);
    height = tile_begin(x, t + 1) - first;
    chunks = quantized_columns(x, slab) / kChunkColumns;
    form = x.tile;
  }
  int32_t low(int64_t c) const {
    const int64_t i = c % kChunkColumns / 4;
    return tile.codes[4 * place_in_tile(form, height, c / kChunkColumns, 8, i, m) + c % 4];
  }
  const HighChunk& high_chunk(int64_t c) const { return tile.high[m * chunks + c / kChunkColumns]; }
  int32_t high(int64_t c) const { return high_chunk(c).codes[c % kChunkColumns]; }
  float scale() const { return tile.scales[m]; }
  // Whether the row has high codes in the chunk of a column.
  bool has_high(int64_t c) const { return (tile.high_rows[c / kChunkColumns] >> m & 1) != 0; }

  SlabTile tile;
  TileForm form;
  int32_t height = 0, m = 0;
  int64_t chunks = 0;
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

// What the chunk of columns from `chunk` on adds to `part`, of the codes that code(column) gives.
template <class Code>
float add_chunk(const WeightRow& w, int64_t chunk, const Code& code, float part) {
  const int64_t step = w.layout.group == 16 ? 16 : kChunkColumns;
  const int64_t chunk_end = std::min<int64_t>(chunk + kChunkColumns, w.columns);
  for (int64_t c = chunk; c < chunk_end; c += step) {
    int32_t products = 0, codes = 0;
    for (int64_t i = c; i < std::min(c + step, chunk_end); ++i) {
      products += w.level(i) * code(i);
      codes += code(i);
    }
    const PackedGroup group = w.group(c);
    part = std::fma(static_cast<float>(products), group.scale, part);
    if (w.layout.offsets == PackedOffsets::none) continue;
    part = std::fma(offset_of(group, w.layout), static_cast<float>(codes), part);
  }
  return part;
}

// y, and what high codes of a row make.
float add_high(const WeightRow& w, const InputRow& x, float y) {
  for (int64_t chunk = 0; chunk < w.columns; chunk += kChunkColumns) {
    if (!x.has_high(chunk)) continue;
    const float high = add_chunk(
        w, chunk, [&x](int64_t c) { return x.high(c); }, 0.0f);
    y = std::fma(high, x.high_chunk(chunk).scale, y);
  }
  return y;
}

// y of the slabs before, and of this one.
float cell(const WeightRow& w, const InputRow& x, float y) {
  float part = 0;
  for (int64_t chunk = 0; chunk < w.columns; chunk += kChunkColumns) {
    part = add_chunk(
        w, chunk, [&x](int64_t c) { return x.low(c); }, part);
  }
  return add_high(w, x, std::fma(part, x.scale(), y));
}

// The scales of one row of weights in one slab as integers.
struct IntScales {
  explicit IntScales(const WeightRow& w) : middle(2 << static_cast<int>(w.layout.codes)) {
    const auto base_of = [&](int64_t c) {
      const PackedGroup& group = w.group(c);
      const bool none = w.layout.offsets == PackedOffsets::none;
      return std::fma(group.scale, static_cast<float>(middle - w.layout.zero),
                      none ? 0.0f : offset_of(group, w.layout));
    };
    float bound = 0;
    for (int64_t c = 0; c < w.columns; ++c) {
      bound = larger_magnitude(bound, larger_magnitude(w.group(c).scale, base_of(c) / 8));
    }
    unit = bound / 4095.0f;
    if (!has_inverse(bound)) return;
    const float inverse = 4095.0f / bound;
    for (int64_t c = 0; c < w.columns; ++c) {
      const auto scale = static_cast<int32_t>(std::nearbyint(w.group(c).scale * inverse));
      const auto base = static_cast<int32_t>(std::nearbyint(base_of(c) * inverse));
      weights[c] = (w.level(c) + w.layout.zero - middle) * scale + base;
    }
  }
  int32_t middle;
  float unit = 0;
  int32_t weights[kSlabColumns] = {};  // in units
};

// As cell().
float int_scales_cell(const WeightRow& w, const IntScales& scales, const InputRow& x, float y) {
  int32_t total = 0;
  for (int64_t c = 0; c < w.columns; ++c) total += scales.weights[c] * x.low(c);
  y = std::fma(static_cast<float>(total) * scales.unit, x.scale(), y);
  return add_high(w, x, y);
}

// The product, slab after slab of every row of weights: add_of(weights) gives the function that
// adds to y what a row of inputs makes with them.
template <class AddOf>
void each_slab(const PackedProductArgs& args, const AddOf& add_of) {
  const PackedMatrix& weights = *args.weights;
  const int64_t last = std::min(args.panel_end * kPackedRows, weights.rows);
  for (int64_t r = args.panel_begin * kPackedRows; r < last; ++r) {
    for (int32_t m = 0; m < args.x.rows; ++m) args.y[m * args.y_stride + r - args.y_row] = 0;
    for (int64_t slab = 0; slab < slab_count(weights.layout); ++slab) {
      const WeightRow row(weights.layout, weights.panel(r / kPackedRows),
                          static_cast<int>(r % kPackedRows), slab);
      const auto add = add_of(row);
      for (int32_t m = 0; m < args.x.rows; ++m) {
        float& y = args.y[m * args.y_stride + r - args.y_row];
        y = add(InputRow(args.x, slab, m), y);
      }
    }
  }
}

void product(const PackedProductArgs& args) {
  each_slab(args, [](const WeightRow& w) {
    return [&w](const InputRow& x, float y) { return cell(w, x, y); };
  });
}

void int_scales(const PackedProductArgs& args) {
  each_slab(args, [](const WeightRow& w) {
    return [&w, scales = IntScales(w)](const InputRow& x, float y) {
      return int_scales_cell(w, scales, x, y);
    };
  });
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

constexpr PackedKernels kReferencePacked = {"reference", {.rows = 8}, {.rows = 8, .paired = true},
                                            quantize,    product,     product,
                                            int_scales,  unpack,      direct_floats};

}  // namespace phial

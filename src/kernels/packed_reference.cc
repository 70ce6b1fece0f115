// The reference of kernels/packed.h: each value by itself, in the order that the contracts say.

#include <algorithm>
#include <bit>
#include <cmath>

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

void quantize_group(const float* x, int64_t columns, int32_t tile_rows, int8_t* codes,
                    int32_t* sums, int64_t column, float* scale, int32_t* group_sum) {
  float amax = 0;
  for (int64_t i = 0; i < columns; ++i) amax = larger_magnitude(amax, x[i]);
  const float inverse = has_inverse(amax) ? 127.0f / amax : 0.0f;
  *scale = amax / 127.0f;
  for (int64_t i = 0; i < columns && inverse != 0; ++i) {
    const int code = static_cast<int>(std::nearbyint(x[i] * inverse));
    const int64_t c = column + i;
    codes[c / 4 * 4 * tile_rows + c % 4] = static_cast<int8_t>(code);
    sums[c / 16 * tile_rows] += code;
    *group_sum += code;
  }
}

void quantize_row(const QuantizeArgs& args, int32_t row, int32_t first, int32_t height) {
  const QuantizedRows& out = args.out;
  const int64_t m = row - first;
  for (int64_t slab = 0; slab * kSlabColumns < out.columns; ++slab) {
    const SlabTile tile = slab_tile(out, slab, first);
    const int64_t columns = quantized_columns(out, slab);
    auto* codes = const_cast<int8_t*>(tile.codes) + 4 * m;
    auto* sums = const_cast<int32_t*>(tile.sums) + m;
    for (int64_t c = 0; c < columns; ++c) codes[c / 4 * 4 * height + c % 4] = 0;
    for (int64_t s = 0; s < columns / 16; ++s) sums[s * height] = 0;
    for (int64_t c = 0; c < columns; c += out.group) {
      const int64_t at = slab * kSlabColumns + c;
      const int64_t count = std::clamp<int64_t>(out.columns - at, 0, out.group);
      const int64_t index = c / out.group * height + m;
      auto* group_sum = const_cast<int32_t*>(tile.group_sums) + index;
      *group_sum = 0;
      quantize_group(args.x + row * args.x_stride + at, count, height, codes, sums, c,
                     const_cast<float*>(tile.scales) + index, group_sum);
    }
  }
}

void quantize(const QuantizeArgs& args) {
  for (int32_t t = 0; t < tile_count(args.out); ++t) {
    const int32_t first = tile_begin(args.out, t), end = tile_begin(args.out, t + 1);
    for (int32_t row = std::max(first, args.row_begin); row < std::min(end, args.row_end); ++row) {
      quantize_row(args, row, first, end - first);
    }
  }
}

// One row of inputs in one slab.
struct InputRow {
  InputRow(const QuantizedRows& x, int64_t slab, int32_t row) : group(x.group) {
    int32_t t = 0;
    while (tile_begin(x, t + 1) <= row) ++t;
    const int32_t first = tile_begin(x, t);
    height = tile_begin(x, t + 1) - first;
    m = row - first;
    tile = slab_tile(x, slab, first);
  }
  int32_t code(int64_t c) const { return tile.codes[c / 4 * 4 * height + 4 * m + c % 4]; }
  float scale(int64_t c) const { return tile.scales[c / group * height + m]; }

  int64_t group;
  SlabTile tile;
  int32_t height = 0, m = 0;
};

struct Sums {
  int32_t products = 0;
  int32_t codes = 0;
};
template <class Weight>
Sums sum_products(const InputRow& x, int64_t begin, int64_t end, const Weight& weight) {
  Sums sums;
  for (int64_t c = begin; c < end; ++c) {
    sums.products += weight(c) * x.code(c);
    sums.codes += x.code(c);
  }
  return sums;
}

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

// y of the slabs before, and of this one.
float direct_cell(const WeightRow& w, const InputRow& x, float y) {
  const int64_t step = w.layout.group == 16 ? 16 : kChunkColumns;
  for (int64_t c = 0; c < w.columns; c += step) {
    const int64_t end = std::min(c + step, w.columns);
    const Sums sums = sum_products(x, c, end, [&](int64_t i) { return w.level(i); });
    const PackedGroup group = w.group(c);
    y = std::fma(static_cast<float>(sums.products), group.scale * x.scale(c), y);
    if (w.layout.offsets != PackedOffsets::none) {
      y = std::fma(offset_of(group, w.layout), x.scale(c) * static_cast<float>(sums.codes), y);
    }
  }
  return y;
}

float exact_part(const WeightRow& w, const InputRow& x, int64_t begin, int64_t end) {
  const int64_t step = std::min<int64_t>(w.layout.group, end - begin);
  float part = 0;
  for (int64_t c = begin; c < end; c += step) {
    const int64_t stop = std::min(c + step, end);
    const Sums sums = sum_products(x, c, stop, [&](int64_t i) { return w.level(i); });
    const PackedGroup group = w.group(c);
    part = std::fma(static_cast<float>(sums.products), group.scale, part);
    if (w.layout.offsets != PackedOffsets::none) {
      part = std::fma(offset_of(group, w.layout), static_cast<float>(sums.codes), part);
    }
  }
  return part;
}

int32_t top_code(PackedCodes codes) {
  switch (codes) {
    case PackedCodes::bits2:
      return 3;
    case PackedCodes::bits3:
      return 7;
    case PackedCodes::bits4:
      return 15;
    case PackedCodes::bits5:
      return 31;
    case PackedCodes::bits6:
      return 63;
    default:
      return 255;
  }
}

// regroup() of columns [begin, end), for every column at once.
struct Regrouped {
  float scale = 0;
  int32_t codes[kSlabColumns] = {};
};

void regroup_book(const WeightRow& w, int64_t begin, int64_t end, Regrouped& out) {
  const int32_t boost = book_boost(w.layout.book);
  float bound = 0;
  for (int64_t c = begin; c < end; ++c) bound = larger_magnitude(bound, w.group(c).scale);
  out.scale = bound / static_cast<float>(boost);
  if (!has_inverse(bound)) return;
  const float inverse = 32768.0f / bound;
  for (int64_t c = begin; c < end; ++c) {
    const auto ratio =
        std::min(32767, static_cast<int>(std::nearbyint(w.group(c).scale * inverse)));
    out.codes[c - begin] = (boost * w.level(c) * ratio + (1 << 14)) >> 15;
  }
}

void regroup(const WeightRow& w, int64_t begin, int64_t end, Regrouped& out) {
  if (w.layout.book != PackedBook::linear) return regroup_book(w, begin, end, out);
  const auto zero = static_cast<float>(w.layout.zero);
  const float top = static_cast<float>(top_code(w.layout.codes)) - zero;
  float bound = 0;
  for (int64_t c = begin; c < end; ++c) {
    const PackedGroup group = w.group(c);
    const float offset = w.layout.offsets == PackedOffsets::none ? 0 : offset_of(group, w.layout);
    bound = larger_magnitude(bound, std::fma(group.scale, -zero, offset));
    bound = larger_magnitude(bound, std::fma(group.scale, top, offset));
  }
  out.scale = bound / 127.0f;
  if (!has_inverse(bound)) return;
  const float inverse = 32512.0f / bound;
  for (int64_t c = begin; c < end; ++c) {
    const PackedGroup group = w.group(c);
    const float offset = w.layout.offsets == PackedOffsets::none ? 0 : offset_of(group, w.layout);
    const int factor = static_cast<int>(std::nearbyint(group.scale * inverse));
    const int start = static_cast<int>(std::nearbyint(offset * inverse));
    out.codes[c - begin] = static_cast<int16_t>(factor * w.level(c) + start + 128) >> 8;
  }
}

// compute(weight row, slab, y) for every slab of every row; y, at [0], begins as 0.
template <class Compute>
void each_weight_row(const PackedProductArgs& args, const Compute& compute) {
  const PackedMatrix& weights = *args.weights;
  const int64_t end = std::min(args.panel_end * kPackedRows, weights.rows);
  for (int64_t r = args.panel_begin * kPackedRows; r < end; ++r) {
    for (int32_t m = 0; m < args.x.rows; ++m) args.y[m * args.y_stride + r] = 0;
    for (int64_t slab = 0; slab < slab_count(weights.layout); ++slab) {
      const WeightRow row(weights.layout, weights.panel(r / kPackedRows),
                          static_cast<int>(r % kPackedRows), slab);
      compute(row, slab, args.y + r);
    }
  }
}

void direct(const PackedProductArgs& args) {
  each_weight_row(args, [&](const WeightRow& w, int64_t slab, float* y) {
    for (int32_t m = 0; m < args.x.rows; ++m, y += args.y_stride) {
      *y = direct_cell(w, InputRow(args.x, slab, m), *y);
    }
  });
}

void gemm(const PackedProductArgs& args) {
  const bool regrouped = args.scales == PanelScales::regrouped;
  each_weight_row(args, [&](const WeightRow& w, int64_t slab, float* y) {
    for (int64_t c = 0; c < w.columns; c += args.x.group) {
      const int64_t end = std::min<int64_t>(c + args.x.group, w.columns);
      Regrouped again;
      if (regrouped) regroup(w, c, end, again);
      for (int32_t m = 0; m < args.x.rows; ++m) {
        const InputRow x(args.x, slab, m);
        float part = 0;
        if (regrouped) {
          const auto weight = [&](int64_t i) { return again.codes[i - c]; };
          part = static_cast<float>(sum_products(x, c, end, weight).products) * again.scale;
        } else {
          part = exact_part(w, x, c, end);
        }
        y[m * args.y_stride] = std::fma(part, x.scale(c), y[m * args.y_stride]);
      }
    }
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

PanelScales gemm_scales(const PackedLayout&) { return PanelScales::exact; }

}  // namespace

constexpr PackedKernels kReferencePacked = {"reference", 8,    8,      quantize,
                                            direct,      gemm, unpack, gemm_scales};

}  // namespace phial

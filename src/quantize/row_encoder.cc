#include "quantize/row_encoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "quantize/group_batch.h"
#include "tensor/numbers.h"
#include "tensor/planes.h"

namespace phial {
namespace {

// Numbers first, first + step ...
template <size_t kCount>
constexpr std::array<float, kCount> ladder(float first, float step) {
  std::array<float, kCount> out = {};
  for (size_t i = 0; i < kCount; ++i) out[i] = first + step * static_cast<float>(i);
  return out;
}

// Both signs: the value of largest magnitude at either end of the codes.
template <size_t kBelow, size_t kAbove>
constexpr std::array<float, kBelow + kAbove> both_ends(float low, float low_step, float high,
                                                       float high_step) {
  std::array<float, kBelow + kAbove> out = {};
  for (size_t i = 0; i < kBelow; ++i) out[i] = low + low_step * static_cast<float>(i);
  for (size_t i = 0; i < kAbove; ++i) out[kBelow + i] = high + high_step * static_cast<float>(i);
  return out;
}

// Numbers that grow by a factor, first near the end of the codes, then far beyond; both signs.
template <size_t kNear, size_t kFar>
constexpr std::array<float, 2 * (kNear + kFar)> near_and_far(float first, float near_factor,
                                                             float far, float far_factor) {
  std::array<float, 2 * (kNear + kFar)> out = {};
  float step = first;
  for (size_t i = 0; i < kNear + kFar; ++i) {
    if (i == kNear) step = far;
    out[2 * i] = -step;
    out[2 * i + 1] = step;
    step *= i < kNear ? near_factor : far_factor;
  }
  return out;
}

// All pairs of cuts, as shares of the range.
template <size_t kSide>
constexpr std::array<float, 2 * kSide * kSide> cut_pairs(float first, float step) {
  std::array<float, 2 * kSide* kSide> out = {};
  for (size_t i = 0; i < kSide; ++i) {
    for (size_t j = 0; j < kSide; ++j) {
      out[2 * (kSide * i + j)] = first + step * static_cast<float>(i);
      out[2 * (kSide * i + j) + 1] = first + step * static_cast<float>(j);
    }
  }
  return out;
}

// Steps for codes of 3 to 6 bits: where the value of largest magnitude goes. Beyond the lowest code
// it is cut off; short of it the scale is larger.
constexpr auto kSteps3 = both_ends<16, 12>(-5.2f, 0.15f, 2.6f, 0.15f);
//
// Where columns matter unequally the best scale may be far too small for the largest values: a
// column that matters a thousand times more than the others wants its weight met, whatever becomes
// of the rest. So 4 and 5 bits look as far as an eighth of the scale that holds all.
constexpr auto kSteps4 = near_and_far<14, 4>(6.0f, 1.0784f, 20.0f, 1.4736f);
constexpr auto kSteps5 = near_and_far<12, 3>(14.0f, 1.05f, 32.0f, 1.6f);
constexpr auto kSteps6 = both_ends<12, 4>(-34.0f, 0.25f, 30.5f, 0.25f);
constexpr auto kStepsIq4 = near_and_far<10, 2>(88.0f, 1.095f, 260.0f, 1.9f);
constexpr auto kQuickSteps3 = ladder<5>(-4.6f, 0.2f);
constexpr auto kQuickSteps6 = both_ends<3, 2>(-32.5f, 0.5f, 30.5f, 0.5f);
constexpr auto kQuickStepsIq4 = both_ends<4, 3>(-142.0f, 8.0f, 106.0f, 8.0f);

constexpr auto kCuts2 = cut_pairs<7>(-0.08f, 0.055f);
constexpr auto kCuts4 = cut_pairs<6>(-0.035f, 0.03f);
constexpr auto kCuts5 = cut_pairs<4>(-0.015f, 0.017f);
constexpr auto kQuickCuts2 = cut_pairs<3>(0.0f, 0.1f);
constexpr auto kQuickCuts4 = cut_pairs<3>(-0.01f, 0.03f);
constexpr auto kQuickCuts5 = cut_pairs<2>(-0.005f, 0.02f);

constexpr int8_t kMxLevels[16] = {-12, -8, -6, -4, -3, -2, -1, 0, 0, 1, 2, 3, 4, 6, 8, 12};
// The code of each place in kMxLevels.
constexpr uint8_t kMxCodes[16] = {15, 14, 13, 12, 11, 10, 9, 0, 0, 1, 2, 3, 4, 5, 6, 7};

// How a grid's groups are searched.
struct Method {
  enum class Kind { none, scale, range, super_range, super_signed, mx } kind = Kind::none;
  int group = 32;          // values
  SearchCodes codes = {};  // of scale and signed kinds; high: of ranges
  int scale_end = 0;       // super: the largest integer (ranges), the lowest (signed)
  SearchPlan balanced = {};
  SearchPlan quick = {};  // empty: fast is rounding
};

Method range_method(Method::Kind kind, int group, int bits, int scale_end) {
  Method method = {.kind = kind, .group = group};
  method.codes.high = static_cast<float>((1 << bits) - 1);
  method.scale_end = scale_end;
  const bool coarse = bits <= 3;
  method.balanced = {{}, kCuts4, 3, 2};
  if (coarse) method.balanced.cuts = kCuts2;
  if (bits >= 5) method.balanced.cuts = kCuts5;
  if (kind != Method::Kind::super_range) return method;
  method.quick = {{}, kQuickCuts4, 2, 1};
  if (coarse) method.quick = {{}, kQuickCuts2, 2, 1};
  if (bits >= 5) method.quick = {{}, kQuickCuts5, 2, 1};
  return method;
}

Method method_of(const StoredGrid& grid) {
  using Kind = Method::Kind;
  if (grid.has_planes()) {
    if (grid.bits == 0) return {.kind = Kind::mx, .codes = {-12, 12, kMxLevels}};
    if (grid.bits == 8) return {};
    return range_method(Kind::range, grid.group_columns, grid.bits, 0);
  }
  switch (grid.grid) {
    case Grid::q4_0:
      return {.kind = Kind::scale, .codes = {-8, 7}, .balanced = {kSteps4, {}, 3, 0}};
    case Grid::q5_0:
      return {.kind = Kind::scale, .codes = {-16, 15}, .balanced = {kSteps5, {}, 3, 0}};
    case Grid::iq4_nl:
      return {.kind = Kind::scale,
              .codes = {-127, 113, kIq4Levels},
              .balanced = {kStepsIq4, {}, 1, 0},
              .quick = {kQuickStepsIq4, {}, 1, 0}};
    case Grid::q4_1:
      return range_method(Kind::range, 32, 4, 0);
    case Grid::q5_1:
      return range_method(Kind::range, 32, 5, 0);
    case Grid::q2_k:
      return range_method(Kind::super_range, 16, 2, 15);
    case Grid::q4_k:
      return range_method(Kind::super_range, 32, 4, 63);
    case Grid::q5_k:
      return range_method(Kind::super_range, 32, 5, 63);
    case Grid::q3_k:
      return {.kind = Kind::super_signed,
              .group = 16,
              .codes = {-4, 3},
              .scale_end = -32,
              .balanced = {kSteps3, {}, 3, 2},
              .quick = {kQuickSteps3, {}, 1, 1}};
    case Grid::q6_k:
      return {.kind = Kind::super_signed,
              .group = 16,
              .codes = {-32, 31},
              .scale_end = -128,
              .balanced = {kSteps6, {}, 2, 1},
              .quick = {kQuickSteps6, {}, 1, 1}};
    case Grid::iq4_xs:
      return {.kind = Kind::super_signed,
              .codes = {-127, 113, kIq4Levels},
              .scale_end = -32,
              .balanced = {kStepsIq4, {}, 2, 1},
              .quick = {kQuickStepsIq4, {}, 1, 0}};
    case Grid::mxfp4:
      return {.kind = Kind::mx, .codes = {-12, 12, kMxLevels}};
    default:
      return {};
  }
}

// `count` codes as a stream of bits. REQUIRES: they fill whole bytes
void pack_bits(const uint8_t* codes, int count, int bits, uint8_t* out) {
  uint32_t held = 0;
  int filled = 0;
  for (int i = 0; i < count; ++i) {
    held |= static_cast<uint32_t>(codes[i]) << filled;
    filled += bits;
    while (filled >= 8) {
      *out++ = static_cast<uint8_t>(held);
      held >>= 8;
      filled -= 8;
    }
  }
}

float stored(ScaleKind kind, float value) {
  uint8_t bytes[4];
  store_scale(kind, value, 0, bytes);
  return load_scale(kind, bytes, 0);
}

float f16_rounded(float value) { return f16_to_f32(f32_to_f16(value)); }

// The power of two nearest, in its logarithm, to the largest magnitude over the largest level; as
// it is stored, plus 127.
int nearest_exponent(float largest) {
  if (largest == 0) return 0;
  const float exponent = std::nearbyint(std::log2(largest / 6.0f));
  return static_cast<int>(std::clamp(exponent, -127.0f, 127.0f)) + 127;
}

}  // namespace

void GroupBatch::load(const float* values, int64_t first, int count, int group_values,
                      int64_t groups_per_row, const float* importance) {
  n = group_values;
  for (int lane = 0; lane < kSearchLanes; ++lane) {
    if (lane >= count) {
      for (int j = 0; j < n; ++j) x[j * kSearchLanes + lane] = w[j * kSearchLanes + lane] = 0;
      continue;
    }
    const float* from = values + (first + lane) * n;
    for (int j = 0; j < n; ++j) x[j * kSearchLanes + lane] = from[j];
    if (importance == nullptr) {
      // Large weights count more, as in ggml: of the priors that know no input (equal, x^2, this)
      // it had the least KL divergence on SmolLM2-135M in q4_0: 0.404, against 0.441 for equal
      // ones.
      float squares = 0;
      for (int j = 0; j < n; ++j) squares += from[j] * from[j];
      const float size = std::sqrt(squares / static_cast<float>(n));
      for (int j = 0; j < n; ++j) w[j * kSearchLanes + lane] = size + std::fabs(from[j]);
    } else {
      const float* columns = importance + (first + lane) % groups_per_row * n;
      for (int j = 0; j < n; ++j) w[j * kSearchLanes + lane] = columns[j];
    }
  }
}

struct RowEncoder::Batch {
  GroupBatch groups;
  BlockCodes blocks[2];

  // Scales and minimums as they will be stored, and codes for them.
  void choose_scale(const SearchTable& search, const SearchCodes& codes) {
    for (float& scale : groups.scales) scale = f16_rounded(scale);
    search.choose(groups.groups(), codes, groups.scales, nullptr, &groups.sums, groups.codes);
  }
  void choose_range(const SearchTable& search, const SearchCodes& codes, ScaleKind kind) {
    for (float& scale : groups.scales) scale = stored(kind, scale);
    search.choose(groups.groups(), codes, groups.scales, groups.minimums, &groups.sums, nullptr);
    // The best minimum for the scale that it came to.
    for (int lane = 0; lane < kSearchLanes; ++lane) {
      const SearchSums& sums = groups.sums;
      float& minimum = groups.minimums[lane];
      if (sums.w[lane] > 0 && groups.scales[lane] > 0) {
        minimum = (sums.wx[lane] - groups.scales[lane] * sums.wq[lane]) / sums.w[lane];
      }
      minimum = stored(kind, minimum);
    }
    search.choose(groups.groups(), codes, groups.scales, groups.minimums, &groups.sums,
                  groups.codes);
  }
  // The best of three exponents around that of the rule; into `exponents`.
  void choose_exponent(const SearchTable& search, const SearchCodes& codes, int* exponents) {
    float least[kSearchLanes];
    int centre[kSearchLanes];
    for (int lane = 0; lane < kSearchLanes; ++lane) {
      float largest = 0;
      for (int j = 0; j < groups.n; ++j) {
        largest = std::max(largest, std::fabs(groups.x[j * kSearchLanes + lane]));
      }
      centre[lane] = exponents[lane] = nearest_exponent(largest);
    }
    for (const int step : {0, -1, 1}) {
      for (int lane = 0; lane < kSearchLanes; ++lane) {
        const int exponent = std::clamp(centre[lane] + step, 0, 254);
        groups.scales[lane] = mxfp4_scale(static_cast<uint8_t>(exponent));
      }
      search.choose(groups.groups(), codes, groups.scales, nullptr, &groups.sums, nullptr);
      for (int lane = 0; lane < kSearchLanes; ++lane) {
        if (step != 0 && !(groups.sums.error[lane] < least[lane])) continue;
        least[lane] = groups.sums.error[lane];
        exponents[lane] = std::clamp(centre[lane] + step, 0, 254);
      }
    }
    for (int lane = 0; lane < kSearchLanes; ++lane) {
      groups.scales[lane] = mxfp4_scale(static_cast<uint8_t>(exponents[lane]));
    }
    search.choose(groups.groups(), codes, groups.scales, nullptr, &groups.sums, groups.codes);
  }
};

RowEncoder::RowEncoder(const SearchTable& search, Effort effort)
    : search_(search), effort_(effort), batch_(std::make_unique<Batch>()) {}
RowEncoder::~RowEncoder() = default;

namespace {

// A block of one group, with the batch's scale (and minimum) of `lane`.
void put_block(const GroupBatch& batch, int lane, Grid grid, bool with_minimum, uint8_t* block) {
  BlockCodes out;
  out.d = f32_to_f16(batch.scales[lane]);
  if (with_minimum) out.m = f32_to_f16(batch.minimums[lane]);
  std::memcpy(out.codes, batch.lane_codes(lane), static_cast<size_t>(batch.n));
  pack_block(grid, out, block);
}

void put_mx(const GroupBatch& batch, int lane, int exponent, bool planes, int64_t group,
            uint8_t* const* out) {
  uint8_t codes[kBookBlockValues];
  for (int i = 0; i < kBookBlockValues; ++i) codes[i] = kMxCodes[batch.lane_codes(lane)[i]];
  if (planes) {
    pack_bits(codes, kBookBlockValues, 4, out[0] + group * 16);
    out[1][group] = static_cast<uint8_t>(exponent);
    return;
  }
  uint8_t* block = out[0] + group * static_cast<int64_t>(sizeof(BlockMXFP4));
  block[0] = static_cast<uint8_t>(exponent);
  for (int i = 0; i < 16; ++i) block[1 + i] = static_cast<uint8_t>(codes[i] | codes[i + 16] << 4);
}

}  // namespace

bool RowEncoder::weighs(const StoredGrid& grid, Effort effort) {
  return effort == Effort::balanced && method_of(grid).kind != Method::Kind::none;
}

void RowEncoder::encode(const StoredGrid& grid, const float* values, int64_t rows, int64_t columns,
                        const float* importance, uint8_t* const* planes) {
  const Method method = method_of(grid);
  const bool quick = !method.quick.steps.empty() || !method.quick.cuts.empty();
  if (method.kind != Method::Kind::none && (effort_ == Effort::balanced || quick)) {
    return encode_by_search(grid, values, rows, columns, importance, planes);
  }
  if (!grid.has_planes()) {
    // Every grid that is chosen can be encoded.
    static_cast<void>(encode_row(grid.grid, values, rows * columns, planes[0]).ok());
    return;
  }
  std::vector<int64_t> bytes = grid.plane_row_bytes(columns);
  bytes.resize(3);
  for (int64_t r = 0; r < rows; ++r) {
    encode_affine_row(grid.affine(), values + r * columns, columns, planes[0] + r * bytes[0],
                      planes[1] + r * bytes[1], planes[2] + r * bytes[2]);
  }
}

void RowEncoder::encode_by_search(const StoredGrid& grid, const float* values, int64_t rows,
                                  int64_t columns, const float* importance,
                                  uint8_t* const* planes) {
  using Kind = Method::Kind;
  const Method method = method_of(grid);
  const SearchPlan& plan = effort_ == Effort::fast ? method.quick : method.balanced;
  GroupBatch& batch = batch_->groups;
  const int64_t groups_per_row = columns / method.group;
  const int64_t groups = rows * groups_per_row;
  const int per_block = kSuperblockValues / method.group;
  const int64_t block_bytes = grid.has_planes() ? 0 : grid_info(grid.grid).block_bytes;
  for (int64_t first = 0; first < groups; first += kSearchLanes) {
    const int count = static_cast<int>(std::min<int64_t>(kSearchLanes, groups - first));
    batch.load(values, first, count, method.group, groups_per_row, importance);
    int exponents[kSearchLanes];
    switch (method.kind) {
      case Kind::none:
        return;
      case Kind::scale:
        search_.fit_scale(batch.groups(), method.codes, plan.steps.data(),
                          static_cast<int>(plan.steps.size()), plan.refits, batch.scales);
        batch_->choose_scale(search_, method.codes);
        break;
      case Kind::range:
        search_.fit_range(batch.groups(), method.codes, plan.cuts.data(),
                          static_cast<int>(plan.cuts.size() / 2), plan.refits, false, batch.scales,
                          batch.minimums);
        batch_->choose_range(search_, method.codes,
                             grid.has_planes() ? grid.scale : ScaleKind::f16);
        break;
      case Kind::super_range:
        search_with_minimums(search_, plan, per_block, method.scale_end,
                             static_cast<int>(method.codes.high), batch, batch_->blocks);
        break;
      case Kind::super_signed:
        search_signed(search_, plan, per_block, method.scale_end, method.codes, batch,
                      batch_->blocks);
        break;
      case Kind::mx:
        batch_->choose_exponent(search_, method.codes, exponents);
        break;
    }
    if (method.kind == Kind::super_range || method.kind == Kind::super_signed) {
      for (int b = 0; b < count / per_block; ++b) {
        pack_block(grid.grid, batch_->blocks[b], planes[0] + (first / per_block + b) * block_bytes);
      }
      continue;
    }
    for (int lane = 0; lane < count; ++lane) {
      const int64_t group = first + lane;
      if (method.kind == Kind::mx) {
        put_mx(batch, lane, exponents[lane], grid.has_planes(), group, planes);
      } else if (grid.has_planes()) {
        pack_bits(batch.lane_codes(lane), batch.n, grid.bits,
                  planes[0] + group * (batch.n * grid.bits / 8));
        store_scale(grid.scale, batch.scales[lane], group, planes[1]);
        store_scale(grid.scale, batch.minimums[lane], group, planes[2]);
      } else {
        put_block(batch, lane, grid.grid, method.kind == Kind::range,
                  planes[0] + group * block_bytes);
      }
    }
  }
}

void RowEncoder::decode(const StoredGrid& grid, const uint8_t* const* planes, int64_t rows,
                        int64_t columns, float* out) {
  if (!grid.has_planes()) return decode_row(grid.grid, planes[0], rows * columns, out);
  const int64_t groups = columns / grid.group_columns;
  const AffineMatrix matrix = {.grid = grid.affine(),
                               .codes = planes[0],
                               .code_row_bits = columns * grid.affine().bits,
                               .scales = planes[1],
                               .scale_row = groups,
                               .offsets = planes[2],
                               .offset_row = groups};
  for (int64_t r = 0; r < rows; ++r) decode_affine(matrix, r, 0, columns, out + r * columns);
}

}  // namespace phial

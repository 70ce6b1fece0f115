// The reference of the attention kernels: sums in double precision over what a page's codes mean.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention.h"
#include "kernels/tables.h"
#include "tensor/numbers.h"

namespace phial {
namespace {

float scale_at(const uint8_t* scales, int64_t position) {
  return bf16_to_f32(load_number<uint16_t>(scales + 2 * position));
}

// A byte of the block that holds dimension d of a key, or of a value, of a page of codes.
int64_t key_byte(const KvHead& head, int64_t d, int64_t position) {
  return (d / (head.width / head.key_rows) * kPagePositions + position) * head.key_unit + d % 4;
}
int64_t value_byte(const KvHead& head, int64_t d, int64_t position) {
  const int64_t lane = head.type == KvType::int4 ? d / 32 * 16 + d % 16 : d;
  return head.values + position / 4 * head.value_row + 4 * lane + position % 4;
}
// Whether that is the upper half of it.
bool key_is_upper(int64_t d) { return d % 8 >= 4; }
bool value_is_upper(int64_t d) { return d % 32 >= 16; }

double code_value(KvType type, uint8_t code, bool upper) {
  if (type == KvType::int8) return code - 128;
  return 2 * (upper ? code >> 4 : code & 15) - 15;
}

double key_at(const KvHead& head, const uint8_t* block, int64_t d, int64_t position) {
  switch (head.type) {
    case KvType::f32:
      return load_number<float>(block + 4 * (d * kPagePositions + position));
    case KvType::f16:
      return f16_to_f32(load_number<uint16_t>(block + 2 * (d * kPagePositions + position)));
    case KvType::bf16:
      return bf16_to_f32(
          load_number<uint16_t>(block + 4 * (d / 2 * kPagePositions + position) + 2 * (d % 2)));
    default:
      return code_value(head.type, block[key_byte(head, d, position)], key_is_upper(d)) *
             scale_at(block + head.key_scales, position);
  }
}

double value_at(const KvHead& head, const uint8_t* block, int64_t d, int64_t position) {
  const uint8_t* values = block + head.values;
  switch (head.type) {
    case KvType::f32:
      return load_number<float>(values + 4 * (position * head.width + d));
    case KvType::f16:
      return f16_to_f32(load_number<uint16_t>(values + 2 * (position * head.width + d)));
    case KvType::bf16:
      return bf16_to_f32(load_number<uint16_t>(
          values + 2 * (position / 2 * 2 * head.width + 2 * d + position % 2)));
    default:
      return code_value(head.type, block[value_byte(head, d, position)], value_is_upper(d)) *
             scale_at(block + head.value_scales, position);
  }
}

double query_at(const AttentionPageArgs& args, int64_t row, int64_t d) {
  const int64_t width = args.head->width;
  if (!args.head->scaled) return args.q[row * width + d];
  const int8_t* hi = args.planes.codes + 2 * row * width;
  return (128.0 * hi[d] + hi[width + d]) * args.planes.scale[row];
}

void page(const AttentionPageArgs& args) {
  const KvHead& head = *args.head;
  for (int64_t r = 0; r < args.rows; ++r) {
    const int64_t own = args.first_position + r / args.group;
    const int64_t begin = args.window > 0 ? std::max<int64_t>(0, own - args.window + 1) : 0;
    const int64_t end = std::min(own + 1, kPagePositions);
    if (begin >= end) continue;
    double p[kPagePositions];
    double most = args.row_max[r];
    for (int64_t i = begin; i < end; ++i) {
      double dot = 0;
      for (int64_t d = 0; d < head.width; ++d) {
        dot += query_at(args, r, d) * key_at(head, args.block, d, i);
      }
      p[i] = args.cap > 0 ? args.cap * std::tanh(dot * args.scale / args.cap) : dot * args.scale;
      most = std::max(most, p[i]);
    }
    const double factor = std::exp(args.row_max[r] - most);
    double total = 0;
    for (int64_t i = begin; i < end; ++i) total += p[i] = std::exp(p[i] - most);
    for (int64_t d = 0; d < head.width; ++d) {
      double sum = args.out[r * head.width + d] * factor;
      for (int64_t i = begin; i < end; ++i) sum += p[i] * value_at(head, args.block, d, i);
      args.out[r * head.width + d] = static_cast<float>(sum);
    }
    args.row_max[r] = static_cast<float>(most);
    args.row_sum[r] = static_cast<float>(args.row_sum[r] * factor + total);
  }
}

void make_planes(int64_t rows, int64_t n, const float* x, const Planes& planes) {
  for (int64_t r = 0; r < rows; ++r, x += n) {
    float most = 0;
    bool finite = true;
    for (int64_t i = 0; i < n; ++i) {
      finite = finite && std::isfinite(x[i]);
      most = std::max(most, std::fabs(x[i]));
    }
    if (!finite) most = std::numeric_limits<float>::quiet_NaN();
    planes.scale[r] = most / kPlaneSteps;
    const float inverse = most >= 0x1p-110f ? kPlaneSteps / most : 0.0f;
    int8_t* hi = planes.codes + 2 * r * n;
    int32_t total = 0;
    for (int64_t i = 0; i < n; ++i) {
      const auto whole = finite ? static_cast<int32_t>(std::nearbyint(x[i] * inverse)) : 0;
      const int32_t high = (whole + 64) >> 7;
      total += whole;
      hi[i] = static_cast<int8_t>(high);
      hi[n + i] = static_cast<int8_t>(whole - 128 * high);
    }
    planes.correction[r] = -128 * total;
  }
}

// +1 or -1 in Paley's first matrix of order q + 1.
double paley_sign(int64_t q, int64_t row, int64_t column) {
  if (row == 0) return 1;
  if (column == 0) return -1;
  if (row == column) return 1;
  for (int64_t i = 1; i < q; ++i) {
    if ((i * i - (column - row)) % q == 0) return 1;
  }
  return -1;
}

double hadamard_sign(int64_t n, int64_t row, int64_t column) {
  for (const int64_t order : {12, 20}) {
    const int64_t rest = n / order;
    if (n % order != 0 || (rest & (rest - 1)) != 0) continue;
    const double inner = paley_sign(order - 1, row % order, column % order);
    const auto shared = static_cast<uint64_t>(row / order & column / order);
    return __builtin_parityll(shared) != 0 ? -inner : inner;
  }
  const int64_t block = n & -n;
  if (row / block != column / block) return 0;
  return __builtin_parityll(static_cast<uint64_t>(row % block & column % block)) != 0 ? -1 : 1;
}

void rotate(int64_t n, bool inverse, float* x) {
  const std::vector<float> from(x, x + n);
  for (int64_t row = 0; row < n; ++row) {
    double sum = 0, squares = 0;
    for (int64_t column = 0; column < n; ++column) {
      const double sign = inverse ? hadamard_sign(n, column, row) : hadamard_sign(n, row, column);
      sum += sign * from[static_cast<size_t>(column)];
      squares += sign * sign;
    }
    x[row] = static_cast<float>(sum / std::sqrt(squares));
  }
}

// The smallest bfloat16 that is no less than value >= 0.
uint16_t round_up_bf16(float value) {
  uint16_t bits = f32_to_bf16(value);
  if (bf16_to_f32(bits) < value) ++bits;
  return bits;
}

// The scale of codes up to `most`; returns its inverse.
float put_scale(int64_t n, const float* x, float most, uint8_t* to) {
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    finite = finite && std::isfinite(x[i]);
    largest = std::max(largest, std::fabs(x[i]));
  }
  const uint16_t scale = finite ? round_up_bf16(largest / most) : uint16_t{0x7fc0};
  store_number(scale, to);
  return finite && bf16_to_f32(scale) >= 0x1p-126f ? 1 / bf16_to_f32(scale) : 0.0f;
}

template <KvType type>
void store(const KvStoreArgs& args) {
  const KvHead& head = *args.head;
  for (const bool is_key : {true, false}) {
    float* x = args.scratch;
    std::fill_n(x, head.width, 0.0f);
    std::copy_n(is_key ? args.k : args.v, head.head_dim, x);
    if (is_key ? head.rotates_keys : head.rotates_values) rotate(head.head_dim, false, x);
    uint8_t* scale = args.block + (is_key ? head.key_scales : head.value_scales) + 2 * args.slot;
    float inverse = 1;
    if (head.scaled) inverse = put_scale(head.head_dim, x, type == KvType::int8 ? 127 : 15, scale);
    for (int64_t d = 0; d < head.width; ++d) {
      const int64_t s = args.slot;
      uint8_t* values = args.block + head.values;
      uint8_t* to = nullptr;
      switch (type) {
        case KvType::f32:
          to = is_key ? args.block + 4 * (d * kPagePositions + s)
                      : values + 4 * (s * head.width + d);
          store_number(x[d], to);
          break;
        case KvType::f16:
          to = is_key ? args.block + 2 * (d * kPagePositions + s)
                      : values + 2 * (s * head.width + d);
          store_number(f32_to_f16(x[d]), to);
          break;
        case KvType::bf16:
          to = is_key ? args.block + 4 * (d / 2 * kPagePositions + s) + 2 * (d % 2)
                      : values + 2 * (s / 2 * 2 * head.width + 2 * d + s % 2);
          store_number(f32_to_bf16(x[d]), to);
          break;
        case KvType::int8: {
          to = args.block + (is_key ? key_byte(head, d, s) : value_byte(head, d, s));
          const float code = std::clamp(std::nearbyint(x[d] * inverse), -127.0f, 127.0f);
          *to = std::isfinite(code) ? static_cast<uint8_t>(code + 128) : uint8_t{128};
          break;
        }
        case KvType::int4: {
          to = args.block + (is_key ? key_byte(head, d, s) : value_byte(head, d, s));
          const float exact = std::fma(x[d] * inverse, 0.5f, 7.5f);
          const float code = std::clamp(std::nearbyint(exact), 0.0f, 15.0f);
          const int nibble = std::isfinite(code) ? static_cast<int>(code) : 0;
          const bool upper = is_key ? key_is_upper(d) : value_is_upper(d);
          *to = static_cast<uint8_t>(upper ? (*to & 15) | nibble << 4 : (*to & 240) | nibble);
          break;
        }
      }
    }
  }
}

void merge(int64_t rows, int64_t width, const AttentionPart& part, const AttentionPart& into) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  for (int64_t r = 0; r < rows; ++r) {
    if (part.row_max[r] == kNone) continue;
    const float most = std::max(into.row_max[r], part.row_max[r]);
    const double old = std::exp(static_cast<double>(into.row_max[r]) - most);
    const double more = std::exp(static_cast<double>(part.row_max[r]) - most);
    into.row_max[r] = most;
    into.row_sum[r] = static_cast<float>(into.row_sum[r] * old + part.row_sum[r] * more);
    for (int64_t d = r * width; d < (r + 1) * width; ++d) {
      into.out[d] = static_cast<float>(into.out[d] * old + part.out[d] * more);
    }
  }
}

}  // namespace

constexpr AttentionKernels kReferenceAttention = {
    {store<KvType::f32>, store<KvType::f16>, store<KvType::bf16>, store<KvType::int8>,
     store<KvType::int4>},
    {page, page, page, page, page},
    make_planes,
    rotate,
    merge};

}  // namespace phial

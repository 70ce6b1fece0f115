#include "kernels/kv_head.h"

#include <cstring>

namespace phial {
namespace {

constexpr int64_t kScaleBytes = 2;

constexpr int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace

KvHead KvHead::of(KvType type, int64_t head_dim) {
  KvHead head;
  head.type = type;
  head.head_dim = head_dim;
  head.width = round_up(head_dim, 16);
  switch (type) {
    case KvType::f32:
      head.width = head_dim;
      head.key_rows = head.width, head.key_unit = 4;
      head.value_group = 1, head.value_row = 4 * head.width;
      break;
    case KvType::f16:
      head.key_rows = head.width, head.key_unit = 2;
      head.value_group = 1, head.value_row = 2 * head.width;
      break;
    case KvType::bf16:
      head.key_rows = head.width / 2, head.key_unit = 4;
      head.value_group = 2, head.value_row = 4 * head.width;
      break;
    case KvType::int8:
      head.key_rows = head.width / 4, head.key_unit = 4;
      head.value_group = 4, head.value_row = 4 * head.width;
      head.scaled = head.rotates_keys = true;
      break;
    case KvType::int4:
      head.width = round_up(head_dim, 32);
      head.key_rows = head.width / 8, head.key_unit = 4;
      head.value_group = 4, head.value_row = 2 * head.width;
      head.scaled = head.rotates_keys = head.rotates_values = true;
      break;
  }
  const int64_t scales = head.scaled ? kScaleBytes * kPagePositions : 0;
  head.key_scales = head.key_rows * kPagePositions * head.key_unit;
  head.values = head.key_scales + scales;
  head.value_scales = head.values + kPagePositions / head.value_group * head.value_row;
  head.bytes = head.value_scales + scales;
  return head;
}

void KvHead::clear_values(uint8_t* block, int64_t first) const {
  if (scaled) return;
  const int64_t stride = value_row / width;  // of a dimension: of all positions of a group
  const int64_t unit = stride / value_group;
  for (int64_t slot = first; slot < kPagePositions; ++slot) {
    uint8_t* row = block + values + slot / value_group * value_row + slot % value_group * unit;
    for (int64_t d = 0; d < width; ++d) std::memset(row + d * stride, 0, static_cast<size_t>(unit));
  }
}

}  // namespace phial

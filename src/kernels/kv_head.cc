#include "kernels/kv_head.h"

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
      head.scaled = true;
      break;
    case KvType::int4:
      head.width = round_up(head_dim, 32);
      head.key_rows = head.width / 8, head.key_unit = 4;
      head.value_group = 4, head.value_row = 2 * head.width;
      head.scaled = true;
      break;
  }
  const int64_t scales = head.scaled ? kScaleBytes * kPagePositions : 0;
  head.key_scales = head.key_rows * kPagePositions * head.key_unit;
  head.values = head.key_scales + scales;
  head.value_scales = head.values + kPagePositions / head.value_group * head.value_row;
  head.bytes = head.value_scales + scales;
  return head;
}

}  // namespace phial

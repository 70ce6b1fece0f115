#include "engine/fingerprint.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/xxh64.h"

namespace phial {
namespace {

constexpr size_t kSampleBytes = 64;

class Fingerprint {
 public:
  void add(std::span<const uint8_t> bytes) { value_ = xxh64(bytes, value_); }
  void add(std::string_view text) {
    add(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  }
  void add(std::span<const float> floats) {
    add(std::span(reinterpret_cast<const uint8_t*>(floats.data()), floats.size_bytes()));
  }
  void add(std::initializer_list<int64_t> numbers) {
    add(std::span(reinterpret_cast<const uint8_t*>(numbers.begin()),
                  numbers.size() * sizeof(int64_t)));
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

template <class T>
requires std::is_enum_v<T> int64_t number(T value) { return static_cast<int64_t>(value); }

void add_spec(Fingerprint& print, const ModelSpec& spec) {
  print.add(spec.family);
  print.add(spec.architecture);
  const AttentionSpec& attention = spec.attention;
  print.add({spec.hidden, spec.layers, spec.intermediate, spec.vocabulary, spec.context,
             attention.heads, attention.kv_heads, attention.head_dim, int64_t{attention.qk_norm}});
  print.add({number(spec.block_order), number(spec.norm), number(spec.norm_place), number(spec.mlp),
             int64_t{spec.bias.qkv}, int64_t{spec.bias.attention_out}, int64_t{spec.bias.mlp},
             int64_t{spec.bias.lm_head}, int64_t{spec.tied_embeddings}});
  const float factors[] = {spec.norm_eps,         attention.scale,      attention.softcap,
                           spec.scales.embedding, spec.scales.residual, spec.scales.logits,
                           spec.logits_softcap};
  print.add(std::span<const float>(factors));
  for (const LayerKind& kind : spec.layer_kinds) print.add({kind.window, int64_t{kind.rotates}});
  const RopeSpec& rope = spec.rope;
  print.add({rope.rotary, number(rope.by_length), rope.limit});
  const float rope_factors[] = {rope.mscale, rope.theta, rope.factor};
  print.add(std::span<const float>(rope_factors));
  print.add(std::span<const float>(rope.inv_freq));
  print.add(std::span<const float>(rope.long_inv_freq));
}

void add_tensor(Fingerprint& print, const NamedTensor& tensor) {
  print.add(tensor.name);
  print.add(tensor.dtype);
  for (const int64_t extent : tensor.view.shape) print.add({extent});
  const std::span<const uint8_t> bytes = tensor.view.bytes;
  print.add({static_cast<int64_t>(bytes.size())});
  const size_t n = std::min(kSampleBytes, bytes.size());
  for (const size_t from : {size_t{0}, (bytes.size() - n) / 2, bytes.size() - n}) {
    print.add(bytes.subspan(from, n));
  }
}

}  // namespace

uint64_t model_fingerprint(const Model& model, const Numerics& numerics) {
  Fingerprint print;
  add_spec(print, model.spec);
  for (const NamedTensor& tensor : model.checkpoint->tensors) add_tensor(print, tensor);
  if (numerics.compute != Compute::fp32 || numerics.kv != KvType::f32) {
    print.add(std::string_view(compute_name(numerics.compute)));
    print.add(std::string_view(kv_type_name(numerics.kv)));
  }
  return print.value();
}

}  // namespace phial

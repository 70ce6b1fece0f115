// Keys and values of a sequence in pages of 64 positions. Pages are shared by forked sequences and
// copied when one of them is about to write into a shared page.
//
// Layout of one page, float32, for every layer and key/value head in turn:
//
//   keys    [head_dim][64]   transposed, so that q.k of 64 positions is one panel product
//   values  [64][head_dim]
//
// Slots beyond a sequence's length hold zeros or forgotten values, always finite.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/status.h"
#include "model/model_spec.h"

namespace phial {

inline constexpr int64_t kPagePositions = 64;

struct KvLayout {
  int64_t layers = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  static KvLayout of(const ModelSpec& spec) {
    return {spec.layers, spec.attention.kv_heads, spec.attention.head_dim};
  }
  int64_t head_floats() const { return 2 * head_dim * kPagePositions; }
  int64_t page_floats() const { return layers * kv_heads * head_floats(); }
};

class KvPage {
 public:
  // Zeroed memory; null when there is none.
  static std::shared_ptr<KvPage> create(const KvLayout& layout);
  std::shared_ptr<KvPage> copy(const KvLayout& layout) const;

  // [head_dim][kPagePositions]
  float* keys(const KvLayout& layout, int64_t layer, int64_t head) {
    return floats_.get() + (layer * layout.kv_heads + head) * layout.head_floats();
  }
  // [kPagePositions][head_dim]
  float* values(const KvLayout& layout, int64_t layer, int64_t head) {
    return keys(layout, layer, head) + layout.head_dim * kPagePositions;
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> floats_;
};

// The cache of one sequence. Not thread safe by itself.
class KvCache {
 public:
  KvCache(KvLayout layout, int64_t context) : layout_(layout), context_(context) {}

  int64_t length() const { return length_; }
  int64_t context() const { return context_; }
  KvPage& page(int64_t index) const { return *pages_[static_cast<size_t>(index)]; }

  // Makes room behind the sequence for `n` more positions, in pages that no other sequence shares.
  // context_full, out_of_memory; then the cache is as it was.
  Status reserve(int64_t n);
  // Takes the first `n` reserved positions into the sequence.
  void commit(int64_t n) { length_ += n; }
  // Gives back what was reserved and not committed.
  void release_reserved();
  // Forgets the positions from `n` on. REQUIRES: 0 <= n <= length().
  void truncate(int64_t n);
  // A cache that shares the first `n` positions. REQUIRES: 0 <= n <= length().
  KvCache fork(int64_t n) const;

 private:
  KvLayout layout_;
  int64_t context_;
  int64_t length_ = 0;
  std::vector<std::shared_ptr<KvPage>> pages_;
};

}  // namespace phial

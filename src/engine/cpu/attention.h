// Attention of one pass over the pages of KvCaches: softmax(scale q k) v with a causal mask, an
// optional sliding window and an optional soft cap of the scores, online over pages, the query
// heads of one key/value head together.
//
// Keys are taken in ranges of kRangePages pages, counted from the beginning of a sequence, each by
// itself; what the ranges give is merged in their order. Whether one worker or several compute the
// ranges of a row thus makes no difference to its bits. Pages of float32 are one range.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/kv_cache.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "model/model_spec.h"

namespace phial {

struct RowSegment;

inline constexpr int64_t kRangePages = 8;
// Of the results of ranges that several workers compute.
inline constexpr int64_t kMaxAttentionPartBytes = int64_t{32} << 20;

// The rows of a pass that a piece of work is about, and their key/value heads.
struct AttentionRows {
  const RowSegment* segment;
  int64_t first;
  int64_t count;
  int64_t first_kv_head;
  int64_t kv_heads;
};

class Attention {
 public:
  Attention(const KernelTable& kernels, const ModelSpec& spec, int workers);
  ~Attention();

  // Cuts a pass into pieces of work, the same for every layer, and makes all memory. The segments
  // must live until the pass is done; their caches have one layout.
  void prepare(std::span<const RowSegment> segments);

  // Puts a row's key and value of one head, [head_dim] each, where its segment's cache keeps them.
  void store(int worker, int64_t layer, const RowSegment& segment, int64_t row, int64_t kv_head,
             const float* k, const float* v);

  int64_t pieces() const;
  // Whether no piece's queries, nor keys of this pass, are needed by another.
  bool pieces_stand_alone() const;
  // Whether pieces take about equally long. Then a worker had better take many that follow each
  // other, which read memory in order; else the first ones take longest.
  bool pieces_are_alike() const;
  AttentionRows rows_of(int64_t piece) const;
  // out = attention of q, [rows, heads * head_dim] both, the heads of a row side by side, for the
  // rows and heads of the pieces [begin, end). The result of a row does not depend on the others of
  // the pass, bit for bit; out is complete when every piece was attended to once, by whichever
  // worker.
  void attend(int worker, int64_t layer, int64_t begin, int64_t end, const float* q, float* out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace phial

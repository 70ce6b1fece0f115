// Byte-level BPE: a word's bytes become their pieces, and the adjacent pair of lowest rank is
// merged, leftmost first, until none is left. As models::bpe of Hugging Face `tokenizers`.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "text/tokenizer_spec.h"

namespace phial {

// Pairs of ids to their merge: open addressing with linear probing.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t result;
  };

  // A pair that comes twice keeps its last rank, as in `tokenizers`. damaged: pairs made to
  // collide.
  static Result<MergeTable> create(const std::vector<TokenizerSpec::Merge>& merges);

  // Null when the pair does not merge.
  const Merge* find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t key = kFree;
    Merge merge{};
  };
  static constexpr uint64_t kFree = UINT64_MAX;  // no pair: ids are not negative

  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t home(uint64_t key) const;

  std::vector<Slot> slots_;  // a power of two, at most half full
  int shift_ = 0;
};

// Immutable after create(); several threads may encode, each with its own Scratch.
class ByteLevelBpe {
 public:
  // REQUIRES: the merges' ids lie in the vocabulary, each result is left and right put together
  static Result<ByteLevelBpe> create(const TokenizerSpec& spec);

  // Memory of one encoding, used again from word to word. Words seen before are copied from the
  // ids they gave. All words of a scratch must outlive it.
  class Scratch {
   private:
    friend class ByteLevelBpe;
    struct Symbol {
      int32_t id;  // -1: merged into a symbol to its left
      uint32_t previous, next;
      uint32_t rank;  // of the merge with `next`
    };
    struct Range {
      size_t begin, size;
    };
    std::vector<Symbol> symbols_;
    std::vector<uint64_t> queue_;                        // heap of rank << 32 | position
    std::unordered_map<std::string_view, Range> known_;  // into the ids given out
  };

  // Appends the ids of `word` (any bytes; fewer than 2^32 - 1). `ids` must be what earlier calls
  // with this scratch left, other ids may have been appended.
  void encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const;

 private:
  ByteLevelBpe() = default;
  void merge_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const;
  void fill_symbols(std::string_view word, Scratch& scratch) const;
  void queue_pair(uint32_t at, Scratch& scratch) const;
  void apply_merges(Scratch& scratch) const;

  std::array<int32_t, 256> byte_ids_{};  // -1: the byte has no piece
  MergeTable merges_;
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  // Pieces by their bytes; filled for ignore_merges only.
  std::unordered_map<std::string, int32_t, TextHash, std::equal_to<>> whole_words_;
  int32_t unknown_id_ = -1;
  bool fuse_unknown_ = false;
};

}  // namespace phial

#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/utf8.h"
#include "text/byte_alphabet.h"

namespace phial {
namespace {

constexpr uint32_t kNothing = UINT32_MAX;

// Longer words rarely come twice; the number bounds the memory of the cache.
constexpr size_t kMaxKnownWordBytes = 64;
constexpr size_t kMaxKnownWords = size_t{1} << 16;

}  // namespace

Result<MergeTable> MergeTable::create(const std::vector<TokenizerSpec::Merge>& merges) {
  // At most half full, chains of random keys stay far below this (their length grows with the
  // logarithm of the count); only keys made to collide reach it.
  constexpr size_t kMaxProbes = 4096;
  MergeTable table;
  const size_t count = std::bit_ceil(std::max<size_t>(2 * merges.size(), 2));
  table.slots_.resize(count);
  table.shift_ = 64 - std::countr_zero(count);
  for (size_t i = 0; i < merges.size(); ++i) {
    const TokenizerSpec::Merge& merge = merges[i];
    const uint64_t key = key_of(merge.left, merge.right);
    size_t at = table.home(key);
    size_t probes = 0;
    while (table.slots_[at].key != kFree && table.slots_[at].key != key) {
      at = (at + 1) & (count - 1);
      if (++probes > kMaxProbes) {
        return damaged("tokenizer", "its merges are made to collide in a hash table");
      }
    }
    table.slots_[at] = {key, {static_cast<uint32_t>(i), merge.result}};
  }
  return table;
}

size_t MergeTable::home(uint64_t key) const {
  // The last steps of the splitmix64 generator, as in base/rng.h.
  key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9ull;
  key = (key ^ (key >> 27)) * 0x94D049BB133111EBull;
  return static_cast<size_t>((key ^ (key >> 31)) >> shift_);
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t key = key_of(left, right);
  for (size_t at = home(key);; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].key == key) return &slots_[at].merge;
    if (slots_[at].key == kFree) return nullptr;
  }
}

Result<ByteLevelBpe> ByteLevelBpe::create(const TokenizerSpec& spec) {
  ByteLevelBpe bpe;
  PHIAL_ASSIGN(bpe.merges_, MergeTable::create(spec.merges));
  bpe.byte_ids_.fill(-1);
  bpe.unknown_id_ = spec.unknown_piece_id.value_or(-1);
  bpe.fuse_unknown_ = spec.fuse_unknown;
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    const std::string& piece = spec.pieces[id];
    if (piece.empty()) continue;
    const bool one_character = utf8::decode(piece).length == piece.size();
    if (!one_character && !spec.ignore_merges) continue;
    std::optional<std::string> bytes = byte_alphabet::decode(piece);
    if (!bytes) continue;
    if (bytes->size() == 1) {
      bpe.byte_ids_[static_cast<uint8_t>(bytes->front())] = static_cast<int32_t>(id);
    }
    if (spec.ignore_merges) bpe.whole_words_[*std::move(bytes)] = static_cast<int32_t>(id);
  }
  return bpe;
}

void ByteLevelBpe::encode_word(std::string_view word, Scratch& scratch,
                               std::vector<int32_t>& ids) const {
  if (!whole_words_.empty()) {
    if (const auto whole = whole_words_.find(word); whole != whole_words_.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  if (word.size() > kMaxKnownWordBytes) return merge_word(word, scratch, ids);
  if (const auto known = scratch.known_.find(word); known != scratch.known_.end()) {
    const auto [begin, size] = known->second;
    for (size_t i = 0; i < size; ++i) ids.push_back(ids[begin + i]);
    return;
  }
  const size_t begin = ids.size();
  merge_word(word, scratch, ids);
  if (scratch.known_.size() < kMaxKnownWords) {
    scratch.known_.emplace(word, Scratch::Range{begin, ids.size() - begin});
  }
}

void ByteLevelBpe::merge_word(std::string_view word, Scratch& scratch,
                              std::vector<int32_t>& ids) const {
  fill_symbols(word, scratch);
  apply_merges(scratch);
  for (const Scratch::Symbol& symbol : scratch.symbols_) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
}

void ByteLevelBpe::fill_symbols(std::string_view word, Scratch& scratch) const {
  std::vector<Scratch::Symbol>& symbols = scratch.symbols_;
  symbols.clear();
  bool after_unknown = false;
  for (const char byte : word) {
    int32_t id = byte_ids_[static_cast<uint8_t>(byte)];
    const bool unknown = id < 0;
    if (unknown) id = after_unknown && fuse_unknown_ ? -1 : unknown_id_;
    after_unknown = unknown;
    if (id < 0) continue;
    const auto at = static_cast<uint32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1, kNothing});  // 0 - 1 is kNothing
  }
  if (!symbols.empty()) symbols.back().next = kNothing;
}

// Notes the merge of the symbol at `at` with its right neighbour, if there is one.
void ByteLevelBpe::queue_pair(uint32_t at, Scratch& scratch) const {
  Scratch::Symbol& symbol = scratch.symbols_[at];
  symbol.rank = kNothing;
  if (symbol.next == kNothing) return;
  const MergeTable::Merge* merge = merges_.find(symbol.id, scratch.symbols_[symbol.next].id);
  if (merge == nullptr) return;
  symbol.rank = merge->rank;
  scratch.queue_.push_back(uint64_t{merge->rank} << 32 | at);
}

// Each merge takes one symbol away and queues two pairs: O(n log n) for any word. An entry is out
// of date when its symbol is gone or has another pair by now; ranks name pairs, and a pair cannot
// come back to a symbol because its text only grows.
void ByteLevelBpe::apply_merges(Scratch& scratch) const {
  std::vector<Scratch::Symbol>& symbols = scratch.symbols_;
  std::vector<uint64_t>& queue = scratch.queue_;
  queue.clear();
  for (uint32_t at = 0; at < symbols.size(); ++at) queue_pair(at, scratch);
  std::make_heap(queue.begin(), queue.end(), std::greater<>());
  const auto queue_pair_in_order = [&](uint32_t at) {
    const size_t before = queue.size();
    queue_pair(at, scratch);
    if (queue.size() > before) std::push_heap(queue.begin(), queue.end(), std::greater<>());
  };
  while (!queue.empty()) {
    const auto rank = static_cast<uint32_t>(queue.front() >> 32);
    const auto at = static_cast<uint32_t>(queue.front());
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    queue.pop_back();
    Scratch::Symbol& left = symbols[at];
    if (left.id < 0 || left.rank != rank) continue;
    Scratch::Symbol& right = symbols[left.next];
    left.id = merges_.find(left.id, right.id)->result;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNothing) symbols[left.next].previous = at;
    if (left.previous != kNothing) queue_pair_in_order(left.previous);
    queue_pair_in_order(at);
  }
}

}  // namespace phial

#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/utf8.h"
#include "text/byte_alphabet.h"

namespace phial {
namespace {

constexpr uint32_t kNothing = UINT32_MAX;

// Words of at most this many symbols are merged by looking at all pairs again and again.
constexpr size_t kFewSymbols = 32;

constexpr std::string_view kMark = "\u2581";

}  // namespace

Result<MergeTable> MergeTable::create(const std::vector<TokenizerSpec::Merge>& merges) {
  // At most half full, chains of random keys stay far below this (their length grows with the
  // logarithm of the count); only keys made to collide reach it.
  constexpr size_t kMaxProbes = 4096;
  MergeTable table;
  const size_t count = std::bit_ceil(std::max<size_t>(2 * merges.size(), 2));
  table.slots_.resize(count);
  table.shift_ = 64 - std::countr_zero(count);
  for (const TokenizerSpec::Merge& merge : merges) {
    const uint64_t key = key_of(merge.left, merge.right);
    size_t at = table.home(key);
    size_t probes = 0;
    while (table.slots_[at].key != kFree && table.slots_[at].key != key) {
      at = (at + 1) & (count - 1);
      if (++probes > kMaxProbes) {
        return damaged("tokenizer", "its merges are made to collide in a hash table");
      }
    }
    table.slots_[at] = {key, {merge.rank, merge.result}};
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

struct Bpe::SymbolScratch : WordModel::Scratch {
  std::vector<int32_t> start;   // the symbols of a word before any merge
  std::vector<Symbol> symbols;  // of a long word
  std::vector<uint64_t> queue;  // heap of rank << 32 | position
};

bool Bpe::can_read_bytes(const TokenizerSpec& spec) {
  return spec.model == TokenizerSpec::Model::bpe && !spec.byte_fallback &&
         spec.continuing_subword_prefix.empty() && spec.end_of_word_suffix.empty();
}

Result<std::unique_ptr<const Bpe>> Bpe::create(const TokenizerSpec& spec, Alphabet alphabet) {
  std::unique_ptr<Bpe> bpe(new Bpe);
  bpe->alphabet_ = alphabet;
  PHIAL_ASSIGN(bpe->merges_, MergeTable::create(spec.merges));
  bpe->prefix_ = spec.continuing_subword_prefix;
  bpe->suffix_ = spec.end_of_word_suffix;
  bpe->byte_fallback_ = spec.byte_fallback;
  bpe->unknown_id_ = spec.unknown_piece_id.value_or(-1);
  bpe->unknown_is_missing_ = spec.unknown_is_missing;
  bpe->fuse_unknown_ = spec.fuse_unknown;
  const bool reads_bytes = alphabet == Alphabet::bytes;
  PHIAL_ASSIGN(bpe->whole_words_, WholeWords::create(reads_bytes ? bpe->index_bytes(spec)
                                                                 : bpe->index_characters(spec),
                                                     spec.ignore_merges));
  if (!reads_bytes) bpe->find_cut(spec);
  return std::unique_ptr<const Bpe>(std::move(bpe));
}

// Both give the pieces by what they are in a text.
std::vector<WholeWords::Entry> Bpe::index_bytes(const TokenizerSpec& spec) {
  byte_ids_.fill(-1);
  std::vector<WholeWords::Entry> words;
  words.reserve(spec.pieces.size());
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    std::optional<std::string> bytes = byte_alphabet::decode(spec.pieces[i]);
    const auto id = static_cast<int32_t>(i);
    if (!bytes || bytes->empty()) continue;
    if (bytes->size() == 1) byte_ids_[static_cast<uint8_t>(bytes->front())] = id;
    words.push_back({*std::move(bytes), id});
  }
  return words;
}

std::vector<WholeWords::Entry> Bpe::index_characters(const TokenizerSpec& spec) {
  constexpr size_t kPlane = 0x10000;
  plane_ids_.assign(kPlane, -1);
  std::vector<WholeWords::Entry> words;
  words.reserve(spec.pieces.size());
  const size_t affixes = prefix_.size() + suffix_.size();
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    const std::string& piece = spec.pieces[i];
    const auto id = static_cast<int32_t>(i);
    if (piece.empty()) continue;
    byte_pieces_.note(piece, id);
    words.push_back({piece, id});
    const utf8::Decoded c = utf8::decode(piece);
    if (c.length == piece.size() && c.code_point < kPlane) plane_ids_[c.code_point] = id;
    constexpr size_t kLongestChar = 4;
    if (affixes > 0 ? piece.size() <= affixes + kLongestChar : c.length == piece.size()) {
      char_ids_[piece] = id;
    }
  }
  return words;
}

// A cut before the mark is safe when no merge crosses it: then every merge on one side leaves those
// on the other as they are. Its right symbol begins with the mark, which is a piece of its own; its
// left one ends with what stands before, an unknown piece at the most.
void Bpe::find_cut(const TokenizerSpec& spec) {
  if (spec.ignore_merges || !prefix_.empty() || !suffix_.empty() || plane_ids_[U'\u2581'] < 0) {
    return;
  }
  const auto piece = [&spec](int32_t id) -> std::string_view {
    return spec.pieces[static_cast<size_t>(id)];
  };
  const auto crosses = [&](const TokenizerSpec::Merge& merge) {
    return piece(merge.right).starts_with(kMark) && !piece(merge.left).ends_with(kMark);
  };
  if (unknown_id_ >= 0 && static_cast<size_t>(unknown_id_) < spec.pieces.size() &&
      piece(unknown_id_).ends_with(kMark)) {
    return;
  }
  if (std::ranges::none_of(spec.merges, crosses)) cut_before_ = kMark;
}

std::unique_ptr<WordModel::Scratch> Bpe::make_scratch() const {
  return std::make_unique<SymbolScratch>();
}

int32_t Bpe::whole_word(std::string_view word, uint64_t hash) const {
  const size_t at = whole_words_.find(word, hash);
  const bool whole =
      at != WholeWords::kNowhere && whole_words_.state(at) == WholeWords::State::whole;
  return whole ? whole_words_.id(at) : -1;
}

Status Bpe::encode_word(std::string_view word, WordModel::Scratch& scratch,
                        std::vector<int32_t>& ids) const {
  using State = WholeWords::State;
  const size_t at = whole_words_.find(word, hash_of_word(word));
  const bool is_piece = at != WholeWords::kNowhere;
  if (is_piece && whole_words_.state(at) == State::whole) {
    ids.push_back(whole_words_.id(at));
    return {};
  }
  const size_t before = ids.size();
  PHIAL_TRY(encode_parts(word, static_cast<SymbolScratch&>(scratch), ids));
  if (is_piece && whole_words_.state(at) == State::unknown) {
    const bool whole = ids.size() == before + 1 && ids.back() == whole_words_.id(at);
    whole_words_.note(at, whole ? State::whole : State::parts);
  }
  return {};
}

Status Bpe::encode_parts(std::string_view word, SymbolScratch& scratch,
                         std::vector<int32_t>& ids) const {
  std::vector<int32_t>& start = scratch.start;
  start.clear();
  if (alphabet_ == Alphabet::bytes) {
    PHIAL_TRY(fill_from_bytes(word, start));
  } else {
    PHIAL_TRY(fill_from_characters(word, start));
  }
  if (start.size() <= kFewSymbols) {
    merge_few(start);
    ids.insert(ids.end(), start.begin(), start.end());
    return {};
  }
  merge_many(scratch);
  for (const Symbol& symbol : scratch.symbols) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
  return {};
}

Status Bpe::fill_from_bytes(std::string_view word, std::vector<int32_t>& symbols) const {
  bool after_unknown = false;
  for (const char byte : word) {
    int32_t id = byte_ids_[static_cast<uint8_t>(byte)];
    const bool unknown = id < 0;
    if (unknown && unknown_is_missing_) return unknown_word(word);
    if (unknown) id = after_unknown && fuse_unknown_ ? -1 : unknown_id_;
    after_unknown = unknown;
    if (id >= 0) symbols.push_back(id);
  }
  return {};
}

int32_t Bpe::id_of_char(std::string_view c, char32_t code_point, bool first, bool last) const {
  const bool prefixed = !first && !prefix_.empty();
  const bool suffixed = last && !suffix_.empty();
  if (!prefixed && !suffixed && code_point < plane_ids_.size()) return plane_ids_[code_point];
  const auto id_of = [this](std::string_view text) {
    const auto found = char_ids_.find(text);
    return found == char_ids_.end() ? -1 : found->second;
  };
  if (!prefixed && !suffixed) return id_of(c);
  std::string text = prefixed ? prefix_ : std::string();
  text += c;
  if (suffixed) text += suffix_;
  return id_of(text);
}

// A character without a piece becomes its bytes, affixes included, or an unknown piece. That one is
// held back until a character with a piece comes, so bytes overtake it, as they do in `tokenizers`.
Status Bpe::fill_from_characters(std::string_view word, std::vector<int32_t>& symbols) const {
  bool holds_unknown = false;
  for (size_t at = 0; at < word.size();) {
    const utf8::Decoded c = utf8::decode(word.substr(at));
    const std::string_view text = word.substr(at, c.length);
    const bool first = at == 0;
    at += c.length;
    const bool last = at == word.size();
    const int32_t id = id_of_char(text, c.code_point, first, last);
    if (id >= 0) {
      if (holds_unknown) symbols.push_back(unknown_id_);
      holds_unknown = false;
      symbols.push_back(id);
      continue;
    }
    if (byte_fallback_) {
      std::string spelled = first ? std::string() : prefix_;
      spelled += text;
      if (last) spelled += suffix_;
      if (byte_pieces_.append(spelled, symbols)) continue;
    }
    if (unknown_is_missing_) return unknown_word(word);
    if (unknown_id_ < 0) continue;
    if (holds_unknown && !fuse_unknown_) symbols.push_back(unknown_id_);
    holds_unknown = true;
  }
  if (holds_unknown) symbols.push_back(unknown_id_);
  return {};
}

// REQUIRES: at most kFewSymbols
void Bpe::merge_few(std::vector<int32_t>& symbols) const {
  constexpr MergeTable::Merge kNone{kNothing, -1};
  std::array<MergeTable::Merge, kFewSymbols> merges{};  // of each symbol with the next
  size_t count = symbols.size();
  const auto look = [&](size_t at) {
    const MergeTable::Merge* merge = merges_.find(symbols[at], symbols[at + 1]);
    merges[at] = merge == nullptr ? kNone : *merge;
  };
  for (size_t at = 0; at + 1 < count; ++at) look(at);
  while (count > 1) {
    size_t best = 0;
    for (size_t at = 1; at + 1 < count; ++at) {
      if (merges[at].rank < merges[best].rank) best = at;
    }
    if (merges[best].result < 0) break;
    symbols[best] = merges[best].result;
    --count;
    for (size_t at = best + 1; at < count; ++at) {
      symbols[at] = symbols[at + 1];
      merges[at] = merges[at + 1];
    }
    if (best > 0) look(best - 1);
    if (best + 1 < count) look(best);
  }
  symbols.resize(count);
}

// Notes the merge of the symbol at `at` with its right neighbour, if there is one.
void Bpe::queue_pair(uint32_t at, SymbolScratch& scratch) const {
  Symbol& symbol = scratch.symbols[at];
  symbol.rank = kNothing;
  if (symbol.next == kNothing) return;
  const MergeTable::Merge* merge = merges_.find(symbol.id, scratch.symbols[symbol.next].id);
  if (merge == nullptr) return;
  symbol.rank = merge->rank;
  scratch.queue.push_back(uint64_t{merge->rank} << 32 | at);
}

// Each merge takes one symbol away and queues two pairs: O(n log n) for any word. An entry is out
// of date when its symbol is gone or the symbol's pair has another rank by now. (If another pair of
// the same rank has come in its place, that pair's turn is the same.)
void Bpe::merge_many(SymbolScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols;
  std::vector<uint64_t>& queue = scratch.queue;
  symbols.clear();
  queue.clear();
  for (const int32_t id : scratch.start) {
    const auto at = static_cast<uint32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1, kNothing});  // 0 - 1 is kNothing
  }
  symbols.back().next = kNothing;
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
    Symbol& left = symbols[at];
    if (left.id < 0 || left.rank != rank) continue;
    Symbol& right = symbols[left.next];
    left.id = merges_.find(left.id, right.id)->result;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNothing) symbols[left.next].previous = at;
    if (left.previous != kNothing) queue_pair_in_order(left.previous);
    queue_pair_in_order(at);
  }
}

}  // namespace phial

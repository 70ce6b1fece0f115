// Byte pair encoding: a word's characters become their pieces, and the adjacent pair of lowest rank
// is merged, leftmost first, until none is left. As models::bpe of Hugging Face `tokenizers`.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "text/byte_pieces.h"
#include "text/tokenizer_spec.h"
#include "text/whole_words.h"
#include "text/word_model.h"

namespace phial {

// Pairs of ids to their merge: open addressing with linear probing.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t result;
  };

  // A pair that comes twice keeps its last line, as in `tokenizers`. damaged: pairs made to
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

class Bpe : public WordModel {
 public:
  // What a word is made of. With `bytes` it is the text itself, and pieces spell bytes in the
  // byte-level alphabet: the same as mapping the text into that alphabet first, but faster.
  enum class Alphabet : uint8_t { characters, bytes };

  // Whether a spec whose words end up in the byte-level alphabet can have Alphabet::bytes.
  static bool can_read_bytes(const TokenizerSpec& spec);

  // REQUIRES: the merges' ids lie in the vocabulary and each result is left and right put together;
  // can_read_bytes(spec) for Alphabet::bytes
  static Result<std::unique_ptr<const Bpe>> create(const TokenizerSpec& spec, Alphabet alphabet);

  std::unique_ptr<WordModel::Scratch> make_scratch() const override;
  Status encode_word(std::string_view word, WordModel::Scratch& scratch,
                     std::vector<int32_t>& ids) const override;

  int32_t whole_word(std::string_view word, uint64_t hash) const override;

  // SentencePiece's mark U+2581 when no merge joins it to something else before it. Models that
  // read a whole text as one word then need not.
  std::string_view cut_before() const override { return cut_before_; }

 private:
  struct Symbol {
    int32_t id;  // -1: merged into a symbol to its left
    uint32_t previous, next;
    uint32_t rank;  // of the merge with `next`
  };
  struct SymbolScratch;

  Bpe() = default;
  std::vector<WholeWords::Entry> index_bytes(const TokenizerSpec& spec);
  std::vector<WholeWords::Entry> index_characters(const TokenizerSpec& spec);
  void find_cut(const TokenizerSpec& spec);

  int32_t id_of_char(std::string_view c, char32_t code_point, bool first, bool last) const;
  Status encode_parts(std::string_view word, SymbolScratch& scratch,
                      std::vector<int32_t>& ids) const;
  Status fill_from_bytes(std::string_view word, std::vector<int32_t>& symbols) const;
  Status fill_from_characters(std::string_view word, std::vector<int32_t>& symbols) const;
  void merge_few(std::vector<int32_t>& symbols) const;
  void merge_many(SymbolScratch& scratch) const;
  void queue_pair(uint32_t at, SymbolScratch& scratch) const;

  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using IdOfText = std::unordered_map<std::string, int32_t, TextHash, std::equal_to<>>;

  Alphabet alphabet_ = Alphabet::characters;
  std::array<int32_t, 256> byte_ids_{};  // -1: the byte has no piece
  std::vector<int32_t> plane_ids_;       // of characters below U+10000; -1: none
  IdOfText char_ids_;                    // of the others, and of those with prefix or suffix
  BytePieces byte_pieces_;
  MergeTable merges_;
  WholeWords whole_words_;
  std::string prefix_;
  std::string suffix_;
  std::string cut_before_;
  bool byte_fallback_ = false;
  int32_t unknown_id_ = -1;
  bool unknown_is_missing_ = false;
  bool fuse_unknown_ = false;
};

}  // namespace phial

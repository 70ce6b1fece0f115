// Unigram: the pieces that a word is cut into have the greatest sum of scores. As
// models::unigram of Hugging Face `tokenizers` (encode_optimized), additions in its order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/byte_pieces.h"
#include "text/piece_trie.h"
#include "text/tokenizer_spec.h"
#include "text/word_model.h"

namespace phial {

// Longest piece of a model that looks for all pieces at every place of a word, so that time stays
// in proportion to the text. SentencePiece makes none of more than a few dozen characters.
inline constexpr size_t kMaxSearchedPieceBytes = 1024;

class Unigram : public WordModel {
 public:
  // damaged: not one score for each piece; over_limit: a piece longer than kMaxSearchedPieceBytes.
  static Result<Unigram> create(const TokenizerSpec& spec);

  std::unique_ptr<WordModel::Scratch> make_scratch() const override;
  Status encode_word(std::string_view word, WordModel::Scratch& scratch,
                     std::vector<int32_t>& ids) const override;

 private:
  // The best way to a place in the word.
  struct Place {
    double score = 0;
    uint32_t begin = kNowhere;  // where the last piece of it begins
    int32_t id = 0;             // of that piece
  };
  static constexpr uint32_t kNowhere = UINT32_MAX;
  struct PlaceScratch;

  Status find_path(std::string_view word, std::vector<Place>& places) const;
  Status append_piece(std::string_view text, std::vector<int32_t>& ids) const;

  PieceTrie trie_;
  std::vector<double> scores_;
  BytePieces byte_pieces_;
  bool byte_fallback_ = false;
  double unknown_score_ = 0;
  std::optional<int32_t> unknown_id_;
};

}  // namespace phial

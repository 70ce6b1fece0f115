// WordPiece: the longest piece that a word begins with, again and again; and WordLevel: the word is
// a piece. As models::wordpiece and models::wordlevel of Hugging Face `tokenizers`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "text/piece_trie.h"
#include "text/tokenizer_spec.h"
#include "text/word_model.h"

namespace phial {

class WordPiece : public WordModel {
 public:
  // over_limit: a piece longer than kMaxSearchedPieceBytes.
  static Result<WordPiece> create(const TokenizerSpec& spec);

  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Scratch>(); }
  Status encode_word(std::string_view word, Scratch& scratch,
                     std::vector<int32_t>& ids) const override;

 private:
  PieceTrie first_;  // pieces as they begin words
  PieceTrie later_;  // those with the prefix, without it
  size_t max_word_chars_ = 0;
  std::optional<int32_t> unknown_id_;
};

class WordLevel : public WordModel {
 public:
  static WordLevel create(const TokenizerSpec& spec);

  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Scratch>(); }
  Status encode_word(std::string_view word, Scratch& scratch,
                     std::vector<int32_t>& ids) const override;

 private:
  PieceTrie pieces_;
  std::optional<int32_t> unknown_id_;
};

}  // namespace phial

#include "text/word_piece.h"

#include <algorithm>

#include "text/unigram.h"

namespace phial {

Result<WordPiece> WordPiece::create(const TokenizerSpec& spec) {
  WordPiece made;
  const std::string_view prefix = spec.continuing_subword_prefix;
  std::vector<PieceTrie::Entry> first;
  std::vector<PieceTrie::Entry> later;
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    const std::string_view piece = spec.pieces[i];
    const auto id = static_cast<int32_t>(i);
    if (piece.empty()) continue;
    first.push_back({piece, id});
    if (piece.size() > prefix.size() && piece.starts_with(prefix)) {
      later.push_back({piece.substr(prefix.size()), id});
    }
  }
  made.first_ = PieceTrie(std::move(first));
  made.later_ = PieceTrie(std::move(later));
  if (made.first_.longest() > kMaxSearchedPieceBytes) {
    return over_limit("tokenizer", "a piece has " + std::to_string(made.first_.longest()) +
                                       " bytes, the limit for WordPiece is " +
                                       std::to_string(kMaxSearchedPieceBytes));
  }
  made.max_word_chars_ = spec.max_word_chars;
  made.unknown_id_ = spec.unknown_piece_id;
  return made;
}

Status WordPiece::encode_word(std::string_view word, Scratch&, std::vector<int32_t>& ids) const {
  const auto begins_char = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  const auto chars = static_cast<size_t>(std::ranges::count_if(word, begins_char));
  const size_t before = ids.size();
  size_t begin = 0;
  while (chars <= max_word_chars_ && begin < word.size()) {
    PieceTrie::Walk walk(begin == 0 ? first_ : later_);
    size_t end = begin;
    int32_t id = -1;
    for (size_t at = begin; at < word.size() && walk.step(static_cast<uint8_t>(word[at]));) {
      ++at;
      if (walk.id() < 0) continue;
      id = walk.id();
      end = at;
    }
    if (id < 0) break;
    ids.push_back(id);
    begin = end;
  }
  if (begin == word.size()) return {};
  ids.resize(before);
  if (!unknown_id_) return unknown_word(word);
  ids.push_back(*unknown_id_);
  return {};
}

WordLevel WordLevel::create(const TokenizerSpec& spec) {
  WordLevel made;
  std::vector<PieceTrie::Entry> entries;
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (!spec.pieces[id].empty()) entries.push_back({spec.pieces[id], static_cast<int32_t>(id)});
  }
  made.pieces_ = PieceTrie(std::move(entries));
  made.unknown_id_ = spec.unknown_piece_id;
  return made;
}

Status WordLevel::encode_word(std::string_view word, Scratch&, std::vector<int32_t>& ids) const {
  const int32_t id = pieces_.find(word);
  if (id < 0 && !unknown_id_) return unknown_word(word);
  ids.push_back(id < 0 ? *unknown_id_ : id);
  return {};
}

}  // namespace phial

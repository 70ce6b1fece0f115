#include "text/unigram.h"

#include <algorithm>
#include <limits>

#include "base/utf8.h"

namespace phial {

struct Unigram::PlaceScratch : WordModel::Scratch {
  std::vector<Place> places;  // one more than the word has bytes
  std::vector<uint32_t> cuts;
};

Result<Unigram> Unigram::create(const TokenizerSpec& spec) {
  if (spec.scores.size() != spec.pieces.size()) {
    return damaged("tokenizer", std::to_string(spec.scores.size()) + " scores for " +
                                    std::to_string(spec.pieces.size()) + " pieces");
  }
  // What a character costs that no piece begins with.
  constexpr double kUnknownPenalty = 10.0;
  Unigram made;
  double lowest = std::numeric_limits<double>::infinity();
  std::vector<PieceTrie::Entry> entries;
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (spec.scores[id] < lowest) lowest = spec.scores[id];
    if (spec.pieces[id].empty()) continue;
    entries.push_back({spec.pieces[id], static_cast<int32_t>(id)});
    made.byte_pieces_.note(spec.pieces[id], static_cast<int32_t>(id));
  }
  made.trie_ = PieceTrie(std::move(entries));
  if (made.trie_.longest() > kMaxSearchedPieceBytes) {
    return over_limit("tokenizer", "a piece has " + std::to_string(made.trie_.longest()) +
                                       " bytes, the limit for unigram is " +
                                       std::to_string(kMaxSearchedPieceBytes));
  }
  made.scores_ = spec.scores;
  made.byte_fallback_ = spec.byte_fallback;
  made.unknown_score_ = lowest - kUnknownPenalty;
  made.unknown_id_ = spec.unknown_piece_id;
  return made;
}

std::unique_ptr<WordModel::Scratch> Unigram::make_scratch() const {
  return std::make_unique<PlaceScratch>();
}

Status Unigram::find_path(std::string_view word, std::vector<Place>& places) const {
  places.assign(word.size() + 1, Place());
  const auto reach = [&places](size_t begin, size_t end, double score, int32_t id) {
    Place& place = places[end];
    if (place.begin != kNowhere && !(score > place.score)) return;
    place = {score, static_cast<uint32_t>(begin), id};
  };
  for (size_t begin = 0; begin < word.size();) {
    const size_t one = begin + utf8::decode(word.substr(begin)).length;
    const double score = places[begin].score;
    bool has_single = false;
    PieceTrie::Walk walk(trie_);
    for (size_t at = begin; at < word.size() && walk.step(static_cast<uint8_t>(word[at]));) {
      ++at;
      const int32_t id = walk.id();
      if (id < 0) continue;
      reach(begin, at, scores_[static_cast<size_t>(id)] + score, id);
      has_single = has_single || at == one;
    }
    if (!has_single) {
      const bool improves =
          places[one].begin == kNowhere || unknown_score_ + score > places[one].score;
      if (improves && !unknown_id_) return unknown_word(word.substr(begin, one - begin));
      if (improves) reach(begin, one, unknown_score_ + score, *unknown_id_);
    }
    begin = one;
  }
  return {};
}

// A fused run of unknown pieces may spell a piece after all.
Status Unigram::append_piece(std::string_view text, std::vector<int32_t>& ids) const {
  if (const int32_t id = trie_.find(text); id >= 0) {
    ids.push_back(id);
    return {};
  }
  if (byte_fallback_ && byte_pieces_.append(text, ids)) return {};
  if (!unknown_id_) return unknown_word(text);
  ids.push_back(*unknown_id_);
  return {};
}

Status Unigram::encode_word(std::string_view word, WordModel::Scratch& scratch,
                            std::vector<int32_t>& ids) const {
  auto& [places, cuts] = static_cast<PlaceScratch&>(scratch);
  PHIAL_TRY(find_path(word, places));
  cuts.clear();
  for (size_t end = word.size(); end > 0; end = places[end].begin) {
    cuts.push_back(static_cast<uint32_t>(end));
  }
  const auto is_unknown = [&, &places = places](size_t cut) {
    return unknown_id_ && places[cut].id == *unknown_id_;
  };
  size_t begin = 0;
  for (size_t i = cuts.size(); i-- > 0;) {
    if (is_unknown(cuts[i]) && i > 0 && is_unknown(cuts[i - 1])) continue;  // one run
    PHIAL_TRY(append_piece(word.substr(begin, cuts[i] - begin), ids));
    begin = cuts[i];
  }
  return {};
}

}  // namespace phial

// The member `model` of tokenizer.json.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/hf_reader.h"

namespace phial {
namespace {

using Model = TokenizerSpec::Model;

// A score as serde_json reads it, on which `tokenizers` builds: all digits as one integer, rounded
// to a double, times or divided by a power of ten, rounded again. That is off by a unit in the last
// place for one number in seven, and scores that are equal for one reader must be for the other.
// Files hold the shortest digits that lead to the number, so they are made again from it.
double score_as_read_by_serde(double exact) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, std::abs(exact),
                                 std::chars_format::scientific)
                       .ptr;  // d.ddddde+xx
  const std::string_view shortest(text, static_cast<size_t>(end - text));
  const size_t e = shortest.find('e');
  uint64_t digits = 0;
  int digits_after_point = 0;
  for (size_t i = 0; i < e; ++i) {
    if (shortest[i] == '.') {
      digits_after_point = static_cast<int>(e - i - 1);
    } else {
      digits = digits * 10 + static_cast<uint64_t>(shortest[i] - '0');
    }
  }
  int exponent = 0;
  const bool negative = shortest[e + 1] == '-';
  std::from_chars(shortest.data() + e + 2, end, exponent);
  exponent = (negative ? -exponent : exponent) - digits_after_point;
  // Powers of ten up to 22 are exact; beyond, numbers are none that scores have.
  constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const auto steps = static_cast<size_t>(std::abs(exponent));
  if (steps >= std::size(kPowers)) return exact;
  const double whole = static_cast<double>(digits);
  const double value = exponent < 0 ? whole / kPowers[steps] : whole * kPowers[steps];
  return std::copysign(value, exact);
}

}  // namespace

// Files from before the member `type` are told by their members, in the order of `tokenizers`.
Result<Model> HfReader::model_type(const Json& model) const {
  const Json& type = json_member(model, "type");
  if (type.is_null()) {
    if (model.find("merges")) return Model::bpe;
    if (model.find("continuing_subword_prefix")) return Model::word_piece;
    if (json_member(model, "vocab").if_object()) return Model::word_level;
    if (json_member(model, "vocab").if_array()) return Model::unigram;
  }
  constexpr std::pair<std::string_view, Model> kTypes[] = {{"BPE", Model::bpe},
                                                           {"Unigram", Model::unigram},
                                                           {"WordPiece", Model::word_piece},
                                                           {"WordLevel", Model::word_level}};
  for (const auto& [name, kind] : kTypes) {
    if (json_type(model) == name) return kind;
  }
  return unsupported(at("model"),
                     "the type \"" + std::string(json_type(model)) + "\" is not supported");
}

// Ids may have gaps, but a file must not ask for more memory than it is worth.
Status HfReader::make_room_for_pieces(size_t size, size_t added_count) {
  constexpr size_t kMaxIdsPerPiece = 4;
  if (size > kMaxIdsPerPiece * (vocab_count_ + added_count)) {
    return damaged(at("model.vocab"), "its largest id is " + std::to_string(size - 1) + ", for " +
                                          std::to_string(vocab_count_) + " pieces");
  }
  PHIAL_TRY(budget_.charge(size * (sizeof(std::string) + 4 * sizeof(void*)), name_));
  spec_.pieces.resize(size);
  vocab_.reserve(vocab_count_);
  next_added_id_ = static_cast<int32_t>(vocab_count_);
  return {};
}

Status HfReader::read_vocab(const Json& vocab, size_t added_count) {
  const Json::Object* object = vocab.if_object();
  if (object == nullptr) return wrong_kind("model.vocab", "an object", vocab);
  size_t size = 0;
  for (const auto& [piece, value] : *object) {
    if (piece.empty()) return damaged(at("model.vocab"), "a piece is empty");
    PHIAL_ASSIGN(const int32_t id, id_value(value, "model.vocab[\"" + piece + "\"]"));
    size = std::max(size, static_cast<size_t>(id) + 1);
  }
  vocab_count_ = object->size();
  PHIAL_TRY(make_room_for_pieces(size, added_count));
  for (const auto& [piece, value] : *object) {
    const auto id = static_cast<int32_t>(*value.if_integer());
    std::string& slot = spec_.pieces[static_cast<size_t>(id)];
    if (!slot.empty()) {
      return damaged(at("model.vocab"), "the id " + std::to_string(id) + " is given to \"" + slot +
                                            "\" and to \"" + piece + "\"");
    }
    PHIAL_TRY(budget_.charge(piece.size(), name_));
    slot = piece;
    vocab_.emplace(slot, id);
  }
  return {};
}

// Unigram's: a list of pieces with their scores.
Status HfReader::read_scored_vocab(const Json& vocab, size_t added_count) {
  const Json::Array* list = vocab.if_array();
  if (list == nullptr) return wrong_kind("model.vocab", "an array", vocab);
  if (list->size() > kMaxTokenIds) return over_limit(at("model.vocab"), "too many pieces");
  vocab_count_ = list->size();
  PHIAL_TRY(make_room_for_pieces(list->size(), added_count));
  PHIAL_TRY(budget_.charge(list->size() * sizeof(double), name_));
  spec_.scores.reserve(list->size());
  for (size_t id = 0; id < list->size(); ++id) {
    const Json::Array* pair = (*list)[id].if_array();
    const bool good = pair != nullptr && pair->size() == 2 && (*pair)[0].if_string() != nullptr &&
                      (*pair)[1].is_number();
    if (!good || (*pair)[0].if_string()->empty()) {
      return damaged(at("model.vocab[" + std::to_string(id) + "]"),
                     "expected an array of a piece and its score");
    }
    const std::string& piece = *(*pair)[0].if_string();
    PHIAL_TRY(budget_.charge(piece.size(), name_));
    spec_.pieces[id] = piece;
    vocab_.insert_or_assign(spec_.pieces[id], static_cast<int32_t>(id));
    spec_.scores.push_back(score_as_read_by_serde(*(*pair)[1].number()));
  }
  return {};
}

std::optional<int32_t> HfReader::vocab_id(std::string_view piece) const {
  const auto found = vocab_.find(piece);
  if (found == vocab_.end()) return std::nullopt;
  return found->second;
}

Result<std::pair<std::string_view, std::string_view>> HfReader::merge_pair(const Json& merge,
                                                                           size_t rank,
                                                                           bool as_text) const {
  const std::string path = "model.merges[" + std::to_string(rank) + "]";
  if (as_text) {
    const std::string* text = merge.if_string();
    if (text == nullptr) return wrong_kind(path, "a string", merge);
    const size_t space = text->find(' ');
    if (space == std::string::npos || text->find(' ', space + 1) != std::string::npos) {
      return damaged(at(path),
                     "expected two pieces with one space between, found \"" + *text + "\"");
    }
    const std::string_view view = *text;
    return std::pair(view.substr(0, space), view.substr(space + 1));
  }
  const Json::Array* pair = merge.if_array();
  if (pair == nullptr || pair->size() != 2 || !(*pair)[0].if_string() || !(*pair)[1].if_string()) {
    return damaged(at(path), "expected an array of two strings");
  }
  return std::pair<std::string_view, std::string_view>(*(*pair)[0].if_string(),
                                                       *(*pair)[1].if_string());
}

Status HfReader::read_merges(const Json& merges) {
  const Json::Array* list = merges.if_array();
  if (list == nullptr) return wrong_kind("model.merges", "an array", merges);
  PHIAL_TRY(budget_.charge(list->size() * sizeof(TokenizerSpec::Merge), name_));
  spec_.merges.reserve(list->size());
  const bool as_text = !list->empty() && list->front().if_string() != nullptr;
  std::string result;
  for (size_t rank = 0; rank < list->size(); ++rank) {
    const Json& merge = (*list)[rank];
    // Left over from merges.txt, and skipped by `tokenizers` in this form only.
    if (as_text && merge.if_string() && merge.if_string()->starts_with("#version")) continue;
    PHIAL_ASSIGN(const auto pair, merge_pair(merge, rank, as_text));
    const size_t prefix_bytes = spec_.continuing_subword_prefix.size();
    result.assign(pair.first);
    if (pair.second.size() >= prefix_bytes) result += pair.second.substr(prefix_bytes);
    const std::optional<int32_t> ids[] = {vocab_id(pair.first), vocab_id(pair.second),
                                          vocab_id(result)};
    const std::string_view texts[] = {pair.first, pair.second, result};
    for (size_t i = 0; i < 3; ++i) {
      if (ids[i]) continue;
      return damaged(at("model.merges[" + std::to_string(rank) + "]"),
                     "the piece \"" + std::string(texts[i]) + "\" is not in the vocabulary");
    }
    spec_.merges.push_back({*ids[0], *ids[1], *ids[2], static_cast<uint32_t>(rank)});
  }
  return {};
}

// The member that names a piece, or that is absent or null.
Result<const std::string*> HfReader::optional_text(const Json& model, std::string_view key) const {
  const Json& value = json_member(model, key);
  if (value.is_null()) return static_cast<const std::string*>(nullptr);
  if (value.if_string() == nullptr) {
    return wrong_kind("model." + std::string(key), "a string", value);
  }
  return value.if_string();
}

Status HfReader::read_unknown(const Json& model) {
  if (spec_.model == Model::unigram) {
    const Json& id = json_member(model, "unk_id");
    if (id.is_null()) return {};
    PHIAL_ASSIGN(spec_.unknown_piece_id, id_value(id, "model.unk_id"));
    if (static_cast<size_t>(*spec_.unknown_piece_id) >= spec_.pieces.size()) {
      return damaged(at("model.unk_id"), "the id " + std::to_string(*spec_.unknown_piece_id) +
                                             " is outside the vocabulary of " +
                                             std::to_string(spec_.pieces.size()) + " pieces");
    }
    return {};
  }
  PHIAL_ASSIGN(spec_.fuse_unknown, flag(model, "fuse_unk", "model", false));
  PHIAL_ASSIGN(const std::string* unknown, optional_text(model, "unk_token"));
  if (unknown == nullptr) return {};
  // Files with all 256 bytes name unknown tokens that do not exist, and never need them.
  spec_.unknown_piece_id = vocab_id(*unknown);
  spec_.unknown_is_missing = !spec_.unknown_piece_id;
  return {};
}

Status HfReader::read_bpe(const Json& model) {
  const Json& dropout = json_member(model, "dropout");
  if (!dropout.is_null() && dropout.number() != 0.0) {
    return unsupported(at("model.dropout"), "dropout is not supported");
  }
  PHIAL_ASSIGN(spec_.ignore_merges, flag(model, "ignore_merges", "model", false));
  PHIAL_ASSIGN(const std::string* suffix, optional_text(model, "end_of_word_suffix"));
  if (suffix != nullptr) spec_.end_of_word_suffix = *suffix;
  return read_merges(json_member(model, "merges"));
}

Status HfReader::read_model(const Json& model, size_t added_count) {
  PHIAL_ASSIGN(spec_.model, model_type(model));
  const Json& vocab = json_member(model, "vocab");
  if (spec_.model == Model::unigram) {
    PHIAL_TRY(read_scored_vocab(vocab, added_count));
  } else {
    PHIAL_TRY(read_vocab(vocab, added_count));
    PHIAL_ASSIGN(const std::string* prefix, optional_text(model, "continuing_subword_prefix"));
    if (prefix != nullptr) spec_.continuing_subword_prefix = *prefix;
  }
  PHIAL_ASSIGN(spec_.byte_fallback, flag(model, "byte_fallback", "model", false));
  if (spec_.model == Model::bpe) PHIAL_TRY(read_bpe(model));
  const Json& most = json_member(model, "max_input_chars_per_word");
  if (spec_.model == Model::word_piece && !most.is_null()) {
    if (most.if_integer() == nullptr || *most.if_integer() < 0) {
      return wrong_kind("model.max_input_chars_per_word", "a count", most);
    }
    spec_.max_word_chars = static_cast<size_t>(*most.if_integer());
  }
  return read_unknown(model);
}

}  // namespace phial

#include <algorithm>
#include <cmath>
#include <functional>
#include <unordered_map>

#include "base/utf8.h"
#include "text/gguf_pre_tokenizer.h"
#include "text/tokenizer_spec.h"

namespace phial {
namespace {

enum TokenType : int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

// Of the pieces of SentencePiece's BPE: every cut of one is looked at, and real ones are short.
constexpr size_t kMaxMergedPieceBytes = 1024;

constexpr const char* kMark = "\u2581";  // SentencePiece's space

class GgufReader {
 public:
  GgufReader(const GgufVocabulary& vocabulary, std::string_view name)
      : in_(vocabulary), name_(name) {}

  Result<TokenizerSpec> read();

 private:
  std::string at(std::string_view key) const {
    return name_ + ": tokenizer.ggml." + std::string(key);
  }
  int64_t type_of(size_t id) const {
    return in_.token_types.empty() ? int64_t{kNormal} : in_.token_types[id];
  }
  Status read_byte_pairs();
  Status read_sentence_piece();
  Status read_word_pieces();
  Status read_unigram();
  void decode_marked(bool strips_first);
  Status read_tokens(bool merges_added_tokens);
  Status read_merges();
  Status make_merges();
  Status check_scores() const;
  Status read_special_ids(bool add_bos, bool add_eos);
  Result<std::optional<int32_t>> special_id(std::string_view key,
                                            const std::optional<int64_t>& id) const;
  Result<int32_t> frame_id(std::string_view key, const std::optional<int64_t>& id,
                           std::string_view piece) const;

  const GgufVocabulary& in_;
  std::string name_;
  TokenizerSpec spec_;
  std::unordered_map<std::string_view, int32_t> ids_;  // keys are the caller's tokens
};

// "gpt2": byte-level BPE with a table of merges.
Status GgufReader::read_byte_pairs() {
  const std::string_view pre = in_.model == "gemma4" ? in_.model : in_.pre;
  PHIAL_ASSIGN(GgufPreTokenizer known, gguf_pre_tokenizer(pre, at("pre")));
  spec_.pre_tokenizer = std::move(known.steps);
  spec_.ignore_merges = known.ignore_merges;
  if (known.marks_spaces) {
    spec_.normalizer = {normalizer::Replace{{" "}, kMark}};
    spec_.byte_fallback = true;
    decode_marked(false);
  } else {
    spec_.decoder = {decoder::ByteLevel()};
  }
  PHIAL_TRY(read_tokens(!known.marks_spaces));
  PHIAL_TRY(read_merges());
  return read_special_ids(known.add_bos, false);
}

// "llama": SentencePiece's BPE, which merges the pair whose piece has the greatest score.
Status GgufReader::read_sentence_piece() {
  const bool prefix = in_.add_space_prefix.value_or(true);
  if (prefix) spec_.normalizer.push_back(normalizer::Prepend{kMark});
  spec_.normalizer.push_back(normalizer::Replace{{" "}, kMark});
  spec_.byte_fallback = true;
  spec_.fuse_unknown = true;
  decode_marked(prefix);
  PHIAL_TRY(read_tokens(false));
  PHIAL_TRY(make_merges());
  PHIAL_TRY(read_special_ids(true, false));
  spec_.unknown_piece_id = spec_.unk_id;
  return {};
}

// "t5": unigram.
Status GgufReader::read_unigram() {
  spec_.model = TokenizerSpec::Model::unigram;
  const bool merges_spaces = in_.remove_extra_whitespaces.value_or(false);
  if (!in_.precompiled_charsmap.empty()) {
    spec_.normalizer.push_back(normalizer::Precompiled{in_.precompiled_charsmap});
  }
  if (merges_spaces) {
    spec_.normalizer.push_back(normalizer::Replace{{R"(\A +| +\z)", true}, ""});
    spec_.normalizer.push_back(normalizer::Replace{{" {2,}", true}, " "});
  }
  const PrependScheme prepend = merges_spaces || in_.add_space_prefix.value_or(false)
                                    ? PrependScheme::always
                                    : PrependScheme::never;
  spec_.pre_tokenizer = {pre_tokenizer::Metaspace{.prepend = prepend}};
  spec_.decoder = {decoder::Metaspace{.prepend = prepend}};
  PHIAL_TRY(read_tokens(false));
  PHIAL_TRY(check_scores());
  spec_.scores = in_.scores;
  for (size_t id = 0; id < spec_.pieces.size(); ++id) {
    if (spec_.pieces[id].empty()) spec_.scores[id] = 0;  // of padding, where it says nothing
  }
  PHIAL_TRY(read_special_ids(false, true));
  spec_.unknown_piece_id = spec_.unk_id;
  return {};
}

// "bert": word pieces. The file writes "\u2581word" for "word" and "end" for "##end".
Status GgufReader::read_word_pieces() {
  spec_.model = TokenizerSpec::Model::word_piece;
  spec_.continuing_subword_prefix = "##";
  spec_.normalizer = {normalizer::Bert()};
  spec_.pre_tokenizer = {pre_tokenizer::Bert()};
  spec_.decoder = {decoder::WordPiece()};
  PHIAL_TRY(read_tokens(false));
  for (size_t id = 0; id < spec_.pieces.size(); ++id) {
    std::string& piece = spec_.pieces[id];
    if (piece.empty() || type_of(id) != kNormal) continue;
    if (piece.starts_with(kMark)) {
      piece.erase(0, std::string_view(kMark).size());
    } else if (!(piece.starts_with('[') && piece.ends_with(']'))) {
      piece.insert(0, "##");
    }
    if (piece.empty()) return damaged(at("tokens"), "a token is a mark and nothing else");
  }
  PHIAL_TRY(read_special_ids(false, false));
  PHIAL_ASSIGN(const int32_t begin,
               frame_id("cls_token_id", in_.cls_id ? in_.cls_id : in_.bos_id, "[CLS]"));
  PHIAL_ASSIGN(const int32_t end, frame_id("seperator_token_id", in_.sep_id, "[SEP]"));
  if (in_.add_bos.value_or(true)) spec_.prefix_ids = {begin};
  if (in_.add_sep.value_or(true)) spec_.suffix_ids = {end};
  if (!spec_.unk_id) {
    PHIAL_ASSIGN(spec_.unk_id, frame_id("unknown_token_id", {}, "[UNK]"));
  }
  spec_.unknown_piece_id = spec_.unk_id;
  return {};
}

// The id that a key gives, or that of the piece that has this part in every such vocabulary.
Result<int32_t> GgufReader::frame_id(std::string_view key, const std::optional<int64_t>& id,
                                     std::string_view piece) const {
  PHIAL_ASSIGN(const std::optional<int32_t> given, special_id(key, id));
  if (given) return *given;
  const auto found = ids_.find(piece);
  if (found != ids_.end()) return found->second;
  return damaged(at(key), "is missing, and there is no token \"" + std::string(piece) + "\"");
}

void GgufReader::decode_marked(bool strips_first) {
  spec_.decoder = {decoder::Replace{{kMark}, " "}, decoder::ByteFallback(), decoder::Fuse()};
  if (strips_first) spec_.decoder.push_back(decoder::Strip{.content = U' ', .start = 1});
}

// With `merges_added_tokens` user defined tokens are looked for in normalized text, which are the
// defaults of Hugging Face where a file does not keep them; SentencePiece's are looked for first.
Status GgufReader::read_tokens(bool merges_added_tokens) {
  const size_t count = in_.tokens.size();
  if (count > kMaxTokenIds) {
    return over_limit(at("tokens"), std::to_string(count) + " tokens, the limit is " +
                                        std::to_string(kMaxTokenIds));
  }
  if (!in_.token_types.empty() && in_.token_types.size() != count) {
    return damaged(at("token_type"), std::to_string(in_.token_types.size()) + " types for " +
                                         std::to_string(count) + " tokens");
  }
  spec_.pieces.resize(count);
  ids_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view token = in_.tokens[i];
    const int64_t type = type_of(i);
    const std::string place = "tokens[" + std::to_string(i) + "]";
    if (type == kUnused) continue;  // "[PAD51199]" and the like: rows of the model, no text
    if (token.empty()) return damaged(at(place), "the token is empty");
    if (utf8::find_invalid(token)) return damaged(at(place), "the token is not UTF-8");
    const auto id = static_cast<int32_t>(i);
    const auto [known, is_new] = ids_.try_emplace(token, id);
    if (!is_new) {
      return damaged(at(place), "\"" + std::string(token) + "\" is also the token of id " +
                                    std::to_string(known->second));
    }
    spec_.pieces[i] = token;
    // The file does not keep the flags of added tokens. Special tokens are looked for first, then
    // the others in the text between.
    const bool unknown = type == kUnknown && in_.model != "gpt2";
    if (type == kControl || unknown) {
      spec_.added_tokens.push_back({.id = id, .content = std::string(token), .special = true});
    } else if (type == kUserDefined) {
      spec_.added_tokens.push_back(
          {.id = id, .content = std::string(token), .normalized = merges_added_tokens});
    }
  }
  return {};
}

Status GgufReader::read_merges() {
  spec_.merges.reserve(in_.merges.size());
  std::string result;
  for (size_t rank = 0; rank < in_.merges.size(); ++rank) {
    const std::string place = "merges[" + std::to_string(rank) + "]";
    const std::string_view merge = in_.merges[rank];
    // Pieces are not empty and hold no space, but a left one that begins with a space would be
    // read by llama.cpp; so it looks from the second byte on.
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) {
      return damaged(at(place), "expected two pieces with a space between, found \"" +
                                    std::string(merge) + "\"");
    }
    result.assign(merge.substr(0, space));
    result += merge.substr(space + 1);
    const auto left = ids_.find(merge.substr(0, space));
    const auto right = ids_.find(merge.substr(space + 1));
    const auto both = ids_.find(result);
    if (left == ids_.end() || right == ids_.end() || both == ids_.end()) {
      return damaged(at(place),
                     "\"" + std::string(merge) + "\" does not put two tokens together to a third");
    }
    spec_.merges.push_back(
        {left->second, right->second, both->second, static_cast<uint32_t>(rank)});
  }
  return {};
}

Status GgufReader::check_scores() const {
  if (in_.scores.size() != in_.tokens.size()) {
    return damaged(at("scores"), std::to_string(in_.scores.size()) + " scores for " +
                                     std::to_string(in_.tokens.size()) + " tokens");
  }
  for (const double score : in_.scores) {
    if (!std::isfinite(score)) return damaged(at("scores"), "a score is not finite");
  }
  return {};
}

// Every way to put two pieces together to a third. The greater the score of that, the lower the
// rank; equal scores have equal ranks, so that the leftmost of them comes first, as in
// SentencePiece.
Status GgufReader::make_merges() {
  PHIAL_TRY(check_scores());
  const auto merges = [this](size_t id) { return type_of(id) == kNormal; };
  std::vector<double> ranks;
  for (size_t id = 0; id < spec_.pieces.size(); ++id) {
    if (merges(id)) ranks.push_back(in_.scores[id]);
  }
  std::ranges::sort(ranks, std::greater<>());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  for (size_t id = 0; id < spec_.pieces.size(); ++id) {
    const std::string_view piece = spec_.pieces[id];
    if (piece.empty() || !merges(id)) continue;
    if (piece.size() > kMaxMergedPieceBytes) {
      return over_limit(at("tokens[" + std::to_string(id) + "]"),
                        "a token of " + std::to_string(piece.size()) + " bytes, the limit is " +
                            std::to_string(kMaxMergedPieceBytes));
    }
    const auto rank = static_cast<uint32_t>(
        std::ranges::lower_bound(ranks, in_.scores[id], std::greater<>()) - ranks.begin());
    for (size_t cut = utf8::decode(piece).length; cut < piece.size();
         cut += utf8::decode(piece.substr(cut)).length) {
      const auto left = ids_.find(piece.substr(0, cut));
      const auto right = ids_.find(piece.substr(cut));
      if (left == ids_.end() || right == ids_.end()) continue;
      spec_.merges.push_back({left->second, right->second, static_cast<int32_t>(id), rank});
    }
  }
  return {};
}

Result<std::optional<int32_t>> GgufReader::special_id(std::string_view key,
                                                      const std::optional<int64_t>& id) const {
  if (!id) return std::optional<int32_t>();
  if (*id < 0 || *id >= static_cast<int64_t>(in_.tokens.size())) {
    return damaged(at(key), "the id " + std::to_string(*id) + " is outside the vocabulary of " +
                                std::to_string(in_.tokens.size()) + " tokens");
  }
  return std::optional<int32_t>(static_cast<int32_t>(*id));
}

Status GgufReader::read_special_ids(bool add_bos, bool add_eos) {
  PHIAL_ASSIGN(spec_.bos_id, special_id("bos_token_id", in_.bos_id));
  PHIAL_ASSIGN(spec_.eos_id, special_id("eos_token_id", in_.eos_id));
  PHIAL_ASSIGN(spec_.unk_id, special_id("unknown_token_id", in_.unk_id));
  PHIAL_ASSIGN(spec_.pad_id, special_id("padding_token_id", in_.pad_id));
  const bool frames = in_.model != "bert";  // whose own tokens do that
  if (frames && in_.add_bos.value_or(add_bos)) {
    if (!spec_.bos_id) return damaged(at("bos_token_id"), "is missing, but a text begins with it");
    spec_.prefix_ids.push_back(*spec_.bos_id);
  }
  if (frames && in_.add_eos.value_or(add_eos)) {
    if (!spec_.eos_id) return damaged(at("eos_token_id"), "is missing, but a text ends with it");
    spec_.suffix_ids.push_back(*spec_.eos_id);
  }
  return {};
}

Result<TokenizerSpec> GgufReader::read() {
  static constexpr std::pair<std::string_view, Status (GgufReader::*)()> kModels[] = {
      {"gpt2", &GgufReader::read_byte_pairs},
      {"gemma4", &GgufReader::read_byte_pairs},
      {"llama", &GgufReader::read_sentence_piece},
      {"bert", &GgufReader::read_word_pieces},
      {"t5", &GgufReader::read_unigram}};
  for (const auto& [model, read_model] : kModels) {
    if (in_.model != model) continue;
    PHIAL_TRY((this->*read_model)());
    return std::move(spec_);
  }
  return unsupported(at("model"), "the tokenizer \"" + std::string(in_.model) +
                                      "\" is not supported, only gpt2, gemma4, llama, bert and t5");
}

}  // namespace

Result<TokenizerSpec> tokenizer_spec_from_gguf(const GgufVocabulary& vocabulary,
                                               std::string_view name) {
  return GgufReader(vocabulary, name).read();
}

}  // namespace phial

#include "text/tokenizer.h"

#include <algorithm>
#include <list>
#include <unordered_map>
#include <unordered_set>

#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/space_cleaner.h"
#include "text/token_decoder.h"
#include "text/unigram.h"
#include "text/whole_words.h"
#include "text/word_cache.h"
#include "text/word_piece.h"

namespace phial {
namespace {

constexpr std::string_view kWhere = "tokenizer";

std::string id_text(int64_t id) { return "id " + std::to_string(id); }

// Whether the pipeline leaves its words in the byte-level alphabet by its last step alone, so that
// a model that reads bytes sees the same.
bool ends_in_bytes(const TokenizerSpec& spec) {
  const auto maps = [](const pre_tokenizer::Step& step) {
    return std::holds_alternative<pre_tokenizer::ByteLevel>(step);
  };
  return std::ranges::count_if(spec.pre_tokenizer, maps) == 1 && maps(spec.pre_tokenizer.back());
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerSpec given) : spec(std::move(given)) {}

  Status check_merges() const;
  Status index_pieces();
  Status index_added_tokens();
  Status normalize_added_tokens();
  Status check_ids() const;
  Status create_model();
  Status build();

  std::string_view piece_of(int32_t id) const;
  std::string_view decoded_piece_of(int32_t id) const;
  bool in_range(int64_t id) const { return id >= 0 && id < size; }

  class Encoding;

  TokenizerSpec spec;
  int32_t size = 0;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<const WordModel> model;
  TokenDecoder decoder;
  AddedTokenMatcher raw_matcher;         // added tokens with normalized = false, matched first
  AddedTokenMatcher normalized_matcher;  // the others, in the normalized text between those
  std::unordered_map<std::string_view, int32_t> id_of_content;
  std::vector<int32_t> added_index;  // by id: into spec.added_tokens, -1: not added
  // Contents of added tokens that normalization changes, as they are looked for and decoded.
  std::unordered_map<int32_t, std::string> normalized_content;
  std::vector<bool> skipped;  // by id: left out by skip_special_tokens
};

Status Tokenizer::Impl::check_merges() const {
  const auto piece = [this](int32_t id) -> std::string_view {
    const bool known = id >= 0 && static_cast<size_t>(id) < spec.pieces.size();
    return known ? std::string_view(spec.pieces[static_cast<size_t>(id)]) : std::string_view();
  };
  if (spec.merges.size() >= UINT32_MAX) return over_limit(kWhere, "too many merges");
  const size_t prefix_bytes = spec.continuing_subword_prefix.size();
  for (size_t i = 0; i < spec.merges.size(); ++i) {
    const TokenizerSpec::Merge& merge = spec.merges[i];
    const std::string_view left = piece(merge.left);
    const std::string_view right = piece(merge.right);
    const std::string_view result = piece(merge.result);
    const bool whole = !left.empty() && !right.empty() && right.size() >= prefix_bytes &&
                       result.size() == left.size() + right.size() - prefix_bytes;
    if (!whole || merge.rank == UINT32_MAX || !result.starts_with(left) ||
        !result.ends_with(right.substr(prefix_bytes))) {
      return damaged(kWhere, "merge " + std::to_string(i) +
                                 " does not put two pieces of the vocabulary together to a third");
    }
  }
  return {};
}

Status Tokenizer::Impl::index_pieces() {
  id_of_content.reserve(spec.pieces.size() + spec.added_tokens.size());
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    const std::string& piece = spec.pieces[i];
    if (piece.empty()) continue;
    const auto id = static_cast<int32_t>(i);
    const auto [known, is_new] = id_of_content.try_emplace(piece, id);
    if (is_new) continue;
    if (spec.model != TokenizerSpec::Model::unigram) {
      return damaged(kWhere, "the piece \"" + piece + "\" has " + id_text(known->second) + " and " +
                                 id_text(id));
    }
    known->second = id;
  }
  return {};
}

Status Tokenizer::Impl::index_added_tokens() {
  added_index.assign(static_cast<size_t>(size), -1);
  for (size_t i = 0; i < spec.added_tokens.size(); ++i) {
    const AddedToken& token = spec.added_tokens[i];
    if (token.content.empty()) {
      return damaged(kWhere, "the added token of " + id_text(token.id) + " is empty");
    }
    int32_t& index = added_index[static_cast<size_t>(token.id)];
    const auto [known, is_new] = id_of_content.try_emplace(token.content, token.id);
    const std::string_view piece = piece_of(token.id);
    if (index >= 0 || known->second != token.id || (!piece.empty() && piece != token.content)) {
      return damaged(kWhere, "the added token \"" + token.content + "\" of " + id_text(token.id) +
                                 " has another id too, or its id another content");
    }
    index = static_cast<int32_t>(i);
  }
  return {};
}

Status Tokenizer::Impl::normalize_added_tokens() {
  std::vector<AddedToken> raw;
  std::vector<AddedToken> normalized;
  std::unordered_set<std::string> contents;
  size_t bytes_left = kMaxNormalExtraBytes;
  for (const AddedToken& token : spec.added_tokens)
    bytes_left += token.content.size() * kMaxNormalGrowth;
  for (const AddedToken& token : spec.added_tokens) {
    if (!token.normalized) {
      raw.push_back(token);
      continue;
    }
    AddedToken sought = token;
    PHIAL_ASSIGN(NormalText content, normalizer.apply(token.content, bytes_left));
    sought.content = std::move(content.text);
    if (sought.content.empty() || !contents.insert(sought.content).second) {
      return damaged(kWhere, "the added token \"" + token.content + "\" of " + id_text(token.id) +
                                 " is normalized to nothing, or to what another one is");
    }
    if (sought.content != token.content) normalized_content.emplace(token.id, sought.content);
    normalized.push_back(std::move(sought));
  }
  raw_matcher = AddedTokenMatcher(std::move(raw));
  normalized_matcher = AddedTokenMatcher(std::move(normalized));
  // Hugging Face skips by text: what an added token is decoded to must be a special content.
  std::unordered_set<std::string_view> special;
  for (const AddedToken& token : spec.added_tokens) {
    if (token.special) special.insert(token.content);
  }
  skipped.resize(static_cast<size_t>(size));
  for (int32_t id = 0; id < size; ++id) {
    skipped[static_cast<size_t>(id)] = special.contains(decoded_piece_of(id));
  }
  return {};
}

Status Tokenizer::Impl::check_ids() const {
  std::vector<int32_t> ids = spec.prefix_ids;
  ids.insert(ids.end(), spec.suffix_ids.begin(), spec.suffix_ids.end());
  for (const auto& role :
       {spec.bos_id, spec.eos_id, spec.pad_id, spec.unk_id, spec.unknown_piece_id}) {
    if (role) ids.push_back(*role);
  }
  for (const int32_t id : ids) {
    if (!in_range(id)) {
      return damaged(kWhere, "a special token has " + id_text(id) + ", the vocabulary has " +
                                 std::to_string(size) + " ids");
    }
  }
  return {};
}

Status Tokenizer::Impl::create_model() {
  const bool reads_bytes = ends_in_bytes(spec) && Bpe::can_read_bytes(spec);
  PHIAL_ASSIGN(pre_tokenizer, PreTokenizer::create(spec.pre_tokenizer, reads_bytes));
  switch (spec.model) {
    case TokenizerSpec::Model::bpe: {
      PHIAL_ASSIGN(
          model, Bpe::create(spec, reads_bytes ? Bpe::Alphabet::bytes : Bpe::Alphabet::characters));
      return {};
    }
    case TokenizerSpec::Model::unigram: {
      PHIAL_ASSIGN(Unigram unigram, Unigram::create(spec));
      model = std::make_unique<Unigram>(std::move(unigram));
      return {};
    }
    case TokenizerSpec::Model::word_piece: {
      PHIAL_ASSIGN(WordPiece word_piece, WordPiece::create(spec));
      model = std::make_unique<WordPiece>(std::move(word_piece));
      return {};
    }
    case TokenizerSpec::Model::word_level:
      model = std::make_unique<WordLevel>(WordLevel::create(spec));
      return {};
  }
  return internal_error(kWhere, "a model of no kind");
}

Status Tokenizer::Impl::build() {
  size_t ids = spec.pieces.size();
  for (const AddedToken& token : spec.added_tokens) {
    if (token.id < 0) return damaged(kWhere, "an added token has " + id_text(token.id));
    ids = std::max(ids, static_cast<size_t>(token.id) + 1);
  }
  if (ids > kMaxTokenIds) {
    return over_limit(kWhere, "has " + std::to_string(ids) + " ids, the limit is " +
                                  std::to_string(kMaxTokenIds));
  }
  size = static_cast<int32_t>(ids);
  PHIAL_TRY(check_merges());
  PHIAL_TRY(index_pieces());
  PHIAL_TRY(index_added_tokens());
  PHIAL_TRY(check_ids());
  PHIAL_ASSIGN(normalizer, Normalizer::create(spec.normalizer));
  PHIAL_TRY(normalize_added_tokens());
  PHIAL_ASSIGN(decoder, TokenDecoder::create(spec.decoder));
  return create_model();
}

std::string_view Tokenizer::Impl::piece_of(int32_t id) const {
  const auto at = static_cast<size_t>(id);
  if (added_index[at] >= 0) {
    return spec.added_tokens[static_cast<size_t>(added_index[at])].content;
  }
  return at < spec.pieces.size() ? std::string_view(spec.pieces[at]) : std::string_view();
}

std::string_view Tokenizer::Impl::decoded_piece_of(int32_t id) const {
  const auto normalized = normalized_content.find(id);
  return normalized == normalized_content.end() ? piece_of(id)
                                                : std::string_view(normalized->second);
}

// One encode() at work.
class Tokenizer::Impl::Encoding {
 public:
  Encoding(const Impl& impl, size_t text_bytes)
      : impl_(impl),
        scratch_(impl.model->make_scratch()),
        cut_before_(impl.model->cut_before()),
        known_(text_bytes),
        bytes_left_(text_bytes * kMaxNormalGrowth + kMaxNormalExtraBytes) {
    ids.reserve(text_bytes / 4);  // English has four to five bytes a token
  }

  std::vector<int32_t> ids;

  // All of the text, without what is put around it.
  Status encode(std::string_view text) {
    for (const AddedTokenMatcher::Part& part : impl_.raw_matcher.split(text)) {
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else {
        PHIAL_TRY(encode_raw(part.text, part.text.data() == text.data()));
      }
    }
    return {};
  }

 private:
  // Text between added tokens, before normalization.
  Status encode_raw(std::string_view text, bool begins_text) {
    size_t origin_bytes = utf8::decode(text).length;
    if (!impl_.normalizer.empty()) {
      PHIAL_ASSIGN(NormalText normal, impl_.normalizer.apply(text, bytes_left_));
      origin_bytes = normal.origin_bytes;
      text = texts_.emplace_back(std::move(normal.text));
    }
    for (const AddedTokenMatcher::Part& part : impl_.normalized_matcher.split(text)) {
      const auto begin = static_cast<size_t>(part.text.data() - text.data());
      const bool from_origin = begins_text && begin < origin_bytes;
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else {
        PHIAL_TRY(encode_normal(part.text, from_origin ? origin_bytes - begin : 0));
      }
    }
    return {};
  }

  Status encode_normal(std::string_view text, size_t origin_bytes) {
    const auto& cuts = impl_.pre_tokenizer.only_cuts();
    if (!cuts) {
      PHIAL_TRY(impl_.pre_tokenizer.split(text, origin_bytes, bytes_left_, parts_));
      for (const PreTokenizer::Part& part : parts_.parts) PHIAL_TRY(encode_word(part.text));
      return {};
    }
    if (impl_.pre_tokenizer.only_cuts_after_space() && !text.starts_with(' ')) {
      text = texts_.emplace_back(" " + std::string(text));
    }
    return encode_cuts(text, *cuts);
  }

  // The words that the cuts make of `text`.
  Status encode_cuts(std::string_view text, std::span<const WordEnd> cuts) {
    for (size_t at = 0; at < text.size();) {
      const size_t end = cuts[0](text, at);
      const std::string_view word = text.substr(at, end - at);
      if (cuts.size() > 1) {
        PHIAL_TRY(encode_cuts(word, cuts.subspan(1)));
      } else if (!known_.copy(word, ids)) {
        PHIAL_TRY(cut_before_.empty() ? encode_new(word) : encode_word(word));
      }
      at = end;
    }
    return {};
  }

  // A word, cut where the model allows.
  Status encode_word(std::string_view word) {
    const std::string_view mark = cut_before_;
    if (mark.empty()) return encode_cut(word);
    size_t begin = 0;
    size_t after_mark = 0;  // a mark there follows a mark
    for (size_t at = word.find(mark); at != word.npos; at = word.find(mark, after_mark)) {
      if (at != after_mark) {
        PHIAL_TRY(encode_cut(word.substr(begin, at - begin)));
        begin = at;
      }
      after_mark = at + mark.size();
    }
    return encode_cut(word.substr(begin));
  }

  Status encode_cut(std::string_view word) {
    return known_.copy(word, ids) ? Status() : encode_new(word);
  }

  // A word that the cache does not hold.
  Status encode_new(std::string_view word) {
    const size_t begin = ids.size();
    if (const int32_t id = impl_.model->whole_word(word, hash_of_word(word)); id >= 0) {
      ids.push_back(id);
    } else {
      PHIAL_TRY(impl_.model->encode_word(word, *scratch_, ids));
    }
    known_.note(word, ids, begin);
    return {};
  }

  const Impl& impl_;
  std::unique_ptr<WordModel::Scratch> scratch_;
  const std::string_view cut_before_;
  WordCache known_;
  PreTokenizer::Scratch parts_;
  std::list<std::string> texts_;  // made from the text; words point into them
  size_t bytes_left_;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create(TokenizerSpec spec) {
  auto impl = std::make_unique<Impl>(std::move(spec));
  PHIAL_TRY(impl->build());
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text,
                                               const EncodeOptions& options) const {
  if (text.size() > kMaxTextBytes) {
    return over_limit("text", "has " + std::to_string(text.size()) + " bytes, the limit is " +
                                  std::to_string(kMaxTextBytes));
  }
  if (const std::optional<size_t> at = utf8::find_invalid(text)) {
    return invalid_input("text", "is not UTF-8 at byte " + std::to_string(*at));
  }
  Impl::Encoding encoding(*impl_, text.size());
  const TokenizerSpec& spec = impl_->spec;
  if (options.add_special_tokens) {
    encoding.ids.insert(encoding.ids.end(), spec.prefix_ids.begin(), spec.prefix_ids.end());
  }
  PHIAL_TRY(encoding.encode(text));
  if (options.add_special_tokens) {
    encoding.ids.insert(encoding.ids.end(), spec.suffix_ids.begin(), spec.suffix_ids.end());
  }
  return std::move(encoding.ids);
}

// A row of ids being decoded.
class PieceStream {
 public:
  PieceStream(const TokenDecoder& decoder, bool cleans_up) : stream_(decoder) {
    if (cleans_up) cleaner_.emplace();
  }

  Status push(std::string_view piece, std::string& out) {
    if (!cleaner_) return stream_.push(piece, out);
    std::string text;
    PHIAL_TRY(stream_.push(piece, text));
    out += cleaner_->push(text);
    return {};
  }
  Status finish(std::string& out) {
    if (!cleaner_) return stream_.finish(out);
    std::string text;
    Status status = stream_.finish(text);
    out += cleaner_->push(text);
    out += cleaner_->finish();
    return status;
  }

 private:
  TokenDecoder::Stream stream_;
  std::optional<SpaceCleaner> cleaner_;
};

Result<std::string> Tokenizer::decode(std::span<const int32_t> ids,
                                      bool skip_special_tokens) const {
  PieceStream stream(impl_->decoder, impl_->spec.clean_up_tokenization_spaces);
  std::string text;
  for (const int32_t id : ids) {
    if (!impl_->in_range(id)) {
      return invalid_input(
          "ids", id_text(id) + " is outside the vocabulary of " + std::to_string(size()) + " ids");
    }
    if (skip_special_tokens && impl_->skipped[static_cast<size_t>(id)]) continue;
    const std::string_view piece = impl_->decoded_piece_of(id);
    if (!piece.empty()) PHIAL_TRY(stream.push(piece, text));
  }
  PHIAL_TRY(stream.finish(text));
  return text;
}

std::optional<std::string_view> Tokenizer::piece(int32_t id) const {
  if (!impl_->in_range(id)) return std::nullopt;
  const std::string_view piece = impl_->piece_of(id);
  if (piece.empty()) return std::nullopt;
  return piece;
}

bool Tokenizer::is_special(int32_t id) const {
  if (!impl_->in_range(id)) return false;
  const int32_t index = impl_->added_index[static_cast<size_t>(id)];
  return index >= 0 && impl_->spec.added_tokens[static_cast<size_t>(index)].special;
}

std::optional<int32_t> Tokenizer::id_of(std::string_view content) const {
  const auto found = impl_->id_of_content.find(content);
  if (found == impl_->id_of_content.end()) return std::nullopt;
  return found->second;
}

int32_t Tokenizer::size() const { return impl_->size; }
const TokenizerSpec& Tokenizer::spec() const { return impl_->spec; }

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)),
      skip_special_tokens_(skip_special_tokens),
      stream_(std::make_unique<PieceStream>(tokenizer_->impl_->decoder,
                                            tokenizer_->spec().clean_up_tokenization_spaces)) {}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;

Result<std::string> StreamDecoder::push(int32_t id) {
  const Tokenizer::Impl& impl = *tokenizer_->impl_;
  if (!impl.in_range(id)) {
    return invalid_input("ids", id_text(id) + " is outside the vocabulary of " +
                                    std::to_string(tokenizer_->size()) + " ids");
  }
  std::string text;
  if (skip_special_tokens_ && impl.skipped[static_cast<size_t>(id)]) return text;
  const std::string_view piece = impl.decoded_piece_of(id);
  if (!piece.empty()) PHIAL_TRY(stream_->push(piece, text));
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  // Past the limits there is no text to give, and nobody to tell.
  if (const Status status = stream_->finish(text); !status.ok()) return text;
  return text;
}

}  // namespace phial

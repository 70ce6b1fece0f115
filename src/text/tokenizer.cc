#include "text/tokenizer.h"

#include <deque>
#include <unordered_map>

#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/space_cleaner.h"
#include "text/splitter.h"

namespace phial {
namespace {

constexpr std::string_view kWhere = "tokenizer";

std::string id_text(int64_t id) { return "id " + std::to_string(id); }

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerSpec given) : spec(std::move(given)) {}

  Status check_merges() const;
  Status index_pieces();
  Status index_added_tokens();
  Status check_ids() const;
  Status build();

  std::string_view piece_of(int32_t id) const;
  // What decoding this id adds, before the whole is made UTF-8.
  std::string_view bytes_of(int32_t id) const {
    const auto at = static_cast<size_t>(id);
    return std::string_view(decoded).substr(decoded_begin[at],
                                            decoded_begin[at + 1] - decoded_begin[at]);
  }
  bool in_range(int64_t id) const { return id >= 0 && id < size; }

  // One encode() at work.
  struct Encoding {
    std::vector<int32_t> ids;
    ByteLevelBpe::Scratch scratch;
    std::deque<std::string> prefixed;  // texts with a space put before; words point into them
  };
  void encode_text(std::string_view text, Encoding& encoding) const;

  TokenizerSpec spec;
  int32_t size = 0;
  WordEnd word_end = nullptr;
  std::optional<ByteLevelBpe> bpe;
  AddedTokenMatcher raw_matcher;         // added tokens with normalized = false, matched first
  AddedTokenMatcher normalized_matcher;  // the others, in the text between those
  std::unordered_map<std::string_view, int32_t> id_of_content;
  std::vector<int32_t> added_index;   // by id: into spec.added_tokens, -1: not added
  std::string decoded;                // bytes of all ids, one after the other
  std::vector<size_t> decoded_begin;  // size + 1 offsets into it
};

Status Tokenizer::Impl::check_merges() const {
  const auto piece = [this](int32_t id) -> std::string_view {
    const bool known = id >= 0 && static_cast<size_t>(id) < spec.pieces.size();
    return known ? std::string_view(spec.pieces[static_cast<size_t>(id)]) : std::string_view();
  };
  if (spec.merges.size() >= UINT32_MAX) return over_limit(kWhere, "too many merges");
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const TokenizerSpec::Merge& merge = spec.merges[rank];
    const std::string_view left = piece(merge.left);
    const std::string_view right = piece(merge.right);
    const std::string_view result = piece(merge.result);
    if (left.empty() || right.empty() || result.size() != left.size() + right.size() ||
        !result.starts_with(left) || !result.ends_with(right)) {
      return damaged(kWhere, "merge " + std::to_string(rank) +
                                 " does not put two pieces of the vocabulary together to a third");
    }
  }
  return {};
}

Status Tokenizer::Impl::index_pieces() {
  id_of_content.reserve(spec.pieces.size() + spec.added_tokens.size());
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    const std::string& piece = spec.pieces[id];
    if (piece.empty()) continue;
    const auto [known, is_new] = id_of_content.try_emplace(piece, static_cast<int32_t>(id));
    if (!is_new) {
      return damaged(kWhere, "the piece \"" + piece + "\" has " + id_text(known->second) + " and " +
                                 id_text(static_cast<int64_t>(id)));
    }
  }
  return {};
}

Status Tokenizer::Impl::index_added_tokens() {
  std::vector<AddedToken> raw;
  std::vector<AddedToken> normalized;
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
    (token.normalized ? normalized : raw).push_back(token);
  }
  raw_matcher = AddedTokenMatcher(std::move(raw));
  normalized_matcher = AddedTokenMatcher(std::move(normalized));
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
  PHIAL_ASSIGN(bpe, ByteLevelBpe::create(spec));
  word_end = word_end_function(spec.splitter);
  decoded_begin.reserve(ids + 1);
  decoded_begin.push_back(0);
  for (int32_t id = 0; id < size; ++id) {
    const std::string_view piece = piece_of(id);
    // A token that holds any character outside the alphabet stands for itself.
    if (const auto bytes = byte_alphabet::decode(piece)) {
      decoded += *bytes;
    } else {
      decoded += piece;
    }
    decoded_begin.push_back(decoded.size());
  }
  return {};
}

std::string_view Tokenizer::Impl::piece_of(int32_t id) const {
  const auto at = static_cast<size_t>(id);
  if (added_index[at] >= 0) {
    return spec.added_tokens[static_cast<size_t>(added_index[at])].content;
  }
  return at < spec.pieces.size() ? std::string_view(spec.pieces[at]) : std::string_view();
}

void Tokenizer::Impl::encode_text(std::string_view text, Encoding& encoding) const {
  if (spec.add_prefix_space && !text.starts_with(' ')) {
    text = encoding.prefixed.emplace_back(" " + std::string(text));
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(text, at);
    bpe->encode_word(text.substr(at, end - at), encoding.scratch, encoding.ids);
    at = end;
  }
}

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
  const TokenizerSpec& spec = impl_->spec;
  Impl::Encoding encoding;
  std::vector<int32_t>& ids = encoding.ids;
  if (options.add_special_tokens) ids = spec.prefix_ids;
  for (const AddedTokenMatcher::Part& outer : impl_->raw_matcher.split(text)) {
    if (outer.id >= 0) {
      ids.push_back(outer.id);
      continue;
    }
    for (const AddedTokenMatcher::Part& part : impl_->normalized_matcher.split(outer.text)) {
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else {
        impl_->encode_text(part.text, encoding);
      }
    }
  }
  if (options.add_special_tokens) {
    ids.insert(ids.end(), spec.suffix_ids.begin(), spec.suffix_ids.end());
  }
  return std::move(ids);
}

Result<std::string> Tokenizer::decode(std::span<const int32_t> ids,
                                      bool skip_special_tokens) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (!impl_->in_range(id)) {
      return invalid_input(
          "ids", id_text(id) + " is outside the vocabulary of " + std::to_string(size()) + " ids");
    }
    if (skip_special_tokens && is_special(id)) continue;
    bytes += impl_->bytes_of(id);
  }
  std::string text = utf8::lossy(bytes);
  if (!impl_->spec.clean_up_tokenization_spaces) return text;
  SpaceCleaner cleaner;
  std::string cleaned = cleaner.push(text);
  cleaned += cleaner.finish();
  return cleaned;
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
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {
  if (tokenizer_->spec().clean_up_tokenization_spaces) cleaner_ = std::make_unique<SpaceCleaner>();
}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;

Result<std::string> StreamDecoder::push(int32_t id) {
  const Tokenizer::Impl& impl = *tokenizer_->impl_;
  if (!impl.in_range(id)) {
    return invalid_input("ids", id_text(id) + " is outside the vocabulary of " +
                                    std::to_string(tokenizer_->size()) + " ids");
  }
  if (skip_special_tokens_ && tokenizer_->is_special(id)) return std::string();
  pending_ += impl.bytes_of(id);
  const size_t certain = pending_.size() - utf8::incomplete_suffix(pending_);
  std::string text = utf8::lossy(std::string_view(pending_).substr(0, certain));
  pending_.erase(0, certain);
  return cleaner_ ? cleaner_->push(text) : text;
}

std::string StreamDecoder::finish() {
  std::string text = utf8::lossy(pending_);
  pending_.clear();
  if (!cleaner_) return text;
  std::string cleaned = cleaner_->push(text);
  cleaned += cleaner_->finish();
  return cleaned;
}

}  // namespace phial

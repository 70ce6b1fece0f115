// Text to token ids and back, exactly as Hugging Face `tokenizers` does.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer_spec.h"

namespace phial {

// Longest text that is encoded in one call.
inline constexpr size_t kMaxTextBytes = size_t{64} << 20;

class SpaceCleaner;
class PieceStream;

// Immutable after create(); safe to use from several threads at once.
class Tokenizer {
 public:
  // damaged: ids of the spec out of range or given twice, pieces twice, a merge whose result is not
  // its two pieces put together, a pattern or character map that cannot be read. over_limit: more
  // than kMaxTokenIds ids or kMaxPipelineSteps steps, or a pattern or piece that is too long.
  static Result<std::shared_ptr<const Tokenizer>> create(TokenizerSpec spec);
  ~Tokenizer();

  struct EncodeOptions {
    bool add_special_tokens = true;  // prefix_ids and suffix_ids of the spec
  };
  // Text of special tokens inside `text` becomes their ids, as in Hugging Face.
  // invalid_input: not UTF-8 (names the byte offset), or it needs an unknown piece that the
  // vocabulary lacks; over_limit: longer than kMaxTextBytes, normalization makes more than
  // kMaxNormalGrowth times as much of it, or a regular expression gives up on it.
  Result<std::vector<int32_t>> encode(std::string_view text, const EncodeOptions& options) const;

  // The text of `ids`; bytes that are not UTF-8 become U+FFFD as in Hugging Face. Ids outside the
  // vocabulary: invalid_input. Ids without a piece (padding rows of a model) give no text.
  // over_limit: the decoder's replacements make too much of them.
  Result<std::string> decode(std::span<const int32_t> ids, bool skip_special_tokens) const;

  // The vocabulary piece of an id as the file spells it, or the added token's content; nothing for
  // an id without one.
  std::optional<std::string_view> piece(int32_t id) const;
  bool is_special(int32_t id) const;
  // Id of the piece or added token with exactly this content.
  std::optional<int32_t> id_of(std::string_view content) const;
  int32_t size() const;  // one more than the largest id
  const TokenizerSpec& spec() const;

 private:
  friend class StreamDecoder;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Decodes ids one by one. The concatenation of all push() results and finish() equals
// Tokenizer::decode of all ids; no result ends inside a character.
class StreamDecoder {
 public:
  StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;

  // Text that became certain with this id; often empty. Errors as of Tokenizer::decode.
  Result<std::string> push(int32_t id);
  // What is still held back (an unfinished character becomes U+FFFD), as far as the decoder's
  // limits go. Ends the stream: the next push() begins a new one.
  std::string finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  const bool skip_special_tokens_;
  std::unique_ptr<PieceStream> stream_;
};

}  // namespace phial
